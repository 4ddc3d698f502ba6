"""The house's own rules: who may import whom, and what no file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("streams", "sinks", "models", "schemas", "infra")
MAY_IMPORT = {
    "streams": {"streams", "sinks", "models", "schemas"},
    "streams/cli": set(ROOMS),
    "streams/devtools": set(ROOMS),
    "sinks": {"sinks", "schemas"},
    "models": {"models", "schemas"},
    "schemas": {"schemas"},
    "infra": {"infra"},
}
"""The rooms: who may import whom."""
LAYERS: Mapping[str, Sequence[Sequence[str]]] = {
    "streams": (
        (
            *("settings", "settings_file", "kafka_settings", "roles", "text", "missing_packages", "homes", "made_by"),
            "traces",
            "public_addresses",
        ),
        ("kafka",),
        ("topology", "client", "cameras", "model_registry", "observability", "privacy", "replay", "api_keys"),
        ("dead_letters", "feedback"),
        ("engine", "drift"),
        ("embedding", "matching", "searching", "sightings", "hooks"),
        ("rollout", "training_data"),
        ("devtools", "operations", "retraining"),
        ("worker", "producer", "gateway"),
        ("cli",),
    ),
    "models": (
        ("pictures", "hidden_packages"),
        ("embedder", "drift", "sightings"),
        ("analysis", "matching"),
        ("evaluation", "testing"),
        ("training",),
        ("report", "reference"),
    ),
    "sinks": (("base", "pages"), ("redis", "bigquery")),
}
"""The folders of a room, and its modules that lie in none, from the lowest layer to the highest: each imports its own
layer and those before it. Within a layer no two folders import each other, however roundabout."""
REGISTRIES = (
    r"pypi\.org|pythonhosted\.org|pkg\.dev|jfrog\.io|maven\.org|maven2|registry\.npmjs|conda\.anaconda|"
    r"--(extra-)?index-url|--find-links"
)
MAX_LINES = 400


@cache
def modules() -> tuple[Path, ...]:
    return tuple(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))


def offending(check: Callable[[Path], object]) -> dict[str, object]:
    """What a check finds wrong with each module, of all modules: one test for all is a hundred times faster."""
    assert len(modules()) > 300
    found = {str(path.relative_to(ROOT)): check(path) for path in modules()}
    return {path: wrong for path, wrong in found.items() if wrong}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.add(node.module or "")
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def room_of(path: Path) -> str:
    inside = path.relative_to(ROOT).parts
    return "/".join(inside[:2]) if "/".join(inside[:2]) in MAY_IMPORT else inside[0]


def folder_of(path: Path) -> tuple[str, str] | None:
    """The room and the folder of a module, or its own name where it lies in no folder; None for a room itself."""
    room, *inside = path.relative_to(ROOT).with_suffix("").parts
    return None if inside == ["__init__"] else (room, inside[0])


def folders_imported(path: Path) -> set[str]:
    """The other folders of its room that a module imports."""
    room, folder = folder_of(path) or ("", "")
    names = [name.split(".") for name in imports(path)]
    return {name[1] for name in names if name[0] == room and len(name) > 1} - {folder}


def test_imports_go_downwards_only() -> None:
    def rooms_above(path: Path) -> set[str]:
        return ({name.split(".")[0] for name in imports(path)} & set(ROOMS)) - MAY_IMPORT[room_of(path)]

    assert not offending(rooms_above)


def test_folders_import_downwards_only() -> None:
    def folders_above(path: Path) -> set[str]:
        place = folder_of(path)
        if place is None or place[0] not in LAYERS:
            return set()
        room, folder = place
        layers = LAYERS[room]
        (own,) = (number for number, layer in enumerate(layers) if folder in layer)
        return folders_imported(path) - set(chain.from_iterable(layers[: own + 1]))

    assert not offending(folders_above)


@pytest.mark.parametrize("room", LAYERS)
def test_no_two_folders_import_each_other(room: str) -> None:
    graph: dict[str, set[str]] = {}
    for path in modules():
        place = folder_of(path)
        if place is not None and place[0] == room:
            graph.setdefault(place[1], set()).update(folders_imported(path))
    assert list(TopologicalSorter(graph).static_order())


def test_only_streams_knows_faust() -> None:
    def faust(path: Path) -> set[str]:
        if room_of(path).startswith("streams"):
            return set()
        return {name for name in imports(path) if name.split(".")[0] in {"faust", "mode"}}

    assert not offending(faust)


def test_models_and_schemas_know_nothing_of_kafka() -> None:
    def kafka(path: Path) -> set[str]:
        if room_of(path) not in {"models", "schemas", "sinks"}:
            return set()
        return {name for name in imports(path) if name.split(".")[0] in {"confluent_kafka", "aiokafka"}}

    assert not offending(kafka)


def test_a_module_is_about_one_thing() -> None:
    assert not offending(lambda path: max(len(path.read_text("utf-8").splitlines()) - MAX_LINES, 0))


INTERNALS = {"streams/engine/faust_internals.py", "streams/engine/aiokafka_internals.py"}
"""Where private names of Faust and aiokafka are used, which both are pinned for."""


def private_names_of_others(tree: ast.AST) -> set[str]:
    """Private attributes that a module takes of an object and that it does not define itself.

    Names in capitals are librdkafka's error codes, which are public.
    """
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    defined |= {
        one.attr
        for one in attributes
        if isinstance(one.ctx, ast.Store) and isinstance(one.value, ast.Name) and one.value.id in {"self", "cls"}
    }
    names = {one.attr: ast.unparse(one) for one in attributes if one.attr not in defined}
    private = {name for name in names if name.startswith("_") and not name.startswith("__") and not name.isupper()}
    return {names[name] for name in private} - {"os._exit"}


def test_private_names_of_faust_and_aiokafka_are_used_in_one_place() -> None:
    def private(path: Path) -> set[str]:
        if not room_of(path).startswith("streams") or str(path.relative_to(ROOT)) in INTERNALS:
            return set()
        return private_names_of_others(tree(path))

    assert not offending(private)


CONSUMERS = {"streams/kafka/connection.py": "Consumer", "streams/kafka/async_connection.py": "AIOKafkaConsumer"}
"""Where consumers are made, of either library: there it is said what they read."""


def test_consumers_are_made_where_it_is_said_that_they_read_what_is_committed() -> None:
    makers = {"Consumer", "DeserializingConsumer", "AvroConsumer", "AIOKafkaConsumer"}

    def made_or_missing(path: Path) -> set[str]:
        if room_of(path) not in {"streams", "streams/cli", "streams/devtools", "sinks"}:
            return set()
        calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
        made = {
            (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) for call in calls
        }
        where = str(path.relative_to(ROOT))
        return (made & makers) ^ ({CONSUMERS[where]} if where in CONSUMERS else set())

    assert not offending(made_or_missing)


MAKERS = {
    "streams/kafka/connection.py": {"AdminClient", "Consumer", "Producer"},
    "streams/kafka/async_connection.py": {"AIOKafkaAdminClient", "AIOKafkaClient", "AIOKafkaConsumer"},
    "streams/kafka/refusals.py": {"AdminClient"},
}
"""Where Kafka clients are made, of either library."""


def test_kafka_clients_are_made_in_one_place() -> None:
    libraries = {"confluent_kafka", "confluent_kafka.admin", "aiokafka", "aiokafka.admin", "aiokafka.client"}
    names = {"AdminClient", "AIOKafkaAdminClient", "AIOKafkaClient", "AIOKafkaConsumer", "AIOKafkaProducer"}

    def made_or_missing(path: Path) -> set[str]:
        if not room_of(path).startswith("streams"):
            return set()
        imported = imports(path)
        made: set[str] = set()
        for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
                if call.func.value.id in libraries and call.func.attr in names | {"Consumer", "Producer"}:
                    made.add(call.func.attr)
            elif isinstance(call.func, ast.Name) and {f"{one}.{call.func.id}" for one in libraries} & imported:
                made |= {call.func.id} & (names | {"Consumer", "Producer"})
        return made ^ MAKERS.get(str(path.relative_to(ROOT)), set())

    assert not offending(made_or_missing), "ask streams.kafka.connection for it"


REDIS_MAKERS = {"sinks/redis/connection.py", "sinks/redis/cluster.py", "infra/redis.py"}
"""Where clients of Redis are made; the second one asks the server of this machine only whether it serves."""


def test_clients_of_redis_are_made_in_one_place() -> None:
    client = re.compile(r"([\w.]+\.)?(Redis|StrictRedis|RedisCluster|Sentinel|\w*ConnectionPool)(\.from_\w+)?")

    def made_elsewhere(path: Path) -> set[str]:
        if str(path.relative_to(ROOT)) in REDIS_MAKERS or not any(name.startswith("redis") for name in imports(path)):
            return set()
        calls = {ast.unparse(one.func) for one in ast.walk(tree(path)) if isinstance(one, ast.Call)}
        return {call for call in calls if client.fullmatch(call)}

    assert not offending(made_elsewhere), "ask sinks.redis.connection for it"


def test_both_libraries_are_told_the_same() -> None:
    """And Faust, see tests/streams/engine/test_faust_internals.py."""
    assert '"isolation.level": ISOLATION' in (ROOT / "streams/kafka/connection.py").read_text()
    assert "async_consumer(self._settings, ISOLATION)" in (ROOT / "streams/kafka/offsets.py").read_text()


def test_there_is_one_type_of_a_partition() -> None:
    """It is turned into the libraries' own in one place; the client's distribution does without that."""
    foreign = {f"{library}.TopicPartition" for library in ("confluent_kafka", "aiokafka", "aiokafka.structs")}

    def others(path: Path) -> set[str]:
        if str(path.relative_to(ROOT)).startswith(("streams/kafka/messages.py", "streams/client/")):
            return set()
        made = {ast.unparse(one.func) for one in ast.walk(tree(path)) if isinstance(one, ast.Call)}
        return foreign & (imports(path) | made)

    assert not offending(others), "use schemas.partition.TopicPartition, to_confluent and to_aiokafka"


def test_no_file_holds_the_address_of_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    held = {}
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path != Path(__file__):
            text = path.read_bytes().decode("utf-8", "ignore")
            if match := re.search(REGISTRIES, text):
                held[name] = match[0]
    assert not held
