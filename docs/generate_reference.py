"""Writes the pages of ``docs/reference`` that are generated from the code; ``make docs`` runs it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from prometheus_client import REGISTRY

import schemas.registry
import streams.drift.metrics
import streams.gateway.middleware
import streams.hooks.metrics
import streams.kafka.log_reader
import streams.observability.metrics
import streams.sightings.metrics
from schemas.reasons import Reason
from sinks.bigquery.columns import Column
from sinks.bigquery.saved_queries import SavedQuery, saved_queries
from sinks.bigquery.tables import TABLES, Table
from streams.cameras.status import CameraMetrics
from streams.cli.examples import EXAMPLES
from streams.cli.main import make_app
from streams.cli.settings import settings_table
from streams.kafka.topic_specs import topic_specs
from streams.observability.gauges import Gauges
from streams.settings import Settings
from streams.topology import READS

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
_HOUR_MS = 3_600_000
_METRICS = (
    streams.observability.metrics,
    streams.drift.metrics,
    streams.sightings.metrics,
    streams.hooks.metrics,
    streams.gateway.middleware,
    streams.kafka.log_reader,
)
"""The modules that register metrics."""
_NO_REPORT: Mapping[str, Any] = {
    **{"role": "embed", "name": "embed-0", "host": "here", "alive": True, "ready": True, "waits": None},
    **{"partitions": [], "unreadable": [], "standbys": [], "gallery": []},
}


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(one.replace('|', chr(92) + '|') for one in line)} |" for line in lines)


def settings_page() -> str:
    """Every setting with its default."""
    return (
        "# Settings\n\nAll settings are environment variables. A folder can keep them in a "
        "[file](../operations.md#settings-of-a-folder), by the same names in small letters without `FACESTREAM_`. "
        f"`facestream settings` shows each value, and where it comes from.\n\n{settings_table()}"
    )


def reasons_page() -> str:
    """Every reason with its description."""
    rows = ([f"`{one}`", one.description] for one in Reason)
    return (
        "# Reasons\n\nNothing is dropped silently. If a picture or a face cannot be used, its result has one of these "
        "words. A message that cannot be read or processed at all goes to the topic `dead-letters`, with its bytes and "
        f"its origin.\n\n{table(('reason', 'meaning'), rows)}"
    )


def _carried() -> Mapping[str, Sequence[tuple[str, str, str]]]:
    """Name, key and schema file of the events on each topic, from text such as ``Topic frames, key user_id.``

    Some events are on two topics.
    """
    carried: dict[str, list[tuple[str, str, str]]] = {}
    for file, event_type in schemas.registry.EVENT_TYPES.items():
        doc = schemas.registry.newest(event_type).parsed["doc"]
        if found := re.search(r"Topic ([a-z-]+)(?: and ([a-z-]+))?(?:, all in partition 0)?, key ([^.;:]+)", doc):
            for topic in filter(None, (found[1], found[2])):
                carried.setdefault(topic, []).append((event_type.__name__, found[3], f"{file}.avsc"))
    return carried


def topics_page() -> str:
    """Every topic: its events, their key, its readers, and its retention."""
    carried = _carried()

    def rows() -> Iterator[Sequence[str]]:
        for spec in topic_specs(Settings.model_construct()):
            policy = spec.config["cleanup.policy"]
            kept = (
                f"{int(spec.config['retention.ms']) // _HOUR_MS} hours" if "delete" in policy else "latest of each key"
            )
            events = carried[spec.topic.value]
            linked = ", ".join(f"[{name}](../../schemas/{file})" for name, _, file in events)
            readers = ", ".join(f"`{role}`" for role, topics in READS.items() if spec.topic in topics)
            key = events[0][1].removesuffix(", all in partition 0")
            yield [f"`{spec.name}`", linked, key, str(spec.partitions), f"`{policy}`", kept, readers]

    head = ("topic", "event and schema", "key", "partitions", "cleanup", "kept by default", "consumer groups")
    return (
        "# Topics\n\nValues are Avro in the single-object encoding. Messages are partitioned by murmur2 of the key, "
        "except that chips and resolutions are in the partition of their upload or dead letter, drift references and "
        "open sightings in that of their user, hook deliveries in that of their event, each probe is in every "
        "partition, and all records of `models` and `runs` in partition 0. "
        "`FACESTREAM_TOPIC_PREFIX` is the prefix of every name. The changelog of the gallery is another topic.\n\n"
        f"{table(head, rows())}"
    )


def _columns(columns: Sequence[Column], prefix: str = "") -> Iterator[Sequence[str]]:
    for one in columns:
        mode = "" if one.mode == "NULLABLE" else f" {one.mode.lower()}"
        yield [f"`{prefix}{one.name}`", f"{one.type}{mode}", one.description]
        yield from _columns(one.columns, f"{prefix}{one.name}.")


def _table_section(one: Table) -> str:
    clustered = ", ".join(f"`{name}`" for name in one.cluster_by)
    return (
        f"## {one.name}\n\n{one.description} "
        f"Partitioned by the day of `{one.decided_at}`, clustered by {clustered}.\n\n"
        f"{table(('column', 'type', 'meaning'), _columns(one.columns))}"
    )


def _views() -> Iterator[Sequence[str]]:
    for one in sorted(saved_queries(), key=lambda query: query.name):
        arguments = f"({', '.join(parameter.name for parameter in one.parameters)})" if one.parameters else ""
        yield [f"`{one.name}{arguments}`", one.description]


def _view_columns(one: SavedQuery) -> str:
    rows = [[f"`{part.name}`", f"{part.description} A parameter, {part.type}."] for part in one.parameters]
    rows += [[f"`{name}`", said] for name, said in one.columns.items()]
    others = " and ".join(f"`{name}`" for name in one.reads)
    listed = table(("column", "meaning"), iter(rows))
    return f"### {one.name}\n\nOther columns mean what they mean in {others}.\n\n{listed}"


def tables_page() -> str:
    """Every table with its columns, and every view."""
    sections = "\n\n".join(map(_table_section, TABLES))
    own = sorted((one for one in saved_queries() if one.columns), key=lambda query: query.name)
    of_views = "\n\n".join(map(_view_columns, own))
    return (
        "# Tables and views in BigQuery\n\n`facestream bigquery apply` creates and updates them. "
        "[analysts.md](../analysts.md) has example queries."
        f"\n\n{sections}\n\n## Views\n\n{table(('view', 'rows'), _views())}\n\n{of_views}"
    )


def _metric_rows() -> Iterator[Sequence[str]]:
    modules = {id(value) for module in _METRICS for value in vars(module).values()}
    modules |= {id(value) for value in streams.observability.metrics.STEPS.values()}
    for collector in sorted(REGISTRY._collector_to_names, key=lambda one: getattr(one, "_name", "")):
        if id(collector) in modules:
            one: Any = collector
            name = f"{one._name}_total" if one._type == "counter" else one._name
            yield [f"`{name}`", one._type, ", ".join(f"`{label}`" for label in one._labelnames), one._documentation]
    for metric in Gauges(lambda: dict(_NO_REPORT)).collect():
        partition = any(len(sample.labels) > 1 for sample in metric.samples) or not metric.samples
        labels = (
            "`role`, `name`, `host`"
            if metric.type == "info"
            else "`role`, `topic`, `partition`"
            if partition
            else "`role`"
        )
        name = f"{metric.name}_info" if metric.type == "info" else metric.name
        yield [f"`{name}`", metric.type, labels, metric.documentation]


def _camera_rows() -> Iterator[Sequence[str]]:
    for metric in CameraMetrics(list).collect():
        labels: Any = metric
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield [f"`{name}`", metric.type, ", ".join(f"`{label}`" for label in labels._labelnames), metric.documentation]


def metrics_page() -> str:
    """Every metric of the workers, of the gateways and of the cameras."""
    head = ("metric", "type", "labels", "meaning")
    return (
        "# Metrics\n\nEach worker, and each gateway, serves `/metrics` for Prometheus, and also `/healthz` and "
        "`/readyz`.\n\n"
        f"{table(head, _metric_rows())}\n\n"
        f"`facestream camera` serves these in the same way:\n\n{table(head, _camera_rows())}"
    )


def _commands(command: Any, path: str) -> Iterator[str]:
    is_group = isinstance(command, typer.core.TyperGroup)
    if not is_group or command.invoke_without_command:
        yield _command_section(command, path)
    if is_group:
        for name in sorted(command.commands):
            yield from _commands(command.commands[name], f"{path} {name}")


def _command_section(command: Any, path: str) -> str:
    said = re.sub(r"\s*\n\s*", " ", re.sub(r"\n\s*\n", "\n\n", (command.help or "").strip()).replace("\n\n", "\0"))
    rows: list[Sequence[str]] = []
    usage = path
    for one in command.params:
        default = (
            one.default if isinstance(one.default, str | int | float) and not isinstance(one.default, bool) else None
        )
        about = (getattr(one, "help", "") or "").strip()
        shown = f"{about} Default: `{default}`." if default not in (None, "") else about
        if isinstance(one, typer.core.TyperArgument):
            word = f"{one.name.upper()}..." if one.nargs == -1 else one.name.upper()
            usage += f" {word}" if one.required else f" [{word}]"
        if not getattr(one, "hidden", False):
            names = (
                ", ".join(f"`{name}`" for name in one.opts)
                if isinstance(one, typer.core.TyperOption)
                else f"`{one.name.upper()}`"
            )
            rows.append([names, " ".join(shown.split())])
    options = f"\n\n{table(('argument or option', 'meaning'), iter(rows))}" if rows else ""
    paragraphs = said.replace("\0", "\n\n")
    examples = "\n".join(EXAMPLES.get(path.removeprefix("facestream").strip(), ()))
    return f"## {path}\n\n```text\n{usage}\n```\n\n{paragraphs}{options}\n\n```text\n{examples}\n```"


def commands_page() -> str:
    """Every command with its arguments and options."""
    sections = "\n\n".join(_commands(typer.main.get_command(make_app()), "facestream"))
    return (
        "# Commands\n\nMost commands take `--json`, which makes the last line of the output one JSON object. A command "
        f"that fails prints one line on stderr and exits with a code other than 0.\n\n{sections}"
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "metrics.md": metrics_page,
    "reasons.md": reasons_page,
    "settings.md": settings_page,
    "tables.md": tables_page,
    "topics.md": topics_page,
}


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page().rstrip() + "\n", "utf-8")
    print(json.dumps({"written": list(PAGES)}))


if __name__ == "__main__":
    main()
