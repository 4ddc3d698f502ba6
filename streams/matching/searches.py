"""Searches over everybody: a frame becomes a probe for every shard, and each shard answers its part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.embedder.card import Card
from models.matching.decision import Probes
from models.matching.search import search
from models.matching.searchable import SearchableTemplates
from schemas import codec
from schemas.embeddings import Embedding, Face, FrameOrigin
from schemas.parts import Decision, Refusal
from schemas.reasons import Reason
from schemas.results import MatchedFace, SearchCoverage
from streams.engine.faust_producer import Outgoing
from streams.kafka.messages import Message
from streams.kafka.partitioner import partition_of
from streams.kafka.topics import Topic
from streams.matching.batch_outcome import BatchOutcome
from streams.matching.frame_decisions import FrameDecisions, threshold_of
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Probe:
    """A search that a shard is asked for: the embedding of its frame, and the card of the vectors."""

    message: Message
    embedding: Embedding
    origin: FrameOrigin
    card: Card


class Searches:
    """Begins searches over all shards, and answers those of single shards."""

    def __init__(self, settings: Settings, shards: int) -> None:
        """``shards`` is the number of partitions."""
        self._settings = settings
        self._shards = shards
        self._frames = FrameDecisions(settings)

    def begin(
        self,
        message: Message,
        embedding: Embedding,
        origin: FrameOrigin,
        card: Card,
        erased: Refusal | None,
        outcome: BatchOutcome,
    ) -> None:
        """Send the message to all shards, or answer it at once if it is refused or has no face to search for.

        Args:
            message: that the embedding came with.
            embedding: of a frame with the mode ``search``.
            origin: of the same.
            card: of the embedding's version.
            erased: the refusal if the frame is of a user who has been erased since.
            outcome: of the batch.
        """
        refusal = erased or embedding.refusal
        if refusal is None and not self._settings.search_purposes:
            refusal = Refusal(Reason.SEARCH_OFF, Reason.SEARCH_OFF.description)
        if refusal is None and any(face.vector for face in embedding.faces):
            outcome.probes += [(message.key, message.value, shard) for shard in range(self._shards)]
            return
        faces = [] if refusal else [_refused(face) for face in embedding.faces]
        match = self._frames.match(replace(embedding, refusal=refusal), origin, card, faces)
        outcome.result(message, Topic.MATCHES, match)

    def parts(self, probes: Sequence[Probe], templates: Mapping[int, SearchableTemplates]) -> list[Outgoing]:
        """The answers of shards to probes, for the partitions of the probes' users; probes of a version go together.

        Args:
            probes: of any shards.
            templates: of these shards, by number.
        """
        together: dict[tuple[int, str], list[Probe]] = defaultdict(list)
        for one in probes:
            together[one.message.source.partition, one.card.version].append(one)
        parts = []
        for (shard, version), group in together.items():
            answers = search(
                [Probes.of(one.embedding, version) for one in group],
                templates[shard],
                group[0].card,
                threshold=threshold_of(self._settings, group[0].card),
                candidates=self._settings.search_candidates,
            )
            parts += [
                self._part(one, shard, faces, templates[shard].count(version))
                for one, faces in zip(group, answers, strict=True)
            ]
        return parts

    def _part(self, probe: Probe, shard: int, faces: list[MatchedFace], templates: int) -> Outgoing:
        asked_at = codec.from_micros(probe.message.timestamp_ms * 1000)
        covered = SearchCoverage(self._shards, [shard], templates, asked_at)
        match = replace(self._frames.match(probe.embedding, probe.origin, probe.card, faces), search=covered)
        return probe.message.key, codec.encode(match), partition_of(match.user_id, self._shards)


def _refused(face: Face) -> MatchedFace:
    return MatchedFace(face.box, face.landmarks, face.quality, Decision.REFUSED, reason=face.refusal)
