"""The fields of photos and frames: in the query with a raw body, in the parts of a form, or in a JSON object; and
those of other requests, which are JSON objects.

Their names are those of the events in ``schemas``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from schemas.hooks import USUAL_EVENTS, HookKind
from schemas.ingest import Mode
from schemas.learning import Statement
from streams.gateway.problems import GatewayReason, Problem

M = TypeVar("M", bound=BaseModel)
_MOST_NAME = 256


class PictureFields(BaseModel):
    """What every picture may have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: str | None = Field(None, description="A UUID of your own: the same twice has one effect.", max_length=64)
    sha256: str | None = Field(None, description="Digest of the picture, hexadecimal, for the workers to check.")
    uri: str | None = Field(
        None, description="Address of the picture instead of its bytes; the workers' settings say which they read."
    )


class PhotoFields(PictureFields):
    """An enrolment photo and its consent."""

    purpose: str = Field(description="What the person has agreed to.", min_length=1, max_length=1024)
    granted_at: AwareDatetime | None = Field(None, description="When; default: now.")
    expires_at: AwareDatetime | None = Field(None, description="When that ends; default: it does not.")
    training: bool = Field(False, description="Whether models may learn from the photo.")


class FrameFields(PictureFields):
    """A picture of a camera, and the question about it."""

    camera_id: str = Field(description="The camera, unique within the user.", min_length=1, max_length=_MOST_NAME)
    sequence: int | None = Field(
        None, ge=0, lt=2**63, description="The frame's number; default: milliseconds since 1970."
    )
    captured_at: AwareDatetime | None = Field(None, description="When it was taken; default: now.")
    mode: Mode = Field(Mode.IDENTIFY, description="The question; `search` needs the scope `search`.")
    subject_id: str | None = Field(None, description="With `verify`: the person claimed.", max_length=_MOST_NAME)


class IdentifyFields(PictureFields):
    """A picture of which one wants to know who is in it."""

    camera_id: str = Field("http", description="The camera.", min_length=1, max_length=_MOST_NAME)
    captured_at: AwareDatetime | None = Field(None, description="When it was taken; default: now.")


class VerifyFields(IdentifyFields):
    """A picture and who is claimed to be in it."""

    subject_id: str | None = Field(
        None, description="The person claimed; default: the user himself.", max_length=_MOST_NAME
    )


class FeedbackFields(BaseModel):
    """Who a face of a match is, or is not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: str = Field(description="The event id of the frame.", max_length=64)
    statement: Statement = Field(description="Whether the face is the subject's or is not.")
    subject_id: str = Field(description="The subject.", min_length=1, max_length=_MOST_NAME)
    face: int | None = Field(None, ge=0, description="Number of the face in the match; needed if it is not clear.")
    training: bool = Field(False, description="Whether models may learn from the face, if the person has agreed.")


class StepFields(BaseModel):
    """A step of a model's rollout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    percent: float | None = Field(None, gt=0, le=100, description="With `canary`: the share of the users.")
    reason: str = Field("", description="Why, which is kept.", max_length=1024)
    force: bool = Field(False, description="Whether the gate is overruled.")


class RedriveFields(BaseModel):
    """Which dead letters are sent back; without any of these all that are open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reasons: list[str] = Field([], description="Only with these reasons.", max_length=50)
    stage: str | None = Field(None, description="Only of this role.", max_length=_MOST_NAME)
    letter_ids: list[str] = Field([], description="Only these, by their ids or the beginnings of them.", max_length=500)
    retry: bool = Field(False, description="Whether those that a killed replay has left `sending` are sent too.")
    dry_run: bool = Field(False, description="Whether they are only counted.")
    limit: int = Field(500, ge=1, le=1000, description="About how many at most.")


class HookFields(BaseModel):
    """Where events are posted, and which."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = Field(description="Where to post: an https:// address.", min_length=1)
    user_id: str | None = Field(None, description="Whose events; or `all_users`.", max_length=_MOST_NAME)
    all_users: bool = Field(False, description="Whether those of all users are posted.")
    events: list[str] = Field(
        list(USUAL_EVENTS),
        description=f"Which: {', '.join(HookKind)}; `sighting` and `enrolment` stand for all of theirs.",
        max_length=20,
    )
    name: str = Field("", description="What it is for, in your words.", max_length=_MOST_NAME)


def checked_fields(model: type[M], values: Mapping[str, Any]) -> M:
    """The fields, checked.

    Raises:
        Problem: one is missing, unknown, or has no such value; all of them are named.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        found = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
        detail = "; ".join(f"{one['field']}: {one['message']}" for one in found)
        raise Problem(422, GatewayReason.INVALID_REQUEST, detail, errors=found) from None
