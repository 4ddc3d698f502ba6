"""Workers on one machine have folders of their own, and a restarted one finds its tables again."""

from __future__ import annotations

from pathlib import Path

from streams.engine.worker_folder import claim_folder
from streams.roles import Role
from streams.settings import Settings


def test_no_two_workers_have_the_same_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with claim_folder(Role.MATCH, settings) as first, claim_folder(Role.MATCH, settings) as second:
        assert first != second
        assert first.is_dir()
        assert second.is_dir()
        with claim_folder(Role.EMBED, settings) as other:
            assert other not in (first, second)


def test_a_restarted_worker_has_its_folder_again(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with claim_folder(Role.MATCH, settings) as before, claim_folder(Role.MATCH, settings):
        (before / "table").write_text("templates")
    with claim_folder(Role.MATCH, settings) as after:
        assert (after / "table").read_text() == "templates"
