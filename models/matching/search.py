"""Search over everybody: each shard answers from its templates; :mod:`models.matching.merging` makes one answer of all.

A face matches the nearest subject if that is below the threshold, and is ambiguous if another one is too, which may be
the same person as another user's subject. The threshold bounds the false-match rate of one comparison, see
:mod:`models.matching.decision`: a search makes as many as there are templates, so most programs want the candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.embedder.card import Card
from models.matching.decision import Probes
from models.matching.gallery import Embedded
from models.matching.merging import with_candidates
from models.matching.searchable import Found, SearchableTemplates
from schemas.embeddings import Face
from schemas.parts import Decision
from schemas.results import Candidate, MatchedFace


def search(
    pictures: Sequence[Probes], templates: SearchableTemplates, card: Card, *, threshold: float, candidates: int
) -> list[list[MatchedFace]]:
    """Decide about the faces of pictures, with the templates of one shard.

    Args:
        pictures: the faces of each, with their vectors by the version of the card.
        templates: of the shard.
        card: of the model version.
        threshold: two faces below this distance match.
        candidates: number of subjects to list for each face.
    """
    vectors = [vector for picture in pictures for vector in picture.vectors if vector is not None]
    probes = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), card.output.dimensions)
    # The second one tells whether the first is ambiguous.
    found = iter(templates.nearest(Embedded(card.version, probes), max(2, candidates)) if vectors else ())
    return [
        [
            _refused(face) if vector is None else _decided(face, next(found), card, threshold, candidates)
            for face, vector in zip(picture.faces, picture.vectors, strict=True)
        ]
        for picture in pictures
    ]


def _decided(face: Face, found: Sequence[Found], card: Card, threshold: float, candidates: int) -> MatchedFace:
    near = [one for one in found if one.distance < threshold]
    return with_candidates(
        MatchedFace(face.box, face.landmarks, face.quality, Decision.UNKNOWN),
        [
            Candidate(one.subject_id, card.similarity(one.distance), one.distance, card.fmr(one.distance), one.user_id)
            for one in found[:candidates]
        ],
        matches=bool(near),
        ambiguous=len(near) > 1,
    )


def _refused(face: Face) -> MatchedFace:
    return MatchedFace(face.box, face.landmarks, face.quality, Decision.REFUSED, reason=face.refusal)
