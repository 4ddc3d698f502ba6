"""One page of what benchmarks have measured: the newest result of each, with a table and plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from streams.devtools.benchmarks.plots import Plot
from streams.devtools.benchmarks.repeated import MACHINE, RUNS, numbers
from streams.devtools.benchmarks.results import Kept
from streams.devtools.benchmarks.rows import NOT_MEASURED, SPREAD

_APART = {MACHINE, RUNS, SPREAD, NOT_MEASURED}
_PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")
_FIRST = ("pipeline", "latency", "peer", "fairness", "search", "search-all", "recovery")
"""The benches of most interest; the others follow by name."""
_HEAD = """# Benchmarks

`facestream bench report` wrote this page from the results in `tests/benchmarks/results`, where every benchmark keeps
its figures if it is called with `--save`. It shows the newest of each. Figures of different machines cannot be
compared: measure your own with these commands.

How it is measured: a benchmark starts Kafka, a Redis-protocol server, a BigQuery-compatible server and one worker of
each role, all on the one machine that is named, sends real events, and waits until every answer is in Redis and in
BigQuery. A frame is a 640×480 JPEG with one face, embedded by the model `accurate`. Events that are lost or counted
twice fail the benchmark. Processor time is user and system time of the processes; it depends less than speed does on
what else the machine does. `load before` is how many processes wanted to run when it began. Where something was
measured several times, the figure is the median, with the least and the greatest beside it.
"""


def page(results: Iterable[Kept]) -> tuple[str, dict[str, str]]:
    """The text in Markdown, and the pictures that it shows, by their file names."""
    newest = {one.bench: one for one in results}
    ordered = sorted(newest, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    sections, pictures = [_HEAD], dict[str, str]()
    for name in ordered:
        plots = PLOTS[name](newest[name].figures) if name in PLOTS else []
        shown = []
        for number, plot in enumerate(plot for plot in plots if plot.rows):
            file = f"bench-{name}-{number + 1}.svg"
            pictures[file] = plot.svg()
            shown.append(f"![{plot.title}](images/{file})\n")
        sections.append(_section(newest[name], shown))
    return "\n".join(sections), pictures


def _section(result: Kept, pictures: Sequence[str]) -> str:
    figures, about = result.figures, result.figures.get(MACHINE, {})
    on = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items())
    runs = figures.get(RUNS, 1)
    lines = [
        f"## {result.bench}",
        "",
        f"`{result.command}`, {result.measured_at:%Y-%m-%d %H:%M} UTC, {runs} {'run' if runs == 1 else 'runs'}; {on}.",
        "",
        *pictures,
        *_table(figures),
    ]
    lines += [f"\nNot measured: {row} ({why})" for row, why in figures.get(NOT_MEASURED, {}).items()]
    return "\n".join(lines) + "\n"


def _table(figures: Mapping[str, Any]) -> list[str]:
    spread = figures.get(SPREAD, {})
    rows = ["| figure | value | least | greatest |", "|---|---|---|---|"]
    for path, value in numbers({name: value for name, value in figures.items() if name not in _APART}):
        least, greatest = spread.get(path, ("", ""))
        rows.append(f"| {path.replace('_', ' ').replace('.', ': ')} | {value:,} | {least} | {greatest} |")
    return rows


def _pipeline(figures: Mapping[str, Any]) -> list[Plot]:
    backlog = figures.get("cpu_ms_per_frame", {})
    slow = figures.get("at_rate", {})
    series = ["in a backlog", *([f"at {slow['rate_fps']:g} frames a second"] if slow else [])]
    rows = {part: [cost, *([slow["cpu_ms_per_frame"].get(part)] if slow else [])] for part, cost in backlog.items()}
    speeds = {"facestream": [figures.get("frames_per_s")], "bare loop": [figures.get("bare_loop_frames_per_s")]}
    return [
        Plot("Processor milliseconds a frame", series, rows),
        Plot("Frames a second, all on one machine", [""], speeds),
    ]


def _latency(figures: Mapping[str, Any]) -> list[Plot]:
    stages = {**figures.get("stages", {}), "camera to answer": figures}
    rows = {stage: [found.get(name) for name in _PERCENTILES] for stage, found in stages.items()}
    return [Plot(f"Milliseconds at {figures.get('rate_fps')} frames a second", ["median", "95 %", "99 %"], rows)]


def _search(figures: Mapping[str, Any]) -> list[Plot]:
    rows = {"facestream": [figures.get("p50_ms")], "after an enrolment": [figures.get("after_change_p50_ms")]}
    rows |= {library: [median] for library, median in figures.get("libraries", {}).items()}
    return [Plot(f"Milliseconds a search among {figures.get('templates'):,} templates", [""], rows)]


def _fairness(figures: Mapping[str, Any]) -> list[Plot]:
    names = ("idle_p50_ms", "idle_p99_ms", "bulk_p50_ms", "bulk_p99_ms")
    series = ["alone: median", "alone: 99 %", "beside a bulk: median", "99 %"]
    rows = {row["case"]: [row.get(name) for name in names] for row in figures.get("cases", ())}
    return [Plot("Milliseconds that a live frame takes", series, rows)]


def _recovery(figures: Mapping[str, Any]) -> list[Plot]:
    names = {"empty shard": "empty_s", "new machine": "new_machine_s", "own disk": "own_disk_s", "standby": "standby_s"}
    rows = {label: [figures[name]] for label, name in names.items() if name in figures}
    return [Plot(f"Seconds until a shard of {figures.get('templates'):,} templates answers", [""], rows)]


def _peer(figures: Mapping[str, Any]) -> list[Plot]:
    found = figures.get("peers", ())
    return [
        Plot("Frames a second", [""], {row["peer"]: [row.get("frames_per_s")] for row in found}),
        Plot("Correct names, of all frames", [""], {row["peer"]: [row.get("correct")] for row in found}),
    ]


PLOTS: Mapping[str, Callable[[Mapping[str, Any]], list[Plot]]] = {
    "pipeline": _pipeline,
    "latency": _latency,
    "search": _search,
    "fairness": _fairness,
    "recovery": _recovery,
    "peer": _peer,
}
"""What is drawn of which bench."""
