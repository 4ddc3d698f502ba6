"""From a batch of imported templates to the outcome of each: as uploads are enrolled, and most of them at once.

A template of a subject that has none yet is taken as it is. Whatever needs a closer look, because the subject has
templates, or something speaks against it, is enrolled alone, as a correcting replay of its upload would be. Other
subjects of the user are not looked for on imported photos: for a large gallery that would take days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from models.embedder.card import Card
from schemas import template_records
from schemas.clock import utc_now
from schemas.embeddings import TemplateBatch, UploadOrigin
from schemas.errors import CodecError
from schemas.gallery import Template
from schemas.parts import UNMEASURED, Timings
from schemas.reasons import Reason
from schemas.results import Enrolment, Outcome
from streams.kafka.decoding import InvalidMessage
from streams.matching.enrolment import EnrolmentDecisions, Retirements
from streams.matching.erasing import refusal_of_erased
from streams.matching.gallery_partition import GalleryChange, GalleryPartition
from streams.matching.other_spellings import as_embedding
from streams.matching.repeated_photos import find_same_photo
from streams.privacy import consent as consents
from streams.privacy.erasures import Erasures
from streams.settings import Settings

Decided = tuple[Enrolment, GalleryChange]


@dataclass(frozen=True, slots=True)
class _Imported:
    """One template by several model versions, and how each is encoded."""

    versions: list[Template]
    encoded: list[bytes]

    @property
    def first(self) -> Template:
        return self.versions[0]


class BatchEnrolment:
    """Decides about imported templates. The gallery partition is changed at once, writing is left to the caller."""

    def __init__(
        self, settings: Settings, enrolments: EnrolmentDecisions, models: Retirements, erased: Erasures
    ) -> None:
        """``erased`` may grow while this is used."""
        self._settings = settings
        self._enrolments = enrolments
        self._models = models
        self._erased = erased

    def enrol(self, batch: TemplateBatch, gallery: GalleryPartition, cards: Sequence[Card]) -> Iterator[Decided]:
        """The outcome of each template, and what it changes.

        Args:
            batch: of one user.
            gallery: of the user's partition.
            cards: of the versions that the batch names.

        Raises:
            InvalidMessage: a template cannot be read, is of another user, or has a vector that none of the cards'
                models makes; nothing has changed then.
        """
        by_version = {card.version: card for card in cards}
        left = _templates_of(batch, by_version)
        while left:
            # Templates of different subjects do not depend on each other.
            plain, alone, later = list[_Imported](), list[_Imported](), list[_Imported]()
            counts = list[int]()
            seen = set[str]()
            for one in left:
                if not seen.isdisjoint((one.first.subject_id, one.first.template_id)):
                    later.append(one)
                    continue
                seen |= {one.first.subject_id, one.first.template_id}
                count = gallery.shard.templates(batch.user_id, one.first.subject_id)
                if self._is_plain(one.versions, count, gallery):
                    plain.append(one)
                    counts.append(count + 1)
                else:
                    alone.append(one)
            gallery.keep_new([template for one in plain for template in one.versions])
            for one, count in zip(plain, counts, strict=True):
                yield _enrolled(batch, one.first, count), GalleryChange(kept=one.versions, encoded=one.encoded)
            for one in alone:
                yield self._alone(batch, one.versions, gallery, by_version)
            left = later

    def _is_plain(self, versions: Sequence[Template], count: int, gallery: GalleryPartition) -> bool:
        """Whether a template is new, nothing speaks against it, and its subject has room and no template like it.

        ``count`` is the number of templates that the subject has.
        """
        first, shard, retired = versions[0], gallery.shard, self._models.retired
        return (
            shard.version_of(first.user_id, first.template_id) is None
            and count < self._settings.max_templates_per_subject
            and not self._erased.covers_template(first)
            and consents.refusal(first.consent, first.enrolled_at, self._settings.max_clock_ahead_s) is None
            and consents.may_keep(first.consent, "an import", corrects=True)
            and len({one.model_version for one in versions}.difference(retired)) == len(versions)
            and all(replace(first, model_version=v.model_version, vector=v.vector) == v for v in versions[1:])
            and (not count or find_same_photo(first, _vectors(versions), gallery, self._erased) is None)
        )

    def _alone(
        self, batch: TemplateBatch, versions: list[Template], gallery: GalleryPartition, cards: Mapping[str, Card]
    ) -> Decided:
        embedding = replace(as_embedding(versions, utc_now()), replay_id=batch.replay_id, corrects=True)
        return self._enrolments.enrol(
            embedding,
            cast(UploadOrigin, embedding.origin),
            gallery,
            [cards[one.model_version] for one in versions],
            refusal_of_erased(embedding, self._erased),
            looks_for_similar=False,
        )


def _templates_of(batch: TemplateBatch, cards: Mapping[str, Card]) -> list[_Imported]:
    found = list[_Imported]()
    for encoded in batch.templates:
        try:
            template = template_records.decode(encoded)
        except CodecError as error:
            raise InvalidMessage(error.reason, type(error).__name__, f"a template of the batch: {error}") from error
        card = cards.get(template.model_version)
        if template.user_id != batch.user_id or card is None or len(template.vector) != 4 * card.output.dimensions:
            raise InvalidMessage(
                Reason.MALFORMED_EVENT,
                "ForeignTemplate",
                f"a template of user {template.user_id!r} with {len(template.vector) // 4} dimensions by "
                f"{template.model_version} is in a batch of user {batch.user_id!r} by {', '.join(cards)}",
            )
        if found and found[-1].first.template_id == template.template_id:
            found[-1].versions.append(template)
            found[-1].encoded.append(encoded)
        else:
            found.append(_Imported([template], [encoded]))
    return found


def _vectors(versions: Sequence[Template]) -> dict[str, bytes]:
    return {one.model_version: one.vector for one in versions}


def _enrolled(batch: TemplateBatch, template: Template, count: int) -> Enrolment:
    now = utc_now()
    return Enrolment(
        event_id=template.template_id,
        user_id=template.user_id,
        subject_id=template.subject_id,
        created_at=template.enrolled_at,
        outcome=Outcome.ENROLLED,
        source=template.source,
        model_version=template.model_version,
        quality=template.quality if template.quality != UNMEASURED else None,
        templates=count,
        timings=Timings(produced_at=template.enrolled_at, received_at=now, embedded_at=now),
        decided_at=now,
        replay_id=batch.replay_id,
        corrects=True,
    )
