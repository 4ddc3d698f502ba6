"""The entry point: finds the commands, and turns an error into one line and an exit code."""

from __future__ import annotations

import importlib
import keyword
import logging
import os
import signal
import stat
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from streams.cli.examples import add_examples, epilog

COMMANDS = (
    "up",
    "down",
    "demo",
    "worker",
    "gateway",
    "keys",
    "hooks",
    "enrol",
    "play",
    "camera",
    "search",
    "watch",
    "sightings",
    "feedback",
    "bigquery",
    "dead_letters",
    "replay",
    "status",
    "settings",
    "shards",
    "subjects",
    "doctor",
    "topics",
    "evaluate",
    "chips",
    "erase",
    "export",
    "import_",
    "retrain",
    "runs",
    "models",
    "plan",
    "bench",
)
"""Modules of this package with a function ``register(app)``; they import heavy modules late, so that help is quick."""
DEBUG = "FACESTREAM_DEBUG"
INTERRUPTED = 130
_TERMINATED = 143
_BROKEN_PIPE = 141
_THIS_MACHINE = ("127.0.0.1", "localhost")


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"facestream {version('facestream')}")
        raise typer.Exit


def make_app(modules: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command line with the commands of these modules of :data:`COMMANDS`."""
    app = typer.Typer(
        help="Recognise faces in event streams.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=epilog(""),
    )
    app.callback()(_root)
    for name in modules:
        importlib.import_module(f"streams.cli.{name}").register(app)
    add_examples(app.registered_commands, app.registered_groups)
    return app


def modules_for(arguments: Sequence[str]) -> Sequence[str]:
    """The modules that a call needs; importing all of them takes longer than many commands."""
    if not arguments or arguments[0].startswith("-"):
        return () if arguments and arguments[0] == "--version" else COMMANDS
    module = arguments[0].replace("-", "_")
    if keyword.iskeyword(module):
        module += "_"
    return (module,) if module in COMMANDS and "_" not in arguments[0] else COMMANDS


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 on success, 1 on failure, 2 on wrong usage, 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wants it
        signal.signal(signal.SIGHUP, _hang_up)
    pass_by_proxies()
    debug = bool(os.environ.get(DEBUG))
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if not debug:
        # The command reports a broker that is away in one line.
        logging.getLogger("facestream.kafka").setLevel(logging.CRITICAL)
    try:
        called = sys.argv[1:] if arguments is None else arguments
        code = make_app(modules_for(called))(called, prog_name="facestream", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        # A group without arguments has shown its help; there is no message.
        if message := error.format_message().replace("Value error, ", ""):
            _say(f"{message} (`--help` shows how it is called)")
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of the output is gone; Python would report that again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _BROKEN_PIPE
    except Exception as error:
        if debug:
            raise
        _say(_one_line(error))
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Recognise faces in event streams."""


def pass_by_proxies() -> None:
    """Let this process and its children reach this machine without the proxy of the environment variables."""
    names = ("no_proxy", "NO_PROXY")
    # Most programs read only one of the two: a new variable must not hide the value of the other.
    values = {
        name: os.environ.get(name) or os.environ.get(other, "") for name, other in zip(names, names[::-1], strict=True)
    }
    for name, hosts in values.items():
        if hosts.strip() != "*":
            listed = [host.strip() for host in hosts.split(",") if host.strip()]
            os.environ[name] = ",".join(dict.fromkeys([*listed, *_THIS_MACHINE]))


def _terminate(*_: object) -> NoReturn:
    sys.exit(_TERMINATED)


def _hang_up(*_: object) -> None:
    """End as at SIGTERM when the terminal is gone, and do not write to it any more, which would fail."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it comes from the shell and from the kernel
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        if stat.S_ISCHR(os.fstat(output).st_mode):
            os.dup2(nowhere, output)
    signal.raise_signal(signal.SIGTERM)


def _say(text: str) -> None:
    print(f"facestream: {text}", file=sys.stderr)


def _one_line(error: Exception) -> str:
    """The message of an error of our own, and more about any other error."""
    from pydantic import ValidationError

    from streams.missing_packages import missing_package, where

    if isinstance(error, ValidationError) and error.title == "Settings":
        from streams.settings import origin
        from streams.settings_file import SETTINGS_FILE

        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"][:1])
        what = f"FACESTREAM_{name.upper()}={first['input']!r}"
        if (file := origin(name)).endswith(SETTINGS_FILE):
            what = f"{file}: {name} = {first['input']!r}"
        return f"{what} cannot be used: {first['msg']} (see `facestream settings`)"
    if package := missing_package(error):
        return f"this installation has no package {package}: {where(package)} ({DEBUG}=1 shows who asks for it)"
    text = " ".join(str(error).split())
    ours = type(error).__module__.split(".")[0] in {"streams", "schemas", "models", "sinks", "infra"}
    if ours or isinstance(error, OSError):
        from streams.cli.away import explain

        return explain(text)
    return f"{type(error).__name__}: {text} ({DEBUG}=1 shows where)"
