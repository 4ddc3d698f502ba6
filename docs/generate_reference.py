"""Writes the pages of ``docs/reference`` that are generated from the code; ``make docs`` runs it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer
from prometheus_client import REGISTRY

import schemas.registry
import streams.drift.metrics
import streams.gateway.middleware
import streams.hooks.metrics
import streams.kafka.log_reader
import streams.sightings.metrics
from schemas.reasons import Reason
from sinks.bigquery.columns import Column
from sinks.bigquery.saved_queries import SavedQuery, analyst_views, saved_queries
from sinks.bigquery.tables import TABLES, Table
from streams.cameras.status import CameraMetrics
from streams.cli.examples import EXAMPLES
from streams.cli.main import make_app
from streams.cli.settings import settings_table
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import Topic
from streams.observability.gauges import FAMILIES
from streams.observability.metrics import GATEWAY, SHOWN_BY
from streams.operations.access_rights import RIGHTS, AccessRights, User
from streams.roles import Role
from streams.settings import Settings
from streams.topology import READS

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
_HOUR_MS = 3_600_000
_REGISTERING = (
    streams.drift.metrics,
    streams.sightings.metrics,
    streams.hooks.metrics,
    streams.gateway.middleware,
    streams.kafka.log_reader,
)
"""The modules that register metrics when they are imported, besides ``streams.observability.metrics``."""
_UNITS = {
    **{"ratio": "0 to 1", "effect": "none", "current": "that of the measure", "way": "requests"},
    **{"late": "frames", "vectors": "frames", "letters": "dead letters"},
}
"""By the last word of a metric's name, where that is not the unit."""
_FLAGS = ("alive", "ready", "alarm", "connected", "loaded", "answers")


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


def _views(queries: Sequence[SavedQuery]) -> Iterator[Sequence[str]]:
    for one in sorted(queries, key=lambda query: query.name):
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
    without_names = "\n\n".join(map(_view_columns, analyst_views()))
    return (
        "# Tables and views in BigQuery\n\n`facestream bigquery apply` creates and updates them. "
        "[analysts.md](../analysts.md) has example queries."
        f"\n\n{sections}\n\n## Views\n\n{table(('view', 'rows'), _views(saved_queries()))}\n\n{of_views}"
        "\n\n## Views without names\n\n`facestream bigquery apply --analysts DATASET` makes them in that dataset: see "
        "[security.md](../security.md#analysts-without-names)."
        f"\n\n{table(('view', 'rows'), _views(analyst_views()))}\n\n{without_names}"
    )


class ListedMetric(NamedTuple):
    """A line of the page of metrics; ``name`` is as Prometheus shows it, without the suffixes of histograms."""

    name: str
    type: str
    labels: Sequence[str]
    documentation: str
    roles: Collection[str]

    @property
    def unit(self) -> str:
        """The unit, which the name says."""
        if self.type == "info":
            return "1"
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return _UNITS.get(last, "0 or 1" if last in _FLAGS else last)


def listed_metrics() -> Sequence[ListedMetric]:
    """Every metric of the workers and of the gateways."""
    found = []
    for collector in set(REGISTRY._collector_to_names):
        if (name := getattr(collector, "_name", "")).startswith("facestream_"):
            one: Any = collector
            shown = f"{name}_total" if one._type == "counter" else name
            roles = SHOWN_BY.get(name, (*Role, GATEWAY))
            found.append(ListedMetric(shown, one._type, one._labelnames, one._documentation, roles))
    about = "The role, name and host of the worker."
    found.append(ListedMetric("facestream_worker_info", "info", ("role", "name", "host"), about, tuple(Role)))
    for families in FAMILIES.values():
        found += [
            ListedMetric(f"facestream_{one.name}", "gauge", one.labels, one.documentation, one.roles or tuple(Role))
            for one in families
        ]
    return sorted(found, key=lambda one: one.name)


def camera_metrics() -> Sequence[ListedMetric]:
    """Every metric of ``facestream camera``."""
    found = []
    for metric in CameraMetrics(list).collect():
        one: Any = metric
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        found.append(ListedMetric(name, metric.type, one._labelnames, metric.documentation, ("camera",)))
    return found


def _shown_by(roles: Collection[str]) -> str:
    if set(roles) == {*Role, GATEWAY}:
        return "all workers, `gateway`"
    if set(roles) == set(Role):
        return "all workers"
    left_out = [f"`{role}`" for role in Role if role not in roles]
    named = [f"`{role}`" for role in roles]
    return ", ".join(named) if len(named) <= len(left_out) + 2 else f"all workers but {', '.join(left_out)}"


def _metric_rows(metrics: Sequence[ListedMetric]) -> Iterator[Sequence[str]]:
    for one in metrics:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        yield [f"`{one.name}`", one.type, one.unit, labels, _shown_by(one.roles), one.documentation]


def metrics_page() -> str:
    """Every metric of the workers, of the gateways and of the cameras."""
    head = ("metric", "type", "unit", "labels", "shown by", "meaning")
    return (
        "# Metrics\n\nEach worker, and each gateway, serves `/metrics` for Prometheus, and also `/healthz` and "
        "`/readyz`. Besides these there are the usual metrics `process_…` and `python_…` of the process. The counters "
        "and histograms of a role are there from its start; a gauge is there while there is something to show.\n\n"
        f"{table(head, _metric_rows(listed_metrics()))}\n\n"
        f"`facestream camera` serves these in the same way:\n\n{table(head, _metric_rows(camera_metrics()))}\n\n"
        "No label has more values than there are roles, topics, partitions, reasons, routes, model versions or "
        "configured cameras; drift is shown for the first 200 cameras of a worker."
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


def _rights_row(user: User, rights: AccessRights) -> Sequence[str]:
    def listed(topics: Collection[Topic]) -> str:
        return "all" if len(topics) == len(Topic) else ", ".join(f"`{topic}`" for topic in Topic if topic in topics)

    changelog = ", ".join(one.lower() for one in sorted(rights.changelog))
    groups = "all: commit, delete" if rights.manages else "its own" if rights.groups else ""
    return [f"`{user}`", listed(rights.reads), listed(rights.writes), changelog, groups]


def rights_page() -> str:
    """What each user may do on Kafka."""
    head = ("user", "reads", "writes", "changelog of galleries", "consumer groups")
    rows = (_rights_row(user, rights) for user, rights in RIGHTS.items())
    return (
        "# Rights on Kafka\n\n`facestream topics acls` prints these rights as ACLs, or creates them; see "
        "[security.md](../security.md#users-and-acls).\n\n"
        f"{table(head, iter(rows))}\n\n"
        "- Roles and the gateway may describe all topics besides: they start only where all are partitioned alike.\n"
        "- Whoever reads may describe the groups whose names begin with `facestream-`: who reads outside a group gives "
        "such a name too, and Kafka's client asks who coordinates it.\n"
        "- The gateway may describe the groups of all roles.\n"
        "- The operator may also create, configure and delete the topics, and their copies during a repair "
        "(`*.repair`).\n"
        "- Nobody needs a right on the cluster: who may write may write idempotently (since Kafka 2.8), and nobody "
        "uses transactions. `--create` itself needs `ALTER` on the cluster."
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "metrics.md": metrics_page,
    "reasons.md": reasons_page,
    "rights.md": rights_page,
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
