"""Whether a consent covers what is to be done with an upload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.clock import utc_now
from schemas.ingest import Consent
from schemas.parts import Refusal
from schemas.reasons import Reason

_NEVER = datetime.max.replace(tzinfo=UTC)


def refusal(consent: Consent, at: datetime, max_clock_ahead_s: float) -> Refusal | None:
    """Why there was no valid consent when the upload came (``at``); not now, so that a replay decides alike."""
    if not consent.purpose.strip():
        return Refusal(Reason.NO_CONSENT, "the consent names no purpose: say what the person agreed to")
    if consent.granted_at > at + timedelta(seconds=max_clock_ahead_s):
        return Refusal(Reason.NO_CONSENT, f"the consent begins only at {consent.granted_at:%Y-%m-%d %H:%M} UTC")
    if consent.expires_at is not None and consent.expires_at <= at:
        return Refusal(Reason.NO_CONSENT, f"the consent ended at {consent.expires_at:%Y-%m-%d %H:%M} UTC")
    return None


def may_keep(consent: Consent, replay_id: str | None, corrects: bool) -> bool:
    """Whether what an upload gave may be kept: not of a replay that stands beside, nor again after the consent."""
    return replay_id is None or (corrects and (consent.expires_at is None or consent.expires_at > utc_now()))


def goes_further(consent: Consent, than: Consent) -> bool:
    """Whether a consent to keep the same photo lasts longer, or lasts as long and allows to learn from it as well.

    A consent is taken back by erasing, not by giving a narrower one.
    """
    ends, other = consent.expires_at or _NEVER, than.expires_at or _NEVER
    return ends > other or (ends == other and consent.training and not than.training)
