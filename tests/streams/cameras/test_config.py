from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.cameras.config import Camera, InvalidCameras, read_cameras


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cameras.toml"


def read(file: Path, text: str, **environment: str) -> list[Camera]:
    file.write_text(text)
    return read_cameras(file, environment)


def test_cameras_take_the_defaults_and_their_own(file: Path) -> None:
    yard, door = read(
        file,
        """
        [defaults]
        user = "home"
        fps = 2

        [[camera]]
        name = "yard"
        source = "rtsp://viewer:${YARD}@10.0.0.7/stream"
        motion = false

        [[camera]]
        name = "door"
        user = "office"
        fps = 0.5
        source = 0
        """,
        YARD="p@ss/w:rd %é",
    )
    assert (yard.name, yard.user, yard.fps, yard.motion, yard.quality) == ("yard", "home", 2.0, False, 90)
    assert yard.source.get_secret_value() == "rtsp://viewer:p%40ss%2Fw%3Ard%20%25%C3%A9@10.0.0.7/stream"
    assert (door.name, door.user, door.fps, door.motion) == ("door", "office", 0.5, True)
    assert door.source.get_secret_value() == "0"


def test_files_are_relative_to_the_file(file: Path) -> None:
    one, other = read(
        file, '[[camera]]\nname="a"\nsource="clips/a.mp4"\n[[camera]]\nname="b"\nsource="${DIR}/b.mp4"', DIR="/srv"
    )
    assert one.source.get_secret_value() == str(file.parent / "clips" / "a.mp4")
    assert other.source.get_secret_value() == "/srv/b.mp4"


def test_a_password_is_never_shown(file: Path) -> None:
    [camera] = read(file, '[[camera]]\nname = "a"\nsource = "rtsp://u:secret@host/"')
    assert "secret" not in f"{camera!r} {camera} {camera.model_dump_json()}"


ONE = '[[camera]]\nname = "yard"\nsource = "rtsp://viewer:secret@host/"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no camera"),
        ("camera = 3", "lists no camera"),
        ("[[cameras]]\nname = 'a'", "there is no cameras, only"),
        ("[[camera]\n", "is not TOML"),
        (f"defaults = 1\n{ONE}", "defaults must be a table"),
        (f"[defaults]\nsource = '0'\n{ONE}", "source is each camera's own"),
        ("[[camera]]\nname = 'yard'", r"camera 1 \(yard\) has no source"),
        ("[[camera]]\nsource = '0'", "camera 1 has no name"),
        (f"{ONE}fsp = 3", r"camera 1 \(yard\) has an unknown key fsp; did you mean fps\?"),
        (f"{ONE}colour = 3", "unknown key colour; it has name, source"),
        (f"{ONE}fps = -1", r"camera 1 \(yard\): fps cannot be used: input should be greater"),
        (f"{ONE}fps = 'many'", "fps cannot be used: input should be a valid number"),
        (f"{ONE}motion = 1", "motion cannot be used"),
        (f"{ONE}quality = 101", "quality cannot be used"),
        (f"{ONE}mode = 'verify'", "mode cannot be used: input should be 'identify' or 'search'"),
        (f"{ONE}user = ''", "user cannot be used: user must be a text that is not empty"),
        ("[[camera]]\nname = 'a\\u200b'\nsource = '0'".replace("'a\\u200b'", '"a\\u200b"'), "name cannot be used"),
        (f"{ONE}{ONE}", "cameras 1 and 2 of user 'default' are both 'yard'"),
        ("[[camera]]\nname = 'a'\nsource = 'rtsp://u:${NO_SUCH}@host'", "no variable NO_SUCH, which source names"),
        ("[[camera]]\nname = 'a'\nsource = ['rtsp://u:secret@host']", "source cannot be used"),
    ],
)
def test_what_is_wrong_is_said_and_where(file: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidCameras, match=said) as refused:
        read(file, text)
    assert str(file) in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_file_of_the_documentation(file: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "cameras.md").read_text("utf-8")
    yard, desk = read(file, page.partition("```toml\n")[2].partition("```")[0], YARD_PASSWORD="x")
    assert (yard.fps, desk.fps, desk.motion) == (5, 2, False)
    listed = re.findall(
        r"^\| `(\w+)` \|(?: `?([^|` ]*)`?)? \|", page.partition("| key |")[2].partition("\n\n")[0], re.M
    )
    assert [name for name, _ in listed] == list(Camera.model_fields)
    for name, shown in listed:
        field = Camera.model_fields[name]
        assert field.is_required() == (shown == "")
        default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default).lower()
        assert field.is_required() or default == shown


def test_a_file_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(InvalidCameras, match="No such file"):
        read_cameras(file, {})
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidCameras, match="UTF-8"):
        read_cameras(file, {})
