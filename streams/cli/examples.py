"""Examples for the help of every command, as lines that can be typed; ``docs/reference/commands.md`` has them too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typer.models import CommandInfo, TyperInfo

EXAMPLES: Mapping[str, Sequence[str]] = {
    "": (
        "facestream up",
        "facestream enrol --user anna --subject obama photos/obama.jpg",
        "facestream play --user anna --camera front-door photos",
        "facestream watch --user anna",
    ),
    "up": (
        "facestream up",
        "facestream up --no-workers  # only Kafka, Redis and BigQuery",
        "facestream up --dir /srv/facestream  # keep the data there",
        "facestream up --detach  # in the background, until facestream down",
    ),
    "down": ("facestream down", "facestream down --home /srv/facestream"),
    "status": ("facestream status", "facestream status --json"),
    "demo": (
        "facestream demo",
        "facestream demo --frames 1000 --fps 20",
        "facestream demo --video street.mp4  # one more camera",
    ),
    "worker": ("facestream worker embed", "facestream worker match  # a second one takes over half the partitions"),
    "gateway": (
        "facestream gateway",
        "facestream gateway --host 0.0.0.0 --port 8080",
        "facestream gateway --without-keys  # for programs of this machine only",
    ),
    "keys create": (
        "facestream keys create --scopes upload,frame,read --user anna",
        "facestream keys create --scopes frame --user anna --name door --expires 90d",
        "facestream keys create --scopes read,ops --all-users",
    ),
    "keys list": ("facestream keys list",),
    "keys revoke": ("facestream keys revoke fs_0J5nQkWbXy",),
    "hooks add": (
        "facestream hooks add https://example.org/seen --user anna",
        "facestream hooks add https://example.org/seen --all-users --name office",
        "facestream hooks add https://example.org/new -u anna --events enrolment",
    ),
    "hooks list": ("facestream hooks list", "facestream hooks list --json | jq .hooks"),
    "hooks test": ("facestream hooks test hook-1f0c",),
    "hooks enable": ("facestream hooks enable hook-1f0c  # its address is back",),
    "hooks remove": ("facestream hooks remove hook-1f0c  # the beginning of its id",),
    "enrol": (
        "facestream enrol --user anna --subject obama photos/obama.jpg",
        "facestream enrol --user anna --dir people  # every people/<subject>/*",
        "facestream enrol --user anna --subject obama --training photos/obama.jpg",
    ),
    "play": (
        "facestream play --user anna --camera front-door --fps 2 photos",
        "facestream play --user anna --camera desk 0  # the webcam",
        "facestream play --user anna --camera yard rtsp://camera.local/stream",
        "facestream play --user anna --mode verify --subject obama photos/biden.jpg",
    ),
    "camera": (
        "facestream camera cameras.toml --check  # look once, send nothing",
        "facestream camera cameras.toml",
    ),
    "search": (
        "facestream search photos/obama.jpg",
        "facestream search photos/obama.jpg --user anna --top 3 --json",
    ),
    "watch": (
        "facestream watch --user anna",
        "facestream watch --details  # with event ids, for facestream feedback",
        "facestream watch --last 100 --count 100 --json",
    ),
    "sightings": (
        "facestream sightings --user anna",
        "facestream sightings --user anna --camera front-door --json",
        "facestream sightings --user anna --follow",
    ),
    "feedback": (
        "facestream feedback EVENT_ID --user anna --subject obama  # it is Obama",
        "facestream feedback EVENT_ID --user anna --not obama  # it is not Obama",
    ),
    "settings": ("facestream settings", "facestream settings --json | jq .settings"),
    "shards": ("facestream shards", "facestream shards --role embed"),
    "subjects list": ("facestream subjects list", "facestream subjects list --user anna"),
    "subjects duplicates": ("facestream subjects duplicates", "facestream subjects duplicates --user anna --json"),
    "doctor": ("facestream doctor", "facestream doctor --quick  # without loading the model"),
    "evaluate": (
        "facestream evaluate people  # pictures as people/<person>/*",
        "facestream evaluate people --model street-v2 --groups groups.csv",
    ),
    "erase": (
        "facestream erase --user anna --subject obama --dry-run  # only count",
        "facestream erase --user anna --subject obama",
        "facestream erase -u anna -s obama --photo 018f9c1e-7c3b-7d21-9f6a-3b1c5d7e9f00",
        "facestream erase --user anna --yes  # the whole user, without a question",
    ),
    "export": (
        "facestream export galleries.avro",
        "facestream export anna.avro --user anna",
        "facestream export anna.npz --user anna  # vectors for NumPy",
    ),
    "import": (
        "facestream import galleries.avro --dry-run",
        "facestream import galleries.avro",
        "facestream import vectors.npz --model sface-2021dec  # of another system",
    ),
    "retrain": (
        "facestream retrain",
        "facestream retrain --workers 2 --steps 500",
        "facestream retrain --mode head --anyway  # a trial with few people",
    ),
    "bigquery apply": (
        "facestream bigquery apply --dry-run",
        "facestream bigquery apply",
        "facestream bigquery apply --analysts facestream_analysts",
    ),
    "bigquery query": (
        "facestream bigquery query sightings_by_day",
        "facestream bigquery query 'SELECT decision, COUNT(*) FROM faces GROUP BY 1'",
    ),
    "bigquery fill": ("facestream bigquery fill matches --dry-run", "facestream bigquery fill matches"),
    "chips list": ("facestream chips list", "facestream chips list --user anna --subject obama"),
    "chips remove": ("facestream chips remove --user anna --subject obama",),
    "dead-letters list": (
        "facestream dead-letters list",
        "facestream dead-letters list --reason unknown_schema --json",
    ),
    "dead-letters show": ("facestream dead-letters show 5e48b24a  # the beginning of its id",),
    "dead-letters export": ("facestream dead-letters export letters.jsonl",),
    "dead-letters dismiss": (
        "facestream dead-letters dismiss --reason missing_key --because old --dry-run",
        "facestream dead-letters dismiss --reason missing_key --because old",
    ),
    "dead-letters pass": ("facestream dead-letters pass frames 3 1042",),
    "replay frames": (
        "facestream replay frames --from -2h --user anna --dry-run",
        "facestream replay frames --from -2h --user anna --correct",
    ),
    "replay uploads": (
        "facestream replay uploads --from -1d --user anna --dry-run",
        "facestream replay uploads --from -1d --user anna --into-gallery",
    ),
    "replay embeddings": (
        "facestream replay embeddings --from -2h --dry-run",
        "facestream replay embeddings --from -2h --camera front-door --correct",
    ),
    "replay dead-letters": (
        "facestream replay dead-letters --reason unknown_schema --dry-run",
        "facestream replay dead-letters --reason unknown_schema",
    ),
    "replay list": ("facestream replay list",),
    "topics create": ("facestream topics create",),
    "topics list": ("facestream topics list",),
    "topics repair": ("facestream topics repair --dry-run", "facestream topics repair"),
    "topics repartition": (
        "facestream topics repartition --partitions 16 --dry-run",
        "facestream topics repartition --partitions 16",
    ),
    "topics acls": (
        "facestream topics acls",
        "facestream topics acls --role embed --principal User:anna --create",
    ),
    "runs list": ("facestream runs list", "facestream runs list --skipped"),
    "runs show": ("facestream runs show RUN_ID",),
    "models list": ("facestream models list",),
    "models show": ("facestream models show dlib-resnet-v1", "facestream models show street-v2 --html"),
    "models import": ("facestream models import my-model",),
    "models shadow": ("facestream models shadow street-v2",),
    "models canary": ("facestream models canary street-v2 --percent 5",),
    "models promote": ("facestream models promote street-v2",),
    "models rollback": ("facestream models rollback --reason 'too many unknown faces'",),
    "models retire": ("facestream models retire street-v1",),
    "models fill": ("facestream models fill street-v2",),
    "models report": ("facestream models report street-v2 --from -1d",),
    "models rollout": ("facestream models rollout street-v2 --auto",),
    "plan": (
        "facestream plan --cameras 500 --fps 2 --subjects 2e6 --retention-days 7",
        "facestream plan --cameras 40 --fps 10 --subjects 5000 --users 1 --json",
    ),
    "bench embed": ("facestream bench embed", "facestream bench embed --model my-model --json"),
    "bench detect": ("facestream bench detect", "facestream bench detect --rounds 5 --json"),
    "bench pipeline": (
        "facestream bench pipeline --frames 500 --rounds 1",
        "facestream bench pipeline --rate 5 --save  # keep it for the report",
    ),
    "bench report": ("facestream bench report", "facestream bench report --to bench.md"),
    "bench peer": ("facestream bench peer", "facestream bench peer --only deepface --frames 50"),
    "bench fairness": (
        "facestream bench fairness --only one-user",
        "facestream bench fairness --events 20000 --seconds 60 --json",
    ),
    "bench latency": ("facestream bench latency", "facestream bench latency --share 0.8 --seconds 60"),
    "bench faults": ("facestream bench faults --list", "facestream bench faults --only 'sigkill match'"),
    "bench replay": ("facestream bench replay --events 5000",),
    "bench rollout": ("facestream bench rollout --rate 50",),
    "bench retrain": ("facestream bench retrain people --steps 200",),
    "bench corrections": ("facestream bench corrections people",),
    "bench train": ("facestream bench train --steps 10 --rounds 1",),
    "bench drift": ("facestream bench drift people --frames 2000",),
    "bench commands": ("facestream bench commands", "facestream bench commands --rounds 1 --json"),
    "bench search": (
        "facestream bench search --templates 100000",
        "facestream bench search --templates 1000000 --compact --json",
    ),
    "bench import": ("facestream bench import --templates 20000", "facestream bench import --users 1 --json"),
    "bench recovery": ("facestream bench recovery", "facestream bench recovery --templates 1000000 --json"),
    "bench search-all": (
        "facestream bench search-all --templates 100000",
        "facestream bench search-all --json",
    ),
    "bench gateway": ("facestream bench gateway", "facestream bench gateway --requests 10000 --json"),
    "bench questions": ("facestream bench questions --records 10000",),
}
"""Lines by the name of the command; the empty name is ``facestream`` itself."""


def epilog(name: str) -> str | None:
    """What the help of a command ends with; None without examples."""
    lines = EXAMPLES.get(name)
    return None if not lines else "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def add_examples(commands: Sequence[CommandInfo], groups: Sequence[TyperInfo], above: str = "") -> None:
    """Let the help of these commands, and of those of the groups, end with their examples."""
    for command in commands:
        command.epilog = epilog(f"{above} {command.name}".strip())
    for group in groups:
        if group.typer_instance is not None:
            inner = group.typer_instance
            add_examples(inner.registered_commands, inner.registered_groups, f"{above} {group.name}".strip())
