"""A version of one's own is copied to the others once it loads; no version takes another's name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.embedder.card import Card, UnusableModel
from models.embedder.references import FAST
from streams.model_registry.importing import import_version
from streams.model_registry.records import find_card
from streams.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def version_in(folder: Path, **changes: object) -> Path:
    """The reference model under another name, or with something else changed on its card."""
    shutil.copytree(FAST, folder)
    card = Card.read(FAST).model_copy(update=changes)
    (folder / "card.json").write_text(card.model_dump_json(exclude_none=True), "utf-8")
    return folder


def test_a_version_is_copied_and_found_by_its_name(settings: Settings, tmp_path: Path) -> None:
    folder = version_in(tmp_path / "mine", version="mine")
    for _ in range(2):
        imported = import_version(folder, settings)
        assert (imported.version, imported.known_as) == ("mine", None)
        assert imported.folder == settings.versions_dir / "mine"
    assert find_card("mine", settings) == Card.read(folder)
    assert [path.name for path in settings.versions_dir.iterdir()] == ["mine"], "nothing is left half copied"


def test_the_reference_is_known_already(settings: Settings) -> None:
    imported = import_version(FAST, settings)
    assert (imported.folder, imported.known_as) == (FAST, "a reference model")
    assert not settings.versions_dir.exists()


def test_so_is_the_version_that_the_workers_start_with(settings: Settings, tmp_path: Path) -> None:
    folder = version_in(tmp_path / "mine", version="mine")
    chosen = settings.model_copy(update={"model_dir": folder})
    assert "FACESTREAM_MODEL_DIR" in (import_version(folder, chosen).known_as or "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"description": "another"}, "holds another .*: give this one another name"),
        ({"version": "up/../../away"}, "cannot be the name of a folder"),
    ],
    ids=["the reference's name", "no name of a folder"],
)
def test_a_name_that_cannot_be_is_refused(
    changes: dict[str, str], message: str, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(UnusableModel, match=message):
        import_version(version_in(tmp_path / "mine", **changes), settings)
    assert not settings.versions_dir.exists()


def test_a_name_that_is_taken_is_refused(settings: Settings, tmp_path: Path) -> None:
    import_version(version_in(tmp_path / "mine", version="mine"), settings)
    with pytest.raises(UnusableModel, match="mine holds another mine"):
        import_version(version_in(tmp_path / "other", version="mine", description="another"), settings)


def test_a_card_in_the_wrong_folder_is_told(settings: Settings) -> None:
    version_in(settings.versions_dir / "yours", version="mine")
    with pytest.raises(UnusableModel, match="is of 'mine'"):
        find_card("yours", settings)
