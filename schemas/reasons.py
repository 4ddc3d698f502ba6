"""The reasons why an event or a face was not decided normally. The words are stable: programs may depend on them."""

from enum import StrEnum


class Reason(StrEnum):
    """The ``reason`` of refusals, faces and dead letters, with a description. See also docs/reference/reasons.md."""

    description: str

    def __new__(cls, word: str, description: str = "") -> "Reason":
        """Make a member that also has a description."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.description = description
        return member

    # The picture as a whole: on `enrolments` or `matches`.
    EMPTY_PICTURE = "empty_picture", "the picture has zero bytes, or the event names none"
    PICTURE_TOO_LARGE = "picture_too_large", "more bytes than max_picture_bytes"
    TOO_MANY_PIXELS = "too_many_pixels", "the header announces more than max_picture_pixels; it was not decoded"
    UNDECODABLE = "undecodable", "not a picture, or a broken one"
    DIGEST_MISMATCH = "digest_mismatch", "the SHA-256 of the picture is not the one in the event"
    URI_NOT_ALLOWED = "uri_not_allowed", "the address is outside what the worker's settings allow"
    URI_UNREADABLE = "uri_unreadable", "nothing can be read at the address"
    IMPLAUSIBLE_TIME = (
        "implausible_time",
        "its time is too far in the past or the future: set the clock",
    )
    OVERLOADED = "overloaded", "the frame had waited longer than shed_frames_after_s, and was not looked at"
    NO_FACE = "no_face", "no face was found"
    SEARCH_OFF = (
        "search_off",
        "searches over all users are off: FACESTREAM_SEARCH_PURPOSES names no purpose",
    )
    ERASED = "erased", "it came before the user, or the subject it is about, was erased"
    # Enrolment only.
    SEVERAL_FACES = "several_faces", "an enrolment photo must show one person"
    NO_CONSENT = "no_consent", "the consent names no purpose, is not yet valid or has expired"
    SUBJECT_FULL = "subject_full", "the subject has max_templates_per_subject templates already"
    # One face: too poor to be a probe or a template.
    LOW_SCORE = "low_score", "the detector is not sure that it is a face"
    TOO_SMALL = "too_small", "too few pixels between the eyes"
    TOO_BLURRED = "too_blurred", "out of focus or moving"
    TOO_DARK = "too_dark", "too little light on the face"
    TOO_BRIGHT = "too_bright", "over-exposed"
    CUT_OFF = "cut_off", "too much of the face is outside the picture"
    COVERED = "covered", "a mask, sunglasses, a hand or the like covers the mouth or the eyes"
    TURNED_AWAY = "turned_away", "too far from frontal, or rotated so that its landmarks are unreliable"
    # One face: a good probe, and yet nothing to compare with.
    EMPTY_GALLERY = "empty_gallery", "the user has no enrolled subject (of this model version)"
    SUBJECT_NOT_ENROLLED = "subject_not_enrolled", "verify: the claimed subject is not in the user's gallery"
    # Dead letters.
    NOT_AN_EVENT = "not_an_event", "the bytes are not in Avro's single-object encoding"
    UNKNOWN_SCHEMA = "unknown_schema", "the schema fingerprint is unknown, or that of another kind of event"
    MALFORMED_EVENT = "malformed_event", "the body does not fit its schema"
    NO_KEY = "no_key", "the message has no key; the key must be the user_id"
    KEY_MISMATCH = "key_mismatch", "the key is not the event's user_id"
    INVALID_ID = "invalid_id", "user_id, subject_id or camera_id has an invisible character"
    UNKNOWN_MODEL = (
        "unknown_model",
        "no match worker has the card of the model that made the vectors, or it has been retired",
    )
    UNREADABLE = "unreadable", "the log could not be read there, and an operator skipped it; the letter has no value"
    FAILED = "failed", "processing failed unexpectedly; see error_class and message"
