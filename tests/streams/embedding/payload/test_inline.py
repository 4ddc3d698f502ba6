from hashlib import sha256

import pytest

from schemas.ingest import Picture
from schemas.parts import Refusal
from schemas.reasons import Reason
from streams.embedding.payload import fetch
from streams.settings import Settings

SETTINGS = Settings(max_picture_bytes=100)


def reason(picture: Picture) -> str:
    answer = fetch(picture, SETTINGS)
    assert isinstance(answer, Refusal)
    assert answer.detail
    return answer.reason


def test_bytes_as_they_are() -> None:
    assert fetch(Picture(data=b"x" * 100), SETTINGS) == b"x" * 100


@pytest.mark.parametrize("picture", [Picture(), Picture(data=b""), Picture(uri="")])
def test_nothing_is_refused(picture: Picture) -> None:
    assert reason(picture) == Reason.EMPTY_PICTURE


def test_too_large() -> None:
    assert reason(Picture(data=b"x" * 101)) == Reason.PICTURE_TOO_LARGE


def test_digest() -> None:
    good = sha256(b"photo").hexdigest()
    assert fetch(Picture(data=b"photo", sha256=good.upper()), SETTINGS) == b"photo"
    assert reason(Picture(data=b"phot0", sha256=good)) == Reason.DIGEST_MISMATCH
    assert reason(Picture(data=b"photo", sha256="")) == Reason.DIGEST_MISMATCH
