"""Tables of ``facestream bench``, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.cli.console import Output, grid

Figures = Mapping[str, Any]

_SATURATED = 0.99
"""TAR from which on a training can gain next to nothing."""

_VERDICTS = {
    "up": "better beyond chance",
    "down": "worse beyond chance",
    "within_interval": "within the interval: no change is shown",
}


def gains(result: Figures, output: Output) -> None:
    """What a training gains, and whether chance may have done it."""
    table = grid("TAR at FAR 1e-2", "#before", "#after", "95 % interval", "#gain", "95 % interval", "verdict")
    for kind in ("degraded", "clean", "new_probes_old_templates"):
        found = dict(result.get(kind, {}))
        verdict = _VERDICTS.get(found.pop("verdict", ""), "")
        table.add_row(kind.replace("_", " "), *(str(value) for value in found.values()), verdict)
    output.table(table)
    people = f"{result.get('subjects_test')} people whom it has not learned from"
    output.say(f"{result.get('model')}, {result.get('mode')}: intervals are over {people}")
    for kind in ("degraded", "clean"):
        found = result.get(kind, {})
        if found.get("before", 0.0) >= _SATURATED:
            output.say(f"{kind}: {found['before']:.1%} before, so these pictures can show hardly any gain")
    output.say(f"{result.get('latency_ratio')} times the time a face")


def corrections_table(result: Figures, output: Output) -> None:
    """What learning from corrections gains."""
    table = grid("", "#before", "#without", "#with corrections", "95 % interval of the difference")
    for title, kind in (("taken for the same again", "confused"), ("TAR at FAR 1e-2", "degraded")):
        found = result.get(kind, {})
        table.add_row(title, *(str(found.get(name, "")) for name in ("before", "without", "corrected", "interval")))
    output.table(table)


def faults_table(result: Figures, output: Output) -> None:
    """Each fault, and what it cost."""
    from streams.devtools.benchmarks.rows import NOT_MEASURED

    searches = ("#searches", "#incomplete", "#wrong") if any("searches" in row for row in result["faults"]) else ()
    table = grid("fault", "#events", "#lost", "#duplicates", "#gap s", "memory MiB", *searches)
    for row in result["faults"]:
        why = row.get(NOT_MEASURED)
        values = ["", "", "", "", f"not measured: {why}"] if why else [str(value) for value in list(row.values())[1:]]
        table.add_row(str(row["fault"]), *values)
    output.table(table)


def pipeline_table(result: Figures, output: Output) -> None:
    """The processor time of a frame by part, in a backlog and where frames come slowly."""
    backlog, slow = result.get("cpu_ms_per_frame", {}), result.get("at_rate", {})
    rate = slow.get("cpu_ms_per_frame", {})
    table = grid("CPU ms a frame", "#in a backlog", *([f"#at {slow['rate_fps']:g} a second"] if rate else []))
    for part, cost in backlog.items():
        table.add_row(part, str(cost), *([str(rate.get(part, ""))] if rate else []))
    output.table(table)
    output.say(
        f"{result.get('frames_per_s')} frames/s, a bare loop {result.get('bare_loop_frames_per_s')}; "
        f"{result.get('lost')} lost, {result.get('duplicates')} doubled"
    )
    slower = f", at {slow['rate_fps']:g} a second {slow['ratio']} times as much" if rate else ""
    output.say(
        f"CPU ms a frame: workers {result.get('workers_cpu_ms')}, {result.get('overhead_cpu_ms')} more than the bare "
        f"loop's {result.get('bare_loop_cpu_ms')}{slower}"
    )


def latency_table(result: Figures, output: Output) -> None:
    """How long frames took, by stage."""
    table = grid("milliseconds", "#median", "#95 %", "#99 %")
    for stage, found in {**result.get("stages", {}), "from camera to answer": result}.items():
        table.add_row(stage, *(str(found.get(name, "")) for name in ("p50_ms", "p95_ms", "p99_ms")))
    output.table(table)
    output.say(f"{result.get('rate_fps')} frames/s of at most {result.get('max_fps')}; {result.get('lost')} lost")


def fairness_table(result: Figures, output: Output) -> None:
    """Each case, and how long live frames waited."""
    table = grid(
        "case", "#ms alone: median", "#99 %", "#beside the bulk", "#99 %", "#bulk a second", "#lost", "#doubled"
    )
    for row in result["cases"]:
        table.add_row(*(str(value) for value in row.values()))
    output.table(table)


def questions_table(result: Figures, output: Output) -> None:
    """Each question, and how much of a topic was read for it."""
    table = grid("question", "#records: whole", "#now", "#seconds: whole", "#now")
    for row in result["questions"]:
        costs = [row.get(how, {}) for how in ("whole", "now")]
        values = [str(cost.get(name, "")) for name in ("records", "seconds") for cost in costs]
        table.add_row(row["question"], *values)
    output.table(table)


def commands_table(result: Figures, output: Output) -> None:
    """Each command, and how long it took."""
    table = grid("command", "#first word s", "#end s", "#CPU s", "#times a bare Python")
    for row in result.get("commands", ()):
        table.add_row(*(str(row.get(name, "")) for name in ("command", "first_word_s", "end_s", "cpu_s", "ratio")))
    output.table(table)


def searches_table(result: Figures, output: Output) -> None:
    """Milliseconds of searches, ours first."""
    table = grid("", "#ms a search")
    ours = {"facestream": "p50_ms", "after an enrolment": "after_change_p50_ms", "32 at once": "batch32_ms_per_query"}
    for title, name in ours.items():
        table.add_row(title, str(result.get(name, "")))
    for library, median_ms in result.get("libraries", {}).items():
        table.add_row(library, str(median_ms))
    output.table(table)
    output.say(
        f"{result['templates']} templates of {result.get('bytes_per_template')} bytes; {result.get('ratio')} times "
        f"the time of {result.get('best_library')}; {result.get('recall_at_10')} of the nearest found"
    )


def peers_table(result: Figures, output: Output) -> None:
    """Each library, beside facestream."""
    from streams.devtools.benchmarks.rows import NOT_MEASURED

    table = grid("one process, without Kafka", "#frames/s", "#CPU ms a frame", "#correct names")
    for row in result.get("peers", ()):
        values = (row.get(name, "") for name in ("frames_per_s", "cpu_ms_per_frame", "correct"))
        table.add_row(row["peer"], *map(str, values))
    output.table(table)
    for name, why in result.get(NOT_MEASURED, {}).items():
        output.say(f"{name} not measured: {why}")


def everybody_table(result: Figures, output: Output) -> None:
    """How long searches over all users took, and their cost by role."""
    table = grid("", "#median ms", "#99 %")
    table.add_row(f"{result['templates']} templates in {result['shards']} shards", *_times(result))
    parts = result.get("ten_shards", {})
    for title, name in (
        ("one shard of a million", "shard"),
        ("way through Kafka, embed and redis", "way"),
        ("merging ten parts", "merge"),
    ):
        table.add_row(title, *_times(parts.get(name, {})))
    table.add_row("10 million templates in 10 shards, from these parts", *_times(parts))
    output.table(table)
    costs = ", ".join(f"{role} {cost}" for role, cost in result.get("cpu_ms_per_search", {}).items())
    output.say(f"{result.get('searches_per_s')} searches/s at once; CPU ms a search: {costs}")


def _times(found: Mapping[str, Any]) -> tuple[str, str]:
    return str(found.get("p50_ms", "")), str(found.get("p99_ms", ""))
