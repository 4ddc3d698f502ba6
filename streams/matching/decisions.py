"""Decides about the events on ``embeddings``: enrols an upload, answers a frame, or keeps a re-embedded template."""

from __future__ import annotations

from collections.abc import Sequence

from models.embedder.card import Card
from schemas.embeddings import Reembedding, TemplateBatch, UploadOrigin
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.matching.batch_outcome import BatchOutcome
from streams.matching.enrolment import EnrolmentDecisions, Retirements
from streams.matching.erasing import refusal_of_erased
from streams.matching.frame_decisions import FrameDecisions
from streams.matching.gallery_partition import GalleryPartition
from streams.matching.other_spellings import EmbeddingEvent
from streams.matching.template_batches import BatchEnrolment
from streams.privacy.erasures import Erasures
from streams.settings import Settings


class Decisions:
    """Decides about one event after another, and adds what comes of each to the outcome of its batch."""

    def __init__(self, settings: Settings, models: Retirements, erased: Erasures) -> None:
        """``erased`` may grow while this is used."""
        self._erased = erased
        self._enrolments = EnrolmentDecisions(settings, models, erased)
        self._batches = BatchEnrolment(settings, self._enrolments, models, erased)
        self._frames = FrameDecisions(settings)

    def decide(
        self,
        message: Message,
        event: EmbeddingEvent,
        gallery: GalleryPartition,
        cards: Sequence[Card],
        outcome: BatchOutcome,
    ) -> None:
        """Decide about one event.

        Args:
            message: that the event came with.
            event: read from the message.
            gallery: the partition of the message; changed here.
            cards: of the event's vectors, that of the version which is to answer first.
            outcome: of the batch; gets the result and the change of the gallery.

        Raises:
            InvalidMessage: a batch of templates is not what it should be; nothing has changed then.
        """
        if isinstance(event, Reembedding):
            outcome.change(gallery.number, self._enrolments.reembed(event, gallery))
            return
        if isinstance(event, TemplateBatch):
            for enrolment, change in self._batches.enrol(event, gallery, cards):
                outcome.result(message, Topic.ENROLMENTS, enrolment)
                outcome.change(gallery.number, change)
            return
        erased = refusal_of_erased(event, self._erased)
        if isinstance(event.origin, UploadOrigin):
            enrolment, change = self._enrolments.enrol(event, event.origin, gallery, cards, erased)
            outcome.result(message, Topic.ENROLMENTS, enrolment)
            outcome.change(gallery.number, change)
        else:
            match, comparisons = self._frames.decide(event, event.origin, gallery.shard, cards, erased)
            outcome.result(message, Topic.MATCHES, match)
            for comparison in comparisons:
                outcome.result(message, Topic.COMPARISONS, comparison)
