"""The same photo of the same subject is one template, whatever the ids of its events.

A photo is the same if its bytes have the same SHA-256 or its face has the same vector; the latter also finds templates
that were enrolled before the digest was kept. If the consent of the new upload goes further than that of the template,
the upload replaces the template; otherwise the face is not kept a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from models.matching.gallery import Embedded
from schemas.gallery import Template
from schemas.ingest import Consent
from streams.matching.gallery_partition import GalleryChange, GalleryPartition
from streams.privacy import consent as consents
from streams.privacy.erasures import Erasures

Vectors = Mapping[str, bytes]
"""The vector of a face by model version."""

_NEVER = datetime.max.replace(tzinfo=UTC)


def find_same_photo(
    template: Template, vectors: Vectors, gallery: GalleryPartition, erased: Erasures
) -> Template | None:
    """The subject's template of the same photo from another event; of several the one that may be kept longest."""
    user_id, subject_id = template.user_id, template.subject_id
    shard = gallery.shard
    if not shard.templates(user_id, subject_id) or shard.version_of(user_id, template.template_id) is not None:
        return None
    found = {
        (name, version)
        for version, vector in vectors.items()
        for name in shard.gallery(version, len(vector) // 4).same(
            user_id, subject_id, Embedded(version, np.frombuffer(vector, "<f4"))
        )
    }
    by_vector = [known for one in sorted(found) if (known := _not_erased(gallery, erased, user_id, *one)) is not None]
    if by_vector:
        return max(by_vector, key=_lasts)
    if template.picture_sha256 is None:
        return None
    for name, version in shard.of(user_id, subject_id):
        known = _not_erased(gallery, erased, user_id, name, version)
        if known is not None and known.picture_sha256 == template.picture_sha256:
            return known
    return None


def merge_repeated(
    template: Template, vectors: Vectors, same: Template, gallery: GalleryPartition, keeps: bool
) -> tuple[GalleryChange, str]:
    """Keep one template of a photo that came again: ``same``, or the new one if its consent goes further.

    Args:
        template: what the new upload would be kept as.
        vectors: its face by each model version.
        same: the template of the same photo.
        gallery: changed here.
        keeps: whether anything may be written for this upload.

    Returns:
        The change, and what the outcome says about it.
    """
    known = {
        version: one
        for name, version in gallery.shard.of(template.user_id, template.subject_id)
        if name == same.template_id and (one := gallery.template(template.user_id, name, version))
    }
    detail = f"enrolled already with the event {same.template_id}: one template is kept of both"
    change = GalleryChange()
    if consents.goes_further(template.consent, same.consent):
        detail += ", under the consent that goes further"
        if keeps:
            carried = {version: one.vector for version, one in known.items()} | dict(vectors)
            change = gallery.remove(template.user_id, [same.template_id])
            change.kept = [replace(template, model_version=v, vector=vector) for v, vector in carried.items()]
    elif keeps:
        change.chips.append(template.template_id)
        if template.enrolled_at > same.enrolled_at:
            # Kafka keeps the newest message of a photo longest; and a subject enrolled again after an erasure stays.
            digest = same.picture_sha256 or template.picture_sha256
            known = {
                version: replace(one, source=template.source, enrolled_at=template.enrolled_at, picture_sha256=digest)
                for version, one in known.items()
            }
            change.kept = list(known.values())
        some = next(iter(known.values()), same)
        change.kept += [replace(some, model_version=v, vector=one) for v, one in vectors.items() if v not in known]
    gallery.keep(change.kept)
    return change, detail


def superfluous_copies(template: Template, gallery: GalleryPartition) -> list[str]:
    """The subject's templates of which a copy is kept anyway; earlier releases kept the same photo several times."""
    user_id = template.user_id
    superfluous = []
    for names in gallery.shard.copies(user_id, template.subject_id):
        known = {
            name: one
            for name in names
            if (version := gallery.shard.version_of(user_id, name)) is not None
            and (one := gallery.template(user_id, name, version)) is not None
        }
        stays = max(known, key=lambda name: _lasts(known[name]), default=names[0])
        superfluous += [name for name in names if name != stays]
    return superfluous


def _not_erased(
    gallery: GalleryPartition, erased: Erasures, user_id: str, template_id: str, version: str
) -> Template | None:
    """A template; None if its subject or photo was erased, since a new upload then repeats nothing."""
    known = gallery.template(user_id, template_id, version)
    if known is None:
        return None
    return None if erased.covers_template(known) else known


def _lasts(template: Template) -> tuple[datetime, bool, datetime]:
    """The order in which templates are preferred: longest consent, then training allowed, then newest."""
    consent: Consent = template.consent
    return consent.expires_at or _NEVER, consent.training, template.enrolled_at
