"""Runs commands in forks of a process that has imported what they need: each is a process of its own.

Tests import :func:`start` and :func:`run`; :func:`for_supervisors` makes workers of stacks such forks too.
``python -m tests.streams.cli.preloaded SOCKET NAME...`` is the process that forks. It has imported the modules and made
nothing: no client, no thread of Python, no TensorFlow context.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn
from unittest import mock

from infra import child

ALL = (
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

SOME: Mapping[str, tuple[str, ...]] = {
    "worker": (
        "sinks.bigquery",
        "sinks.redis",
        "streams.drift.processor",
        "streams.embedding.agent",
        "streams.engine.faust_runner",
        "streams.engine.sink_worker",
        "streams.hooks.worker",
        "streams.matching.agent",
        "streams.retraining.agent",
        "streams.worker",
    ),
    "retrain": ("keras", "matplotlib.pyplot", "models.training.retrain", "scipy.stats", "sklearn.metrics"),
}
"""What only these commands import; each has its own process that forks, where others would behave otherwise."""

WORKER = (sys.executable, "-m", "streams.cli", "worker")


class Started:
    """A command that runs: what the tests and the supervisor need of :class:`subprocess.Popen`, from any thread."""

    def __init__(self, arguments: list[str], pid: int, call: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._arguments = arguments
        self._call = call
        self._lock = threading.Lock()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit code."""
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        try:
            if self.returncode is None:
                self._call.settimeout(timeout)
                self.returncode = int(_line(self._call))
                self._call.close()
            return self.returncode
        except (TimeoutError, BlockingIOError):
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0) from None
        finally:
            self._lock.release()

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def start(
    arguments: list[str],
    env: Mapping[str, str],
    folder: Path,
    out: IO[bytes],
    err: IO[bytes],
    *,
    own_session: bool = False,
) -> Started:
    """Start a command that writes to these files; one with a session of its own ends with this process."""
    call = socket.socket(socket.AF_UNIX)
    call.connect(_server(arguments[0] if arguments and arguments[0] in SOME else ""))
    asked = {"arguments": arguments, "env": dict(env), "folder": str(folder), "own_session": own_session}
    request = json.dumps(asked).encode()
    socket.send_fds(call, [len(request).to_bytes(4, "big")], [out.fileno(), err.fileno()])
    call.sendall(request)
    return Started(arguments, int(_line(call)), call)


@contextlib.contextmanager
def for_supervisors() -> Iterator[None]:
    """Let supervisors start workers as forks; everything else they start as they do outside of tests."""
    as_a_program = child.start

    def started(argv: Sequence[str], *, log: IO[bytes], env: Mapping[str, str], cwd: Path | None) -> Any:
        if tuple(argv[:4]) != WORKER:
            return as_a_program(argv, log=log, env=env, cwd=cwd)
        return start([*argv[3:]], env, cwd or Path.cwd(), log, log, own_session=True)

    with mock.patch.object(child, "start", started):
        yield


def run(arguments: list[str], env: Mapping[str, str], folder: Path, timeout_s: float) -> tuple[int, str, str]:
    """Run a command; return its exit code, and what it wrote to stdout and stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = start(arguments, env, folder, out, err)
        try:
            code = started.wait(timeout_s)
        finally:
            started.send_signal(signal.SIGKILL)
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(), err.read().decode()


def _line(call: socket.socket) -> bytes:
    """The next line; the process that forks sends each in one piece, and two may have come."""
    line = b""
    while not line.endswith(b"\n"):
        byte = call.recv(1)
        assert byte, "the process that runs the commands has ended"
        line += byte
    return line


@cache
def _server(command: str) -> str:
    """Start the process that forks, of a command of :data:`SOME` or of all others; it ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="facestream-preloaded-"))
    address = folder / "socket"
    env = {name: value for name, value in os.environ.items() if not name.startswith("FACESTREAM_")}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(address), *SOME.get(command, ())],
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


def _serve(address: str, *names: str) -> None:
    from streams.cli import main, unused_packages  # before the module of that name takes its place
    from streams.cli.main import COMMANDS

    unused_packages.hide()
    _import(*(f"streams.cli.{command}" for command in COMMANDS), *ALL, *names)
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
                call.setblocking(True)
                length, streams, _, _ = socket.recv_fds(call, 4, 2)
                asked = json.loads(call.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
                server = os.getpid()
                if os.fork() == 0:
                    listener.close()
                    if asked["own_session"]:
                        _die_with(server)
                    _answer(call, asked, streams, main)
                    os._exit(0)
                for one in streams:
                    os.close(one)
                call.close()


def _import(*names: str) -> None:
    for name in names:
        if name == "keras":
            from models.embedder import runtime

            runtime.tensorflow()
        importlib.import_module(name)
    assert threading.active_count() == 1
    gc.freeze()


def _answer(call: socket.socket, asked: dict[str, Any], streams: list[int], main: Callable[[], NoReturn]) -> None:
    """Start one command, which says its process id, wait for it, and say its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    parent = os.getpid()
    if (pid := os.fork()) == 0:
        if asked["own_session"]:
            os.setsid()
            _die_with(parent)
        for number, stream in zip((0, 1, 2), (os.open(os.devnull, os.O_RDONLY), *streams), strict=True):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(asked["folder"])
        call.sendall(f"{os.getpid()}\n".encode())
        call.close()
        _run(asked, main)
    for stream in streams:
        os.close(stream)
    status = os.waitpid(pid, 0)[1]
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        call.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, as :mod:`infra.child` does."""
    if ctypes.CDLL(None).prctl(child.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
        os._exit(child.ORPHANED)


def _run(asked: dict[str, Any], main: Callable[[], NoReturn]) -> None:
    """Do as ``python -m streams.cli`` does, and end as Python ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(asked["env"])
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
    _serve(*sys.argv[1:])
