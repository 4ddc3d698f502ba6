"""A newcomer's way through the README: its lines are typed into two terminals, and what they print is read.

The folder is empty but for a link to the environment, which stands for the clone after its set-up.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

from tests.integration.versions import turned

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
PROMPT = re.compile(r"\[(\d+)\]walk> ")
"""With the exit code of the line before."""
WIPED = re.compile(r"[^\n]*\r\x1b\[K")
"""What a command shows until it has something to say."""
PLAY = "facestream play --user anna --camera front-door photos"
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
TIMEOUT_S = 240
EVENT = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
ELSEWHERE = (
    *("facestream up", "facestream down", "facestream worker", "facestream runs show", "facestream models rollout"),
    *("docker", "make", "pip"),
)
"""Beginnings of lines that the walk types at another place, and of those that need a clone or Docker."""


def blocks(page: str) -> list[tuple[str, list[str]]]:
    """Language and lines of each fenced block."""
    text = (ROOT / page).read_text("utf-8")
    return [(kind, code.splitlines()) for kind, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)]


def typed(page: str) -> list[str]:
    """The lines of a page for a shell."""
    return [line for kind, lines in blocks(page) if kind == "sh" for line in lines if line.strip()]


def printed(page: str, after: str) -> list[str]:
    """What a page says that a line prints: the block after the one with the line."""
    there = blocks(page)
    return next(following[1] for (_, lines), following in itertools.pairwise(there) if after in lines)


class Terminal:
    """A shell on a terminal of 100 columns, without anything of the environment of the tests."""

    def __init__(self, folder: Path, timeout_s: float = TIMEOUT_S) -> None:
        environment = {
            name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "XDG_STATE_HOME") if name in os.environ
        }
        environment |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "xterm-256color"}
        self._shell = pexpect.spawn(
            "bash",
            ["--noprofile", "--norc", "-i"],
            cwd=str(folder),
            env=environment,
            encoding="utf-8",
            codec_errors="replace",
            timeout=timeout_s,
            dimensions=(50, 100),
        )
        self._shell.logfile_read = sys.stdout
        self._shell.sendline("bind 'set enable-bracketed-paste off'; PS1='[$?]walk> '")
        self._shell.expect(PROMPT)

    def start(self, line: str, until: str) -> str:
        """Type a line and wait for a text that it prints; the line goes on."""
        self._shell.sendline(line)
        self._shell.expect(re.escape(line))
        self._shell.expect(until)
        return self._plain() + str(self._shell.after)

    def type(self, line: str, answer: str | None = None) -> tuple[int, str]:
        """Type a line, answer its question, and wait for its end: the exit code and what it printed."""
        self._shell.sendline(line)
        # The terminal shows what is typed, in parts where it is longer than the terminal is wide.
        self._shell.expect("\n")
        if answer is not None:
            self._shell.expect(r"\[y/N\]")
            self._shell.sendline(answer)
        return self._ended()

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C: the exit code, and what was printed from then on."""
        self._shell.sendintr()
        return self._ended()

    def close(self) -> None:
        """Press Ctrl-C if something still runs, and leave."""
        with suppress(pexpect.ExceptionPexpect, OSError):
            self._shell.sendintr()
            self._shell.expect(PROMPT, timeout=60)
        self._shell.close()

    def _ended(self) -> tuple[int, str]:
        self._shell.expect(PROMPT)
        assert self._shell.match is not None
        return int(self._shell.match[1]), self._plain()

    def _plain(self) -> str:
        return COLOURS.sub("", WIPED.sub("", str(self._shell.before))).replace("\r", "")


def recognised(details: str) -> str:
    """The event id of the first frame with an answer that names obama."""
    unfolded = re.sub(r"\n {9,}", " ", details)
    (of_obama, *_) = [line for line in unfolded.splitlines() if "#" in line and "obama" in line and EVENT.search(line)]
    found = EVENT.search(of_obama)
    assert found
    return found[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def terminals(folder: Path) -> Iterator[tuple[Terminal, Terminal]]:
    one, two = Terminal(folder), Terminal(folder)
    yield one, two
    two.close()
    one.close()


def test_the_readme_and_the_pages_are_walked_in_two_terminals(
    folder: Path, terminals: tuple[Terminal, Terminal]
) -> None:
    one, two = terminals
    shown: dict[str, str] = {}

    def walk(*lines: str, **words: str) -> None:
        """Type lines, with other words in the place of some."""
        for line in lines:
            if line.startswith(ELSEWHERE):
                continue
            question = "y" if line.startswith("facestream erase") and "--dry-run" not in line else None
            code, shown[line] = two.type(re.sub(r"\b(EVENT|V)\b", lambda found: words[found[0]], line), question)
            assert code == 0, shown[line]
            assert shown[line].strip() or line.startswith(("export", "ln")), f"nothing printed by {line}"

    readme, rollout, drift = typed("README.md"), typed("docs/rollout.md"), typed("docs/drift.md")
    begin = readme.index("facestream up")
    assert one.type(readme[begin - 1]) == (0, "")
    assert "Kafka" in one.start(readme[begin], "Ready[^\n]*\n")
    watch = readme.index("facestream watch")
    walk(*readme[begin + 1 : watch])
    shown["facestream watch"] = two.start("facestream watch", "listening[^\n]*\n")
    assert two.interrupt()[0] in (0, 130)
    walk(*readme[watch + 1 :])

    models = [EVENT.sub("EVENT", line) for line in typed("docs/models.md") if line.startswith("facestream")]
    details = "facestream watch --last 9 --details --timeout 1"
    walk(models[0], PLAY, details)
    walk(*models[1:], EVENT=recognised(shown[details]))

    turned(folder / "turned", "turned")
    walk(rollout[0], "facestream models import turned", rollout[1], V="turned")
    walk(PLAY, *rollout[2:], V="turned")

    walk(*typed("docs/operations.md"))
    walk(*drift)
    deadline = time.monotonic() + TIMEOUT_S
    while "front-door" not in shown[drift[-1]]:  # it is reported when all frames have been looked at
        assert time.monotonic() < deadline, shown[drift[-1]]
        walk(drift[-1])
    walk(*typed("docs/erasure.md"))

    for told in printed("README.md", "facestream watch"):
        # The times and the number of the frame are others each time.
        words = re.sub(r"^\S+ |#\d+|\d+ ms$|\d\.\d\d", "", told).split()
        assert any(all(word in line for word in words) for line in shown["facestream watch"].splitlines()), told
    for line in readme:
        if line.startswith("facestream bigquery query"):
            head, *rows = printed("README.md", line)
            assert shown[line].splitlines()[0].split() == head.split()
            assert any(rows[0].split()[-2] in row for row in shown[line].splitlines()[1:])
    code, said = one.interrupt()
    assert code in (0, 130), said
