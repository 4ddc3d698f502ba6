"""Runs commands that reach no service in forks of one process that has imported them: each is a process of its own.

Tests import :func:`run`. ``python -m tests.streams.cli.preloaded SOCKET`` is the process that forks.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

HEAVY = (
    "aiokafka",
    "confluent_kafka.admin",
    "fastavro",
    "google.cloud.bigquery",
    "numpy",
    "redis",
    "requests",
    "streams.kafka.topic_admin",
    "streams.producer",
    "streams.settings",
)
"""What commands import when they run, as far as it starts no thread, which a fork would lack."""


def run(arguments: list[str], env: Mapping[str, str], folder: Path, timeout_s: float) -> tuple[int, str, str]:
    """Run a command; return its exit code, and what it wrote to stdout and stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, socket.socket(socket.AF_UNIX) as call:
        call.settimeout(timeout_s)
        call.connect(_server())
        request = json.dumps({"arguments": arguments, "env": dict(env), "folder": str(folder)}).encode()
        socket.send_fds(call, [len(request).to_bytes(4, "big")], [out.fileno(), err.fileno()])
        call.sendall(request)
        reply = call.makefile("r")
        pid = int(reply.readline())
        try:
            code = int(reply.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(arguments, timeout_s) from None
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(), err.read().decode()


@cache
def _server() -> str:
    """Start the process that forks; it ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="facestream-preloaded-"))
    address = folder / "socket"
    env = {name: value for name, value in os.environ.items() if not name.startswith("FACESTREAM_")}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(address)],
        env=env | {"PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    atexit.register(_end, process, folder)
    while not address.exists():
        assert process.poll() is None, "the process that runs the commands has ended"
        time.sleep(0.01)
    return str(address)


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.kill()
    process.wait()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _serve(address: str) -> None:
    from streams.cli import main  # before the module of that name takes its place
    from streams.cli.main import COMMANDS

    for name in (*(f"streams.cli.{command}" for command in COMMANDS), *HEAVY):
        importlib.import_module(name)
    assert threading.active_count() == 1
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    tests = os.getppid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{address}.new")
        listener.listen()
        listener.settimeout(1)
        Path(f"{address}.new").rename(address)
        while os.getppid() == tests:
            with contextlib.suppress(TimeoutError):
                call, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    _answer(call, main)
                    os._exit(0)
                call.close()


def _answer(call: socket.socket, main: Callable[[], NoReturn]) -> None:
    """Start one command, say its process id, wait for it, and say its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    call.setblocking(True)
    length, streams, _, _ = socket.recv_fds(call, 4, 2)
    asked = json.loads(call.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
    if (pid := os.fork()) == 0:
        call.close()
        for number, stream in zip((0, 1, 2), (os.open(os.devnull, os.O_RDONLY), *streams), strict=True):
            os.dup2(stream, number)
        _run(asked, main)
    call.sendall(f"{pid}\n".encode())
    status = os.waitpid(pid, 0)[1]
    call.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _run(asked: dict[str, Any], main: Callable[[], NoReturn]) -> None:
    """Do as ``python -m streams.cli`` does, and end as Python ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    sys.argv[1:] = asked["arguments"]
    code: Any = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
