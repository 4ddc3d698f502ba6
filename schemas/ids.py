"""The one form of every id: what the doors take, and what everything behind them compares.

Names (``user_id``, ``subject_id``, ``camera_id``) are in Unicode's form NFC: keyboards and databases write it, the file
systems of a Mac write another, and both look the same. Event ids are UUIDs in lower case with dashes. A name has no
character that nobody sees, or two names that look the same would be two people. The two joiners are taken where they
change what one reads: after a virama, between Arabic letters, and within an emoji, nowhere else.

Source: Unicode Standard Annexes 15 (forms) and 31, and RFC 5892, appendix A.1 and A.2 (joiners).
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Iterable

from schemas.errors import FacestreamError

MAX_NAME_BYTES = 256
NAMES = frozenset(
    {
        *("user_id", "subject_id", "camera_id", "matched_subject_id", "shadow_subject_id", "similar_subject_id"),
        *("users", "stragglers"),
    }
)
"""Fields of events that hold names, or lists of them."""

_UUID = re.compile(r"(urn:)?(uuid:)?\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE | re.ASCII)
_ZWNJ, _ZWJ, _VIRAMA = "\u200c", "\u200d", 9
_SEEN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Characters of the category Cf that are seen: number signs and the like."""
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u2028\u2029\u3164\uffa0")
"""Characters of other categories that are not: fillers and separators of lines."""
_ARABIC = ((0x0620, 0x06FF), (0x0710, 0x074F), (0x0750, 0x077F), (0x0860, 0x08FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC))


def new_event_id() -> str:
    """A random UUID, the idempotence key of a new event."""
    return str(uuid.uuid4())


class InvalidId(FacestreamError, ValueError):
    """An id that no door takes; the message says which, why, and what to do."""


def canonical(name: str) -> str:
    """The form in which a name is compared, kept and shown: NFC. Anything is taken, for what is there already."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def checked_name(what: str, name: object) -> str:
    """The canonical form of a name that comes in.

    Args:
        what: its field, for the message.
        name: as it was given.

    Raises:
        InvalidId: it is empty, too long, or has a character that nobody sees.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidId(f"{what} must be a text that is not empty, not {name!r}")
    check_seen(what, name)
    form = canonical(name)
    if len(form.encode()) > MAX_NAME_BYTES:
        raise InvalidId(f"{what} must have at most {MAX_NAME_BYTES} bytes: {form[:40]!r}…")
    return form


def check_seen(what: str, name: str) -> None:
    """Check that a name has no character that nobody sees.

    Raises:
        InvalidId: it has one.
    """
    if name.isascii() and name.isprintable():
        return
    for at, character in enumerate(name):
        kind = unicodedata.category(character)
        if kind == "Cs":
            raise InvalidId(
                f"{what} {name[:40]!a} has half of a character at {at} (lone surrogates are no text; file "
                "names have them that are not UTF-8): write it in UTF-8"
            )
        hidden = kind in ("Cc", "Cf") and character not in _SEEN_FORMATS
        if (hidden or character in _UNSEEN) and not _joins(name, at):
            called = unicodedata.name(character, "a control character").lower()
            raise InvalidId(
                f"{what} {name[:40]!a} has a character that nobody sees at {at}, U+{ord(character):04X} "
                f"({called}): leave it out"
            )


def _joins(name: str, at: int) -> bool:
    """Whether a joiner changes what one reads there."""
    if name[at] not in (_ZWNJ, _ZWJ) or not 0 < at < len(name) - 1:
        return False
    before, after = name[at - 1], name[at + 1]
    if unicodedata.combining(before) == _VIRAMA:
        return True
    if name[at] == _ZWNJ:
        return _is_arabic(before) and _is_arabic(after)
    return _is_emoji(before) and _is_emoji(after)


def _is_arabic(character: str) -> bool:
    letter = unicodedata.category(character) in ("Lo", "Lm", "Mn")
    return letter and any(first <= ord(character) <= last for first, last in _ARABIC)


def _is_emoji(character: str) -> bool:
    return unicodedata.category(character) in ("So", "Sk") or character == "\ufe0f"


def canonical_event_id(text: object) -> str:
    """An event id in lower case with dashes; capitals, braces, ``urn:uuid:`` and none of the dashes are taken too.

    Raises:
        InvalidId: it is no UUID.
    """
    plain = str(text).strip()
    if not _UUID.fullmatch(plain):
        raise InvalidId(f"event_id must be a UUID, not {text!r}")
    return str(uuid.UUID(plain))


def event_id_or_same(text: str) -> str:
    """An event id in its canonical form, and any other text as it is: for those who only look something up."""
    try:
        return canonical_event_id(text)
    except InvalidId:
        return text


def begins(event_id: str, beginning: str) -> bool:
    """Whether an id begins so, in whatever form of a UUID that is written."""
    plain = re.sub(r"^(urn:)?(uuid:)?\{?", "", beginning.strip().lower())
    return event_id.replace("-", "").startswith(plain.replace("-", "").rstrip("}"))


def spellings(name: str) -> tuple[str, ...]:
    """A name in its canonical form, and then in others: what an earlier release has kept may be under these."""
    others: Iterable[str] = (unicodedata.normalize("NFD", name), name)
    return tuple(dict.fromkeys((canonical(name), *others)))
