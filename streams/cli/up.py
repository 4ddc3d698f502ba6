"""``facestream up``."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.console import RUN, Json, Output, grid, line
from streams.cli.settings import masked
from streams.roles import Embedder, running_roles

if TYPE_CHECKING:
    from streams.homes.run import Run

Folder = Annotated[
    Path | None,
    typer.Option("--dir", "--home", help="Folder for data and logs; default: FACESTREAM_HOME.", show_default=False),
]
_LOOK_S = 0.2
_ADDRESSES = ("kafka", "redis_url", "bigquery_rest", "bigquery_grpc")


class RunsOtherwise(Exception):
    """What runs in the folder is not what was asked for."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up", rich_help_panel=RUN)(up)


def up(
    folder: Folder = None,
    workers: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Run the workers too, not only the services.")
    ] = True,
    embedder: Annotated[Embedder, typer.Option(help="See `facestream worker --help`.")] = Embedder.MODEL,
    port_base: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_000,
            show_default=False,
            help="First of the 50 ports of this folder, which it keeps: Kafka, 1 internal, Redis, BigQuery (REST, "
            "gRPC), the gateway, and from the 10th on the workers' metrics. Default: the folder's last, at first 14000 "
            "or the next range that no other folder has. 0: any free ports, this time.",
        ),
    ] = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Start even if records or topics have been lost.")
    ] = False,
    another: Annotated[
        bool, typer.Option("--another", help="Run one more stack, in the next free folder beside.")
    ] = False,
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Return when everything is ready; it runs until `facestream down`."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run Kafka, Redis, BigQuery, all workers and the gateway on this machine until Ctrl-C; the folder keeps its data.

    If they run there already, it says so and ends with 0, or with 1 if they run with other options.
    """
    from infra.services import FolderInUse
    from streams.homes.run import current
    from streams.settings import OwnSettings

    output = Output(as_json)
    default = OwnSettings().home
    home = _free(folder or default) if another else folder or default
    there = _await_end(output, home)
    if there is None and detach:
        _run_detached(output, home, workers, embedder, port_base, accept_loss)
        return
    if there is None:
        try:
            _run(output, home, workers, embedder, port_base, accept_loss)
        except FolderInUse:
            there = current(home)
            if there is None:
                raise
    if there is not None:
        _say_what_runs(output, home, there, _differences(home, there, workers, embedder, port_base))


def _await_end(output: Output, home: Path) -> Run | None:
    """What runs in a home; a stack that is stopping there is waited for."""
    from streams.homes.state import Phase, look

    said = False
    while (here := look(home)).phase is Phase.STOPPING:
        if not said:
            output.note(f"waiting for the stack that is stopping in {here.folder}")
        said = True
        time.sleep(_LOOK_S)
    return here.run


def _run(
    output: Output, home: Path, workers: bool, embedder: Embedder, port_base: int | None, accept_loss: bool
) -> None:
    """Run the stack until it is stopped.

    Raises:
        FolderInUse: another process runs services in the folder.
    """
    from streams.devtools.home_ports import choose
    from streams.devtools.local_stack import Stack
    from streams.homes.run import Run

    own = Run.own(workers, str(embedder))
    stack = Stack(home, output.warn, accept_loss=accept_loss, port_base=choose(home, port_base), run=own)
    stack.start()
    with stack.until_stopped():
        if workers:
            stack.start_gateway()
            stack.add_workers(embedder, running_roles(stack.settings.search_purposes))
            stack.await_gateway()
        stack.announce()
        _show(output, home)
        output.say(f"Ready. {_how_commands_find(home)}; Ctrl-C stops everything and loses nothing.")
        if output.as_json:
            roles = list(running_roles(stack.settings.search_purposes)) if workers else []
            line({"ready": True, "roles": roles, "environment": stack.environment()})
        try:
            while (death := stack.services.supervisor.wait(1.0)) is None or death.restart_in_s is not None:
                pass
        finally:
            output.say("Stopping: every worker finishes its batch.")
        raise typer.Exit(1)


def _run_detached(
    output: Output, home: Path, workers: bool, embedder: Embedder, port_base: int | None, accept_loss: bool
) -> None:
    """Run the stack in the background, and return when it is ready."""
    from streams.devtools.background import log_of, start

    options = ["--workers" if workers else "--no-workers", "--embedder", str(embedder)]
    options += [] if port_base is None else ["--port-base", str(port_base)]
    options += ["--accept-loss"] if accept_loss else []
    run = start(home, options, output.warn)
    _show(output, home)
    output.say(
        f"Ready. {_how_commands_find(home)}; `{_down(home)}` stops everything and loses nothing. "
        f"What happens is in {log_of(home)}."
    )
    if output.as_json:
        line(_what_runs(home, run))


def _how_commands_find(home: Path) -> str:
    if _is_default(home):
        return "Commands in this folder find it by themselves"
    return f"Commands find it after `export FACESTREAM_HOME={shlex.quote(str(home.absolute()))}`"


def _down(home: Path) -> str:
    """The command that stops the stack of a home."""
    return "facestream down" + ("" if _is_default(home) else f" --home {shlex.quote(str(home.absolute()))}")


def _is_default(home: Path) -> bool:
    from streams.settings import OwnSettings

    return home.absolute() == OwnSettings().home.absolute()


def _show(output: Output, home: Path) -> None:
    """The addresses of what runs in a home."""
    from streams.api_keys.local_key import KEY_FILE
    from streams.homes.run import announced

    told, page = announced(home) or {"settings": {}}, None
    table = grid("", "")
    for name in _ADDRESSES:
        table.add_row(name, masked(told["settings"].get(name, "")))
    if (key := _key(home)) is not None:
        values = told["settings"]
        host = values.get("gateway_host", "127.0.0.1")
        address = f"http://{host}:{values.get('gateway_port')}"
        page = f"{address}/#key={key}"
        table.add_row("gateway", f"{address}/api/")
        table.add_row("key of the gateway", f"{key} (in {home.absolute() / KEY_FILE})")
    table.add_row("data and logs", str(home.absolute()))
    output.table(table)
    if page is not None:
        output.say(f"The live page, signed in: {page}")  # a line of its own, which no table folds


def _key(home: Path) -> str | None:
    """The key of the gateway that runs in a home."""
    from streams.api_keys.local_key import KEY_FILE
    from streams.homes.run import current

    run, path = current(home), home / KEY_FILE
    return path.read_text("utf-8").strip() if run is not None and run.workers and path.exists() else None


def _say_what_runs(output: Output, home: Path, run: Run, differences: list[str]) -> None:
    """Say what runs in a home already.

    Raises:
        RunsOtherwise: it is not what was asked for.
    """
    from streams.homes.run import announced

    told = announced(home)
    does = "runs" if told is not None else "is starting"
    what = f"`facestream up` {does} in {home.absolute()} already: process {run.pid}, since {run.since}"
    if differences:
        raise RunsOtherwise(
            f"{what}, but with {' and '.join(differences)}. Stop it first (Ctrl-C there, or `{_down(home)}`), or run a "
            "second one beside it with --another"
        )
    output.say(f"{what}. `{_down(home)}` stops it.")
    if told is not None:
        _show(output, home)
    if output.as_json:
        line(_what_runs(home, run) | {"already": True})


def _what_runs(home: Path, run: Run) -> dict[str, Any]:
    """What runs in a home, for programs."""
    from streams.homes.run import announced
    from streams.settings import variables

    told = announced(home)
    found = told["settings"] | {"home": str(home.absolute())} if told is not None else {}
    return {
        "ready": told is not None,
        "pid": run.pid,
        "roles": list(running_roles(found.get("search_purposes", ()))) if run.workers else [],
        "environment": variables(found),
    }


def _differences(home: Path, run: Run, workers: bool, embedder: Embedder, port_base: int | None) -> list[str]:
    """What runs otherwise than it was asked for, with options or settings."""
    from streams.homes.ports import remembered
    from streams.homes.run import announced
    from streams.kafka_settings import KafkaSettings
    from streams.settings import OwnSettings, Settings

    found = []
    if run.workers != workers:
        found.append("its workers" if run.workers else "--no-workers")
    elif workers and run.embedder != embedder:
        found.append(f"--embedder {run.embedder}")
    if port_base not in (None, remembered(home)):
        found.append("other ports")
    if (told := announced(home)) is not None:
        asked = OwnSettings(home=home)
        own = {"home", *_ADDRESSES, "bigquery_project", *KafkaSettings.model_fields}
        runs = Settings.model_construct(**told["settings"]).model_dump(mode="json")
        for name, wanted in asked.model_dump(mode="json", include=asked.model_fields_set - own).items():
            if wanted != (has := runs[name]):
                found.append(f"FACESTREAM_{name.upper()}={has} instead of {wanted}")
    return found


def _free(home: Path) -> Path:
    """The folder, or the next free one if another process runs services in it."""
    from filelock import FileLock, Timeout

    for number in range(1, 100):
        candidate = home if number == 1 else home.with_name(f"{home.name}-{number}")
        candidate.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(candidate / "lock", blocking=False):
                return candidate
        except Timeout:
            continue
    return home
