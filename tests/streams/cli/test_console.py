"""How tables look: in a pipe, on a terminal, and on one that is too narrow."""

from __future__ import annotations

import csv
import io
import re
import threading
from datetime import UTC, date, datetime
from typing import Any

import pytest
import typer
from rich.console import Console

from schemas.ids import new_event_id
from streams.cli import settings
from streams.cli.bigquery import _show
from streams.cli.console import Format, Output, ProgressLines, grid
from streams.cli.main import make_app
from streams.cli.shards import _of_all, _of_workers
from streams.kafka.commit_metadata import ShardSize
from streams.kafka.consumer_groups import ConsumerGroup, GroupMember
from streams.observability.partition_status import PartitionState, RoleState
from streams.roles import Role, running_roles
from streams.settings import Settings
from streams.text import pluralize

ID = new_event_id()
PROSE = "what was wrong with it, in as many words as it takes to fill more than a line of a terminal " * 2


def written(width: int | None, prose: str = PROSE) -> list[str]:
    """The lines of a table on a terminal of this width; None: in a pipe."""
    output = an_output(width)
    table = grid("id", "#count", "~why", "owner")
    table.add_row(ID, "12", prose, "match-0")
    table.add_row(ID, "1", "", "")
    output.table(table)
    return lines(output)


def an_output(width: int | None) -> Output:
    output = Output(as_json=False)
    output.people = Console(
        file=io.StringIO(), width=width or 40, force_terminal=width is not None, color_system=None, highlight=False
    )
    return output


def lines(output: Output) -> list[str]:
    assert isinstance(output.people.file, io.StringIO)
    return output.people.file.getvalue().splitlines()


def test_in_a_pipe_a_row_is_a_line_without_blanks_at_its_end() -> None:
    head, first, second = written(None)
    assert first.startswith(f"{ID}     12  {PROSE.strip()} ")
    assert first.endswith("  match-0")
    assert second == f"{ID}      1"
    assert head.split() == ["id", "count", "why", "owner"]


@pytest.mark.parametrize("width", [40, 80, 100])
def test_on_a_terminal_prose_is_folded_and_ids_are_not(width: int) -> None:
    shown = written(width)
    assert len(shown) > 3
    assert sum(ID in line for line in shown) == 2
    assert sum("match-0" in line for line in shown) == 1
    assert " ".join(" ".join(shown).split()).count("terminal") == 2
    assert max(map(len, shown)) <= max(width, len(ID) + len("count") + 24 + len("match-0") + 6)
    assert all(line == line.rstrip() for line in shown)


def test_a_word_that_is_longer_than_a_line_is_folded_where_it_is_prose() -> None:
    assert max(map(len, written(100, "x" * 300))) <= 100


ROWS = [
    {"event_id": ID, "faces": [{"subject_id": "anna", "score": 0.5}], "took_ms": 21330.4, "fmr": 5.2e-9},
    {"event_id": ID, "faces": [], "took_ms": 0.58661, "fmr": None},
]


def test_rows_of_a_query_stand_below_each_other_where_there_is_room() -> None:
    output = an_output(None)
    _show(ROWS, output)
    head, first, second = lines(output)
    assert head.split() == list(ROWS[0])
    assert re.split("  +", first) == [ID, '[{"subject_id": "anna", "score": 0.5}]', "21330", "5.2e-09"]
    assert second.split() == [ID, "[]", "0.5866"]


def test_rows_of_a_query_that_are_wider_than_the_terminal_are_a_value_a_line() -> None:
    output = an_output(60)
    _show(ROWS, output)
    assert lines(output) == [
        f"event_id: {ID}",
        'faces: [{"subject_id": "anna", "score": 0.5}]',
        "took_ms: 21330",
        "fmr: 5.2e-09",
        "",
        f"event_id: {ID}",
        "faces: []",
        "took_ms: 0.5866",
        "fmr:",
        "",
    ]


def test_one_and_more() -> None:
    assert [pluralize(0, "face"), pluralize(1, "face"), pluralize(2, "face")] == ["0 faces", "1 face", "2 faces"]
    assert [pluralize(1, "person", "people"), pluralize(3, "person", "people")] == ["1 person", "3 people"]


def test_partitions_are_a_line_each_also_where_much_waits() -> None:
    output = an_output(100)
    states = {}
    for role in running_roles([]):
        owner = GroupMember("m", f"{role}-12@127.0.0.1:8080", "/127.0.0.1", frozenset())
        parts = [
            PartitionState(0, owner, 1234, 59.0, 12.3, ShardSize(1200, 4800)),
            PartitionState(1, None if role is Role.DRIFT else owner, 12, 3.2, 0.1, ShardSize(12, 48)),
        ]
        states[role] = RoleState(role, ConsumerGroup("g", True, (owner,)), tuple(parts))
    output.table(_of_all(states))
    head, first, second = lines(output)
    assert " ".join(head.split()) == "# owner users templates embed match redis bigquery drift sightings commit"
    assert first.split() == ["0", "match-12", "1200", "4800", *["1234/59s"] * 6, "12", "s"]
    assert second.split()[4:11] == [*["12/3.2s"] * 4, "12", "nobody", "12/3.2s"]
    assert max(map(len, (head, first, second))) <= 100


def test_as_csv_a_table_has_its_whole_texts_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False, form=Format.CSV)
    table = grid("id", "#count", "~why", "~")
    table.add_row(ID, "12", f"[red]{PROSE}[/]", 'a, "b"\nc')
    output.table(table)
    output.say("1 row")
    written = capsys.readouterr()
    assert list(csv.reader(io.StringIO(written.out))) == [
        ["id", "count", "why", "note"],
        [ID, "12", PROSE, 'a, "b"\nc'],
    ]
    assert written.err == "1 row\n"


def test_as_csv_an_empty_table_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False, form=Format.CSV).table(grid("id", "#count"))
    assert capsys.readouterr().out == "id,count\n"


def test_as_csv_values_keep_all_digits(capsys: pytest.CaptureFixture[str]) -> None:
    values = (1 / 3, 10**18, True, None, date(2026, 1, 2), datetime(2026, 1, 2, 3, tzinfo=UTC), [1, {"a": None}], "ä")
    Output(as_json=False, form=Format.CSV).rows("abcdefgh", [values])
    (_, row) = csv.reader(io.StringIO(capsys.readouterr().out))
    assert row == [
        *("0.3333333333333333", "1000000000000000000", "true", "", "2026-01-02", "2026-01-02T03:00:00+00:00"),
        *('[1, {"a": null}]', "ä"),
    ]


def test_csv_and_json_exclude_each_other() -> None:
    with pytest.raises(typer.BadParameter, match="either --json or --format csv"):
        Output(as_json=True, form=Format.CSV)


def test_shards_name_the_worker_of_every_role_and_what_nobody_has() -> None:
    output = an_output(None)
    one, two = (GroupMember(f"m{n}", f"embed-{n}@127.0.0.1:8080", "/127.0.0.1", frozenset()) for n in (1, 2))
    owners = [one, one, two, one, None, None]
    parts = tuple(PartitionState(n, owner, n, 1.0, 1.0, None) for n, owner in enumerate(owners))
    drift = RoleState(Role.DRIFT, ConsumerGroup("g", True, ()), parts[4:])
    output.table(
        _of_workers({Role.EMBED: RoleState(Role.EMBED, ConsumerGroup("g", True, (two, one)), parts), Role.DRIFT: drift})
    )
    _, *rows = [re.split("  +", line) for line in lines(output)]
    assert [row[:2] + row[-2:] for row in rows] == [
        ["embed", "embed-1", "4", "0-1, 3"],
        ["embed", "embed-2", "2", "2"],
        ["embed", "nobody", "9", "4-5"],
        ["drift", "nobody", "9", "4-5"],
    ]


class Lines(io.StringIO):
    """A pipe that notes when so many lines have come."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted, self.full = wanted, threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        if self.getvalue().count("\n") >= self.wanted:
            self.full.set()
        return count


def test_in_a_pipe_progress_is_a_line_now_and_then() -> None:
    pipe = Lines(2)
    with ProgressLines(Console(file=pipe, highlight=False), every_s=0.02) as progress:
        task = progress.add_task("training", total=300, note="")
        progress.update(task, completed=7, note="loss 0.1")
        assert pipe.full.wait(30), "also while nothing moves"
    said = pipe.getvalue().splitlines()
    assert all(
        re.fullmatch(r"training: 7 of 300, loss 0\.1 \(\d+ s\)|training: 0 of 300 \(\d+ s\)", one) for one in said
    )
    assert pipe.getvalue() == "".join(f"{one}\n" for one in said)


def test_a_short_command_has_no_progress_lines_and_a_terminal_has_a_bar() -> None:
    output = Output(as_json=False)
    output.errors = Console(file=(quick := io.StringIO()), highlight=False)
    with output.progress() as progress:
        progress.add_task("counting", total=None, note="")
        assert isinstance(progress, ProgressLines)
    assert quick.getvalue() == ""
    output.errors = Console(file=io.StringIO(), force_terminal=True)
    assert not isinstance(output.progress(), ProgressLines)


def test_a_pipe_that_closes_does_not_end_the_command() -> None:
    pipe = Lines(1)
    with ProgressLines(Console(file=pipe), every_s=0.02) as progress:
        progress.add_task("training", total=None, note="")
        assert pipe.full.wait(30)
        pipe.close()
        progress._thread.join(30)
        assert not progress._thread.is_alive()


def test_every_command_that_lists_things_has_csv(capsys: pytest.CaptureFixture[str]) -> None:
    group: Any = typer.main.get_command(make_app())
    asked = ["shards", "settings", "bigquery query"]
    asked += [f"{name} list" for name in ("topics", "subjects", "dead-letters", "models", "runs", "chips")]
    for words in map(str.split, asked):
        command = group
        for word in words:
            command = command.commands[word]
        assert any("--format" in one.opts for one in command.params), words


def test_settings_as_csv(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESTREAM_TOPIC_PREFIX", "a,b")
    settings.show(form=Format.CSV)
    rows = {row["variable"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert rows["FACESTREAM_TOPIC_PREFIX"]["value"] == "a,b"
    assert len(rows) == len(Settings.model_fields)
