"""The canonical form of ids: which ids are accepted at the entrances, and how all other code compares them.

Names (``user_id``, ``subject_id``, ``camera_id``) are in Unicode's normalization form NFC, which keyboards and
databases write; the file systems of a Mac write another form, which looks the same. Event ids are UUIDs in lower case
with dashes. A name must not have invisible characters, or two names that look the same would be two people. The two
joiners are accepted only where they change what one reads: after a virama, between Arabic letters, and in an emoji.

Sources: Unicode Standard Annexes 15 (normalization forms) and 31; RFC 5892, appendix A.1 and A.2 (joiners).
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
        "told_subject_id",
        *("users", "stragglers"),
    }
)
"""The fields of events that hold names, or lists of names."""

_UUID = re.compile(r"(urn:)?(uuid:)?\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE | re.ASCII)
_ZWNJ, _ZWJ, _VIRAMA = "\u200c", "\u200d", 9
_SEEN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Visible characters of the category Cf: number signs and the like."""
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u2028\u2029\u3164\uffa0")
"""Invisible characters of other categories: fillers and line separators."""
_ARABIC = ((0x0620, 0x06FF), (0x0710, 0x074F), (0x0750, 0x077F), (0x0860, 0x08FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC))


def new_event_id() -> str:
    """A random UUID, to be the event id and thus the idempotence key of a new event."""
    return str(uuid.uuid4())


class InvalidId(FacestreamError, ValueError):
    """An id is not accepted; the message says which, why, and what to do."""


def canonical(name: str) -> str:
    """The form in which a name is compared, stored and shown: NFC. Any name is accepted, because some exist already."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def checked_name(what: str, name: object) -> str:
    """Check a name that comes in, and return its canonical form.

    Args:
        what: the name of the field, for the message.
        name: the name as it was given.

    Raises:
        InvalidId: it is empty or too long, or has an invisible character.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidId(f"{what} must be a text that is not empty, not {name!r}")
    check_seen(what, name)
    form = canonical(name)
    if len(form.encode()) > MAX_NAME_BYTES:
        raise InvalidId(f"{what} must have at most {MAX_NAME_BYTES} bytes: {form[:40]!r}…")
    return form


def check_seen(what: str, name: str) -> None:
    """Check that a name has no invisible characters.

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
                f"{what} {name[:40]!a} has an invisible character at {at}, U+{ord(character):04X} "
                f"({called}): leave it out"
            )


def _joins(name: str, at: int) -> bool:
    """Whether a joiner at this position changes what one reads."""
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
    """The canonical form of an event id: lower case with dashes. Other forms of a UUID are accepted.

    Upper case, braces, ``urn:uuid:``, and text without dashes are such forms.

    Raises:
        InvalidId: it is not a UUID.
    """
    plain = str(text).strip()
    if not _UUID.fullmatch(plain):
        raise InvalidId(f"event_id must be a UUID, not {text!r}")
    return str(uuid.UUID(plain))


def event_id_or_same(text: str) -> str:
    """The canonical form of an event id; any other text as it is. For lookups, which need no check."""
    try:
        return canonical_event_id(text)
    except InvalidId:
        return text


def begins(event_id: str, beginning: str) -> bool:
    """Whether an event id begins with this text, which may be in any form of a UUID."""
    plain = re.sub(r"^(urn:)?(uuid:)?\{?", "", beginning.strip().lower())
    return event_id.replace("-", "").startswith(plain.replace("-", "").rstrip("}"))


def spellings(name: str) -> tuple[str, ...]:
    """The canonical form of a name, then other forms, which earlier releases may have used as keys."""
    others: Iterable[str] = (unicodedata.normalize("NFD", name), name)
    return tuple(dict.fromkeys((canonical(name), *others)))
