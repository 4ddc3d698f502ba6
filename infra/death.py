"""The unexpected end of a child process, described in one line."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

TAIL_LINES = 20
_LINES_WITH_TRACE = 200
_ERROR = re.compile(r"\b(ERROR|FATAL|CRITICAL)\b|^(Caused by: )?[\w.$]*(Error|Exception)\b")


@dataclass(frozen=True)
class Death:
    """The unexpected end of a child."""

    name: str
    exit_code: int
    log: Path
    log_tail: str
    restart_in_s: float | None
    trouble: str | None = None
    """Why it is not restarted although it should be."""

    def __str__(self) -> str:
        how = f"signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"
        then = "" if self.restart_in_s is None else f"; it starts again in {self.restart_in_s:g} s"
        then += f"; it is not started again: {self.trouble}" if self.trouble else ""
        if self.restart_in_s is not None and self.exit_code == -signal.SIGKILL:
            return f"{self.name} died ({how}){then}"  # its log does not mention this
        return f"{self.name} died ({how}){then}{how_it_ended(self.log)}"


def how_it_ended(log: Path) -> str:
    """The error in a log's last lines, as the end of a sentence, without pages of traces."""
    why = last_words(tail(log, _LINES_WITH_TRACE))
    return f": {why} (its log is {log})" if why else f" (its log, {log}, says nothing)"


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log file."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 200 * lines))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    return ""


def last_words(log_tail: str) -> str:
    """The error at the end of a log: its last error and what follows it, without a trace; otherwise the last line."""
    lines = [line for line in log_tail.splitlines() if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        if _ERROR.search(lines[number]):
            said = [lines[number], *takewhile(lambda line: not line[0].isspace(), lines[number + 1 :])]
            return " ".join(line.strip() for line in said)[:300]
    return lines[-1].strip()[:300] if lines else ""
