"""What a person can do about a reason, in plain words: the live page says it beside the reason's meaning."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.reasons import Reason
from streams.gateway.problems import MEANINGS, GatewayReason

ADVICE: Mapping[Reason | GatewayReason, str] = {
    Reason.EMPTY_PICTURE: "Choose the file again; it may not have been copied to the end.",
    Reason.PICTURE_TOO_LARGE: "Send a smaller picture: 1,000 pixels across the face are more than enough.",
    Reason.TOO_MANY_PIXELS: "Send a smaller picture: 1,000 pixels across the face are more than enough.",
    Reason.UNDECODABLE: "Choose a JPEG, PNG, WebP or HEIC picture that other programs can open.",
    Reason.NO_FACE: "Take a photo in which the face is larger, upright and well lit.",
    Reason.SEVERAL_FACES: "Cut the photo so that only this person is in it.",
    Reason.NO_CONSENT: "Say what the person has agreed to.",
    Reason.SUBJECT_FULL: "The person has enough photos. Erase the person to begin anew.",
    Reason.LOW_SCORE: "Take a photo in which the face is larger, sharper and seen from the front.",
    Reason.TOO_SMALL: "Step nearer, or cut the photo from a larger one without making it smaller.",
    Reason.TOO_BLURRED: "Hold still, and let the camera focus on the face.",
    Reason.TOO_DARK: "Turn the face to a window or a lamp.",
    Reason.TOO_BRIGHT: "Step out of the direct light, or expose for the face.",
    Reason.CUT_OFF: "Have the whole face in the picture, with some room around it.",
    Reason.COVERED: "Take off mask and sunglasses, and keep hands and hair off the face.",
    Reason.TURNED_AWAY: "Look straight into the camera.",
    Reason.EMPTY_GALLERY: "Enrol somebody first.",
    Reason.ERASED: "The person was erased after this was sent. Enrol again with a new consent.",
    Reason.IMPLAUSIBLE_TIME: "Set the clock of whatever sends the picture.",
    Reason.INVALID_ID: "Type the name again, with letters, digits and plain signs only.",
    GatewayReason.INVALID_KEY: "Paste the whole key again, or ask for a new one.",
    GatewayReason.MISSING_SCOPE: "Ask for a key with this scope.",
    GatewayReason.WRONG_USER: "Choose a user whose data the key reaches.",
    GatewayReason.TOO_MANY_REQUESTS: "Wait a moment, then try again.",
    GatewayReason.BUSY: "Wait a moment, then try again.",
    GatewayReason.KAFKA_UNAVAILABLE: "Wait a moment, then try again; sending it twice does no harm.",
    GatewayReason.RESULTS_UNAVAILABLE: "Wait a moment, then try again.",
    GatewayReason.HISTORY_UNAVAILABLE: "Wait a moment, then try again; the latest answers are there all the same.",
    GatewayReason.EVENT_ID_TAKEN: "Send it again with an event id of its own.",
    GatewayReason.UNKNOWN_EVENT: "Look for the person in a newer answer.",
    GatewayReason.UNKNOWN_SUBJECT: "Look at the names of the people who are enrolled.",
    GatewayReason.TOO_SLOW: "Try again with a better connection or a smaller picture.",
    GatewayReason.FAULT: "Whoever runs facestream finds more in the gateway's log.",
    GatewayReason.FOREIGN_ORIGIN: "Start the gateway with keys: this page needs one.",
}
"""Reasons that are not here are not met by a person at a page, or nothing can be done about them."""


def told() -> dict[str, dict[str, str]]:
    """Every reason with its meaning and, where there is one, the advice."""
    meanings: dict[Reason | GatewayReason, str] = {one: one.description for one in Reason} | MEANINGS
    return {one: {"meaning": meaning, "advice": ADVICE.get(one, "")} for one, meaning in meanings.items()}
