"""What comes of an upload: a template, none since it is refused, or none since the same photo is there already.

The same photo of the same subject is one template, whatever the ids of its events: its bytes have the same SHA-256, or
its face the same vector, by which a photo is known too that was enrolled before the digest was kept. A consent that
goes further than that of the template takes its place, with its upload; one that does not is no reason to keep a face
a second time. Where a subject is full, copies that an earlier release has kept make room.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from models.embedder.card import Card
from models.embedder.registry_snapshot import RegistrySnapshot
from models.matching.decision import also_like
from models.matching.gallery import Embedded
from schemas.events import (
    Consent,
    Embedding,
    Enrolment,
    Face,
    Outcome,
    Reembedding,
    Refusal,
    Template,
    UploadOrigin,
    utc_now,
)
from schemas.reasons import Reason
from streams.matching.frame_decisions import threshold_of
from streams.matching.gallery_table import GalleryShard, Templates
from streams.privacy import consent as consents
from streams.privacy.erasures import Erasures
from streams.settings import Settings

_Key = tuple[str, str, str]
"""User, id and model version of a template."""

_NEVER = datetime.max.replace(tzinfo=UTC)
_SIMILAR = (
    "another subject of the user would surely be recognised on this photo, see similar_subject_id: if it is the same "
    "person, erase one of the two"
)


@dataclass(slots=True)
class GalleryChange:
    """What an event changes in the gallery.

    Attributes:
        kept: templates to write.
        gone: user, id and model version of templates to remove.
        chips: event ids of faces that are not to be learned from, as others of the same photo are, or nothing is.
    """

    kept: list[Template] = field(default_factory=list)
    gone: list[_Key] = field(default_factory=list)
    chips: list[str] = field(default_factory=list)


class ModelSource(Protocol):
    """Who knows how the model versions stand."""

    @property
    def registry(self) -> RegistrySnapshot:
        """How they stand now."""


class Enrolments:
    """Decides about the uploads of one worker's shards; the shards are changed at once, the table by the caller.

    What the caller could not deliver is remembered, so that a batch that comes again is decided alike.
    """

    def __init__(self, settings: Settings, table: Templates, watcher: ModelSource, erased: Erasures) -> None:
        """``erased`` is added to by the caller."""
        self._settings = settings
        self._table = table
        self._watcher = watcher
        self._erased = erased
        self._undone: dict[int, dict[_Key, Template | None]] = {}

    def undone(self, partition: int) -> list[tuple[_Key, Template | None]]:
        """What the shard has and the table may not have, since it was not delivered; None: is to be removed."""
        return list(self._undone.get(partition, {}).items())

    def done(self, partition: int) -> None:
        """The table is as the shard is."""
        self._undone.pop(partition, None)

    def forget(self, partition: int, user_id: str, templates: Collection[tuple[str, str]]) -> None:
        """Templates, given by id and version, are erased from the table."""
        for one in templates:
            self._undone.get(partition, {}).pop((user_id, *one), None)

    def again(self, event: Reembedding, partition: int, shard: GalleryShard) -> GalleryChange:
        """A template by another version, as long as there is one; nothing where it is gone or the version is."""
        version = shard.version_of(event.user_id, event.template_id)
        if version is None or event.model_version in self._watcher.registry.retired:
            return GalleryChange()
        known = self._template(partition, event.user_id, event.template_id, version)
        if known is None:
            return GalleryChange()
        template = replace(known, model_version=event.model_version, vector=event.vector)
        self._keep(partition, shard, [template])
        return GalleryChange(kept=[template])

    def enrol(
        self,
        embedding: Embedding,
        origin: UploadOrigin,
        partition: int,
        shard: GalleryShard,
        cards: Sequence[Card],
        erased: Refusal | None,
    ) -> tuple[Enrolment, GalleryChange]:
        """Decide about an upload; ``erased`` says that it is of somebody who has been erased.

        There are templates of every version, or none if none is to be kept.
        """
        user_id, subject_id = embedding.user_id, origin.subject_id
        limit = self._settings.max_clock_ahead_s
        refusal = erased or embedding.refusal or consents.refusal(origin.consent, embedding.timings.produced_at, limit)
        face = embedding.faces[0] if embedding.faces else None
        keeps = consents.may_keep(origin.consent, embedding.replay_id, embedding.corrects)
        change, repeats, details = GalleryChange(), None, list[str]()
        similar: str | None = None
        if refusal is None and face is not None and face.vector is not None:
            vectors = self._vectors(embedding, face, cards)
            first = _template(embedding, origin, face)
            same = self._same(first, vectors, partition, shard)
            spare = self._spare(first, partition, shard)
            if same is not None:
                repeats = same.template_id
                change, detail = self._repeated(first, vectors, same, partition, shard, keeps)
                details.append(detail)
            elif spare is None:
                room = self._settings.max_templates_per_subject
                refusal = Refusal(Reason.SUBJECT_FULL, f"{subject_id!r} has {room} templates already")
            elif keeps:
                change = GalleryChange(self._new(first, vectors, partition, shard))
                self._remove(change, partition, shard, user_id, spare)
                self._keep(partition, shard, change.kept)
            if refusal is None and (similar := self._similar(first, shard, cards[0])) is not None:
                details.append(_SIMILAR)
        elif refusal is None:
            reason = Reason(face.refusal) if face is not None and face.refusal else Reason.NO_FACE
            refusal = Refusal(reason, reason.description)
        if refusal is not None and refusal.reason == Reason.ERASED:
            change.chips.append(embedding.event_id)
        outcome = Enrolment(
            event_id=embedding.event_id,
            user_id=user_id,
            subject_id=subject_id,
            created_at=origin.created_at,
            outcome=Outcome.ENROLLED if refusal is None else Outcome.REFUSED,
            refusal=refusal,
            source=embedding.source,
            model_version=embedding.model_version,
            box=face.box if face is not None else None,
            quality=face.quality if face is not None else None,
            templates=shard.templates(user_id, subject_id),
            timings=embedding.timings,
            decided_at=utc_now(),
            repeats=repeats,
            similar_subject_id=similar,
            detail="; ".join(details) or None,
            replay_id=embedding.replay_id,
            corrects=embedding.corrects,
        )
        return outcome, change

    def _vectors(self, embedding: Embedding, face: Face, cards: Sequence[Card]) -> dict[str, bytes]:
        """The face by the versions that it is kept of."""
        others = {one.model_version: one.vector for one in face.others}
        wanted = [card.version for card in cards[1:] if card.version not in self._watcher.registry.retired]
        assert face.vector is not None
        return {embedding.model_version: face.vector} | {version: others[version] for version in wanted}

    def _same(
        self, template: Template, vectors: dict[str, bytes], partition: int, shard: GalleryShard
    ) -> Template | None:
        """The template of the same photo of the same subject by another event; of copies the one that lasts longest."""
        user_id, subject_id = template.user_id, template.subject_id
        if not shard.templates(user_id, subject_id) or shard.version_of(user_id, template.template_id) is not None:
            return None
        found = {
            (name, version)
            for version, vector in vectors.items()
            for name in shard.gallery(version, len(vector) // 4).same(
                user_id, subject_id, Embedded(version, np.frombuffer(vector, "<f4"))
            )
        }
        by_vector = [known for one in sorted(found) if (known := self._left(partition, user_id, *one)) is not None]
        if by_vector:
            return max(by_vector, key=_lasts)
        if template.picture_sha256 is None:
            return None
        for name, version in shard.of(user_id, subject_id):
            known = self._left(partition, user_id, name, version)
            if known is not None and known.picture_sha256 == template.picture_sha256:
                return known
        return None

    def _left(self, partition: int, user_id: str, template_id: str, version: str) -> Template | None:
        """A template, unless it was erased and is only still there: whoever comes again is new."""
        known = self._template(partition, user_id, template_id, version)
        if known is None:
            return None
        at_ms = round(known.enrolled_at.timestamp() * 1000)
        return None if self._erased.covers(at_ms, user_id, [known.subject_id]) else known

    def _repeated(
        self,
        template: Template,
        vectors: dict[str, bytes],
        same: Template,
        partition: int,
        shard: GalleryShard,
        keeps: bool,
    ) -> tuple[GalleryChange, str]:
        """Keep one template of a photo that came again: the one there is, or this where its consent goes further."""
        known = {
            version: one
            for name, version in shard.of(template.user_id, template.subject_id)
            if name == same.template_id and (one := self._template(partition, template.user_id, name, version))
        }
        said = f"enrolled already with the event {same.template_id}: one template is kept of both"
        change = GalleryChange()
        if consents.goes_further(template.consent, same.consent):
            said += ", under the consent that goes further"
            if keeps:
                carried = {version: one.vector for version, one in known.items()} | vectors
                change.kept = [replace(template, model_version=v, vector=vector) for v, vector in carried.items()]
                self._remove(change, partition, shard, template.user_id, [same.template_id])
        elif keeps:
            change.chips.append(template.template_id)
            if template.enrolled_at > same.enrolled_at:
                # The newest message of a photo is what Kafka keeps longest; and who came after an erasure stays.
                digest = same.picture_sha256 or template.picture_sha256
                newest = {"source": template.source, "enrolled_at": template.enrolled_at, "picture_sha256": digest}
                known = {version: replace(one, **newest) for version, one in known.items()}  # type: ignore[arg-type]
                change.kept = list(known.values())
            some = next(iter(known.values()), same)
            lacking = [replace(some, model_version=v, vector=one) for v, one in vectors.items() if v not in known]
            change.kept += lacking
        self._keep(partition, shard, change.kept)
        return change, said

    def _spare(self, template: Template, partition: int, shard: GalleryShard) -> list[str] | None:
        """Copies that make room for one more template: none are needed where there is room, None: there is no room."""
        user_id, subject_id = template.user_id, template.subject_id
        if shard.version_of(user_id, template.template_id) is not None:
            return []
        if shard.templates(user_id, subject_id) < self._settings.max_templates_per_subject:
            return []
        groups = shard.copies(user_id, subject_id)
        spare = []
        for names in groups:
            known = {
                name: one
                for name in names
                if (version := shard.version_of(user_id, name)) is not None
                and (one := self._template(partition, user_id, name, version)) is not None
            }
            stays = max(known, key=lambda name: _lasts(known[name]), default=names[0])
            spare += [name for name in names if name != stays]
        return spare or None

    def _similar(self, template: Template, shard: GalleryShard, card: Card) -> str | None:
        """Another subject of the user who would surely be recognised on the photo."""
        vector = np.frombuffer(template.vector, "<f4")
        return also_like(
            shard.gallery(card.version, len(vector)),
            card,
            template.user_id,
            template.subject_id,
            Embedded(template.model_version, vector),
            threshold_of(self._settings, card),
        )

    def _new(
        self, template: Template, vectors: dict[str, bytes], partition: int, shard: GalleryShard
    ) -> list[Template]:
        """The templates of an upload by each version. Of two messages with one event id the first counts.

        The message itself may come again, as its work may have been lost half done; so does a replay that corrects.
        """
        version = shard.version_of(template.user_id, template.template_id)
        known = version and self._template(partition, template.user_id, template.template_id, version)
        if not known or known.source == template.source:
            return [replace(template, model_version=v, vector=vector) for v, vector in vectors.items()]
        if template.picture_sha256 is None or known.picture_sha256 != template.picture_sha256:
            return []
        there = shard.versions_of(template.user_id, template.template_id)
        return [replace(known, model_version=v, vector=vector) for v, vector in vectors.items() if v not in there]

    def _template(self, partition: int, user_id: str, template_id: str, version: str) -> Template | None:
        undone = self._undone.get(partition, {})
        if (key := (user_id, template_id, version)) in undone:
            return undone[key]
        return self._table.template(partition, user_id, template_id, version)

    def _keep(self, partition: int, shard: GalleryShard, templates: Sequence[Template]) -> None:
        for template in templates:
            shard.add(template)
            key = template.user_id, template.template_id, template.model_version
            self._undone.setdefault(partition, {})[key] = template

    def _remove(
        self, change: GalleryChange, partition: int, shard: GalleryShard, user_id: str, names: Sequence[str]
    ) -> None:
        """Remove templates of all versions, with their chips."""
        for name in names:
            for version in shard.versions_of(user_id, name):
                shard.discard(user_id, name, version)
                change.gone.append((user_id, name, version))
        change.chips += names
        self._undone.setdefault(partition, {}).update(dict.fromkeys(change.gone))


def _template(embedding: Embedding, origin: UploadOrigin, face: Face) -> Template:
    assert face.vector is not None
    return Template(
        template_id=embedding.event_id,
        user_id=embedding.user_id,
        subject_id=origin.subject_id,
        model_version=embedding.model_version,
        vector=face.vector,
        quality=face.quality,
        consent=origin.consent,
        source=embedding.source,
        enrolled_at=embedding.timings.produced_at,
        picture_sha256=origin.picture_sha256,
    )


def _lasts(template: Template) -> tuple[datetime, bool, datetime]:
    """By what the template is chosen that stays of several."""
    consent: Consent = template.consent
    return consent.expires_at or _NEVER, consent.training, template.enrolled_at
