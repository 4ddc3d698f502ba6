"""Starts, watches, restarts and stops child processes in order; none outlives this process."""

from __future__ import annotations

import errno
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from infra import child as launcher
from infra.child_states import ChildStates, State
from infra.children import Backoff as Backoff
from infra.children import Child, Command, Ready
from infra.crash_loops import CrashLoops
from infra.death import Death, how_it_ended, tail
from infra.leftovers import Record
from infra.priority import give_way
from infra.room import Room, megabytes

_LOOK_S = 0.2
"""Interval at which the room on the disk is checked; Kafka writes some 20 MB meanwhile."""
_READY_AGAIN_S = 0.3
"""Interval at which a restarted child is asked whether it serves."""


class ChildFailed(Exception):
    """A child ended while it was being started, or was not ready in time."""


class Stopped(ChildFailed):
    """A child was stopped, or the supervisor was closed, while the child was being started."""


class Supervisor:
    """Runs children by name; a context manager that stops them all.

    Each child has a session of its own, so that Ctrl-C in the terminal reaches only this process, and a log file for
    both its outputs. When this process dies, even by SIGKILL, its children die with it; the file ``record`` lists them,
    so that the next run can make sure of that.

    With ``room``, nothing is started while the disk has too little room, and children that fill it are stopped before
    it is full. Both wait, and continue by themselves when there is room again.
    """

    def __init__(
        self, report: Callable[[str], None] | None = None, record: Path | None = None, room: Room | None = None
    ) -> None:
        self._report = report or (lambda line: None)
        self._room = room
        self._short = False
        self._record = Record(record) if record else None
        self._crashes = CrashLoops(record)
        self._states = ChildStates(record)
        self._children: dict[str, Child] = {}
        self._deaths: queue.SimpleQueue[Death] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        # On Linux the thread that forks counts as the parent; this one lives as long as the supervisor.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        if room:
            threading.Thread(target=self._guard, args=(room,), name="guard of the disk", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: Ready | None = None,
        timeout_s: float = 60,
        grace_s: float = 10,
        stage: int = 0,
        restart: Backoff | None = None,
        background: bool = False,
        fills_disk: bool = False,
        before: Callable[[], None] | None = None,
    ) -> int:
        """Start a child, wait until it is ready, and return its process id.

        Args:
            name: the name of the child for the other methods.
            argv: program and arguments.
            log: file for both its outputs; the log of the previous start is kept beside it as ``….old``.
            env: variables added to those of this process.
            cwd: its working directory.
            ready: called every 50 ms until it returns True; None: a child that runs is ready.
            timeout_s: how long it may take to become ready.
            grace_s: how long it may take to stop after SIGTERM, before SIGKILL.
            stage: children of a higher stage are stopped first; those of one stage are stopped together.
            restart: how to restart it when it dies; None: a death is only reported.
            background: lower its priority once it is ready.
            fills_disk: stop it while the disk has little room.
            before: called before each start; a ChildFailed prevents the start.

        Raises:
            ChildFailed: it died, or was not ready in time; the message has the end of its log.
            Stopped: it, or the supervisor, was stopped meanwhile.
            ValueError: a child of this name is running.
        """
        command = Command(
            name, argv, log, env or {}, cwd, ready, timeout_s, grace_s, stage, restart, background, fills_disk, before
        )
        return self._start(command)

    def restart(self, name: str) -> int:
        """Stop a child if it runs, start the same command again, and return the new process id."""
        command = self._children[name].command
        self.stop(name)
        return self._start(command)

    def stop(self, *names: str) -> None:
        """Stop these children together: SIGTERM, then SIGKILL to its process group when the grace time is over."""
        children = [self._children[name] for name in names]
        with self._lock:
            for child in children:
                child.stopping.set()
                child.process.send_signal(signal.SIGTERM)
                self._states.put(child.command.name, State.STOPPED)
        began = time.monotonic()
        for child in children:
            if not child.gone.wait(max(0.0, began + child.command.grace_s - time.monotonic())):
                self._report(f"{child.command.name} did not stop in {child.command.grace_s:g} s: killed")
                _kill_group(child.process.pid)
                child.gone.wait()

    def kill(self, name: str) -> None:
        """Kill a child with SIGKILL and wait until it is gone: no report and no restart; see :meth:`restart`."""
        child = self._children[name]
        with self._lock:
            child.stopping.set()
            if not child.gone.is_set():
                _kill_group(child.process.pid)
            self._states.put(name, State.STOPPED)
        child.gone.wait()

    def close(self) -> None:
        """Stop every child, the highest stage first; nothing can be started afterwards."""
        with self._lock:
            self._closed.set()
        stages = sorted({child.command.stage for child in self._children.values()}, reverse=True)
        for stage in stages:
            self.stop(*(name for name, child in self._children.items() if child.command.stage == stage))
        self._states.remove()
        self._spawner.shutdown()

    def running(self) -> dict[str, int]:
        """The process ids of the children that run, by name, in the order of their start."""
        return {name: child.process.pid for name, child in self._children.items() if child.process.poll() is None}

    def wait(self, timeout_s: float | None = None) -> Death | None:
        """Wait for the next unexpected death; return None if the time is over first."""
        try:
            return self._deaths.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def await_room(self, what: str) -> None:
        """Wait until the disk has room to start something; ``what`` names it in messages.

        Raises:
            Stopped: the supervisor was closed meanwhile.
        """
        if not self._has_room(what, self._closed):
            raise Stopped(f"{what} not started: stopping")

    def _start(self, command: Command) -> int:
        self.await_room(command.name)
        if command.before:
            command.before()
        with self._lock:
            if self._closed.is_set():
                raise Stopped(f"{command.name} not started: stopping")
            known = self._children.get(command.name)
            if known and not known.gone.is_set():
                raise ValueError(f"{command.name} runs already")
            command.log.parent.mkdir(parents=True, exist_ok=True)
            child = Child(command, self._spawn(command))
            self._children[command.name] = child
            self._states.put(command.name, State.STARTING, child.process.pid, log=command.log)
        threading.Thread(target=self._watch, args=(child,), name=f"watch {command.name}", daemon=True).start()
        self._await_ready(child)
        return child.process.pid

    def _spawn(self, command: Command) -> subprocess.Popen[bytes]:
        def spawn() -> subprocess.Popen[bytes]:
            if command.log.exists():
                command.log.replace(command.log.with_name(f"{command.log.name}.old"))
            with command.log.open("wb") as log:
                env = {**os.environ, **command.env}
                return launcher.start(command.argv, log=log, env=env, cwd=command.cwd)

        process = self._spawner.submit(spawn).result()
        if self._record:
            self._record.add(process.pid)
        return process

    def _await_ready(self, child: Child) -> None:
        command = child.command
        trouble: Exception | None = None
        while not child.gone.is_set():
            try:
                if not child.held and (command.ready is None or command.ready()):
                    child.ready = True
                    self._states.put(command.name, State.RUNNING)
                    if command.background:
                        give_way(child.process.pid)
                    return
            except Exception as error:
                trouble = error
            if not child.held and time.monotonic() > child.began + command.timeout_s:
                self.kill(command.name)
                why = f" ({trouble})" if trouble else ""
                raise ChildFailed(
                    f"{command.name} was not ready in {command.timeout_s:g} s{why}{how_it_ended(command.log)}"
                )
            child.gone.wait(0.05)
        if child.stopping.is_set():
            raise Stopped(f"{command.name} was stopped while it started")
        code = child.process.returncode
        raise ChildFailed(f"{command.name} ended with {code} while it started{how_it_ended(command.log)}")

    def _watch(self, child: Child) -> None:
        try:
            self._care_for(child)
        finally:
            child.gone.set()  # stop() and kill() wait for it, whatever has happened here

    def _care_for(self, child: Child) -> None:
        command, deaths_in_a_row = child.command, 0
        while True:
            code = child.process.wait()
            _kill_group(child.process.pid)
            if self._record:
                self._record.remove(child.process.pid)
            if child.stopping.is_set():
                return  # it was stopped on purpose
            restart = command.restart
            if restart and (child.held or self._is_short()):
                child.held = True  # whatever it died of, it had no room
                self._states.put(command.name, State.HELD)
            elif not child.ready and (command.ready is not None or restart is None):
                return  # start() reports a child that never served
            else:
                wait_s, trouble = None, None
                if restart:
                    healthy = time.monotonic() - child.began > restart.healthy_after_s
                    deaths_in_a_row = 1 if healthy else deaths_in_a_row + 1
                    if restart.tries is None or deaths_in_a_row <= restart.tries:
                        wait_s = restart.wait_s(deaths_in_a_row)
                    else:
                        trouble = f"{deaths_in_a_row} deaths in a row"
                self._tell(Death(command.name, code, command.log, tail(command.log), wait_s, trouble))
                if wait_s is None or child.stopping.wait(wait_s):
                    return
            try:
                if not self._respawn(child):
                    return
            except (OSError, ChildFailed) as error:
                self._tell(Death(command.name, code, command.log, tail(command.log), None, str(error)))
                return

    def _respawn(self, child: Child) -> bool:
        """Restart a child as soon as there is room; return False if it is stopped meanwhile."""
        command = child.command
        while self._has_room(command.name, child.stopping):
            try:
                if command.before:
                    command.before()
                with self._lock:
                    if child.stopping.is_set():
                        return False
                    child.process = self._spawn(command)
                    child.held, child.began = False, time.monotonic()
                    self._states.put(command.name, State.STARTING, child.process.pid)
                again = (child, child.process)
                threading.Thread(target=self._see_ready, args=again, name=f"ready {command.name}", daemon=True).start()
                return True
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or child.stopping.wait(_LOOK_S):
                    raise
        return False

    def _see_ready(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        """Note when a child that was started again serves."""
        ready = child.command.ready
        while child.process is process and process.poll() is None and not child.stopping.is_set():
            with suppress(Exception):  # an exception counts as "not yet"
                if ready is None or ready():
                    with self._lock:
                        if child.process is process and not child.stopping.is_set():
                            self._states.put(child.command.name, State.RUNNING)
                    return
            child.stopping.wait(_READY_AGAIN_S)

    def _is_short(self) -> bool:
        return self._room is not None and self._room.free() < self._room.stop_bytes

    def _has_room(self, name: str, stop: threading.Event) -> bool:
        """Wait for room to start something; return False if ``stop`` is set first."""
        room = self._room
        while room and not stop.is_set():
            free = room.free()
            if free >= room.start_bytes:
                self._tell_of_room(room, free, name)
                break
            self._tell_of_room(room, free, f"{name} waits with its start")
            stop.wait(_LOOK_S)
        return not stop.is_set()

    def _tell_of_room(self, room: Room, free: int, what: str) -> None:
        """Report once that the disk is full, with the consequence, and once that it no longer is."""
        with self._lock:
            if self._short == (free < room.start_bytes):
                return
            self._short = not self._short
            short = self._short
        if short:
            line = f"{room.lack(free)}: {what}. Delete something there; it goes on by itself, and nothing is lost"
        else:
            line = f"{megabytes(free)} are free on the disk of {room.folder}: what waited starts"
        with suppress(OSError):
            self._report(line)

    def _guard(self, room: Room) -> None:
        """Stop children that fill the disk before it is full, and kill those that do not stop in time."""
        while not self._closed.wait(_LOOK_S):
            free = room.free()
            if free >= room.stop_bytes:
                continue
            with self._lock:
                filling = [child for child in self._children.values() if child.command.fills_disk]
                running = [one for one in filling if one.process.poll() is None and not one.stopping.is_set()]
                for child in running:
                    if free < room.kill_bytes:
                        _kill_group(child.process.pid)
                    elif not child.held:
                        child.process.send_signal(signal.SIGTERM)
                    child.held = True
            if running:
                names = " and ".join(child.command.name for child in running)
                self._tell_of_room(room, free, f"{names} stopped, so that nothing more is written")

    def _tell(self, death: Death) -> None:
        self._states.died(death)
        told = self._crashes.tell(death)
        self._deaths.put(death)
        with suppress(OSError):  # nobody reads it any more
            self._report(told)


def _kill_group(leader: int) -> None:
    # macOS answers EPERM for a group of which only the dead leader is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
