"""Puts the templates of an exported gallery back: as embeddings through Kafka, so that match enrols them as any other.

What the gallery has already is not sent, so importing a file twice has one effect. Results carry a replay id that
follows from the file, and correct what was answered before.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from schemas import codec, gallery_file
from schemas.clock import utc_now
from schemas.embeddings import Embedding
from schemas.gallery import Template
from schemas.gallery_file import GalleryFile
from schemas.ids import canonical
from schemas.reasons import Reason
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.matching.other_spellings import as_embedding
from streams.matching.stored_gallery import read_stored
from streams.model_registry.records import read_registry
from streams.operations.enrolment_outcomes import EnrolmentOutcomes
from streams.operations.gallery_export import installation, is_erased
from streams.privacy.erasures import Erasures, read_erasures
from streams.settings import Settings

_AT_ONCE = 500
"""Templates on their way; live events wait behind so many at most."""
_ID_DIGITS = 12


class ImportRefused(Exception):
    """Nothing was imported; the message says why, and what to do."""


class Fate(StrEnum):
    """What an import does with a template."""

    SENT = "sent"
    THERE = "there"
    ERASED = "erased"
    CONSENT_ENDED = "consent_ended"
    RETIRED = "retired"
    UNKNOWN_MODEL = "unknown_model"


@dataclass(slots=True)
class ImportResult:
    """What became of the templates of a file; an enrolled photo is one template, whatever its model versions.

    Attributes:
        templates: all of the file, or of the user that was asked for.
        fates: what was done with them; those with ``SENT`` were to be sent.
        enrolled: in the gallery now, as match has answered.
        repeats: of them, photos of which the gallery had a template from another upload.
        refused: those that match did not take, by reason.
        no_outcome: sent, without an answer in time.
        unsent: not sent, since the import stopped.
    """

    templates: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    enrolled: int = 0
    repeats: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    no_outcome: int = 0
    unsent: int = 0

    @property
    def failed(self) -> bool:
        """Whether a template is missing that nobody has erased or withdrawn."""
        lost = sum(count for reason, count in self.refused.items() if reason != Reason.ERASED)
        return bool(lost or self.no_outcome or self.unsent or self.fates[Fate.UNKNOWN_MODEL])


class GalleryImport:
    """The import of one file."""

    def __init__(self, settings: Settings, file: GalleryFile, user_id: str | None = None) -> None:
        """Learn what the installation has.

        Args:
            settings: of the installation.
            file: as :func:`schemas.gallery_file.check` has found it.
            user_id: only this user; None: all of the file.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topics have not been created.
            UnusableModel: FACESTREAM_MODEL_DIR has no card.
        """
        self._settings = settings
        self._file = file
        self._user_id = None if user_id is None else canonical(user_id)
        self._registry = read_registry(settings)
        self._stored: dict[tuple[str, str], set[str]] = {}
        for one in itertools.chain.from_iterable(read_stored(settings, self._user_id or file.user_id)):
            self._stored.setdefault((one.user_id, one.template_id), set()).add(one.model_version)
        self._erased: Erasures = read_erasures(settings)
        self._known = {self._registry.base, *(record.version for record in self._registry.records)}
        self._known |= set().union(*self._stored.values())
        self.replay_id = f"import-{file.sha256[:_ID_DIGITS]}"
        self.is_foreign = file.installation != installation(settings)

    @property
    def too_old(self) -> timedelta | None:
        """How long erasures are remembered, if the file is older; None: all that were asked for since are known."""
        (spec,) = (one for one in topic_specs(self._settings) if one.topic is Topic.ERASURES)
        kept = timedelta(milliseconds=int(spec.config["retention.ms"]))
        return kept if self._file.created_at < utc_now() - kept else None

    def check(self, unknown: Mapping[str, int], *, known_only: bool, accept_old: bool) -> None:
        """Refuse an import that would leave something out, or bring somebody back, that nobody has accepted.

        Args:
            unknown: the vectors of unknown model versions, see :meth:`plan`.
            known_only: leaving them out is accepted.
            accept_old: bringing back people is accepted whose erasure is no longer remembered.

        Raises:
            ImportRefused: it is not.
        """
        if unknown and not known_only:
            said = ", ".join(f"{count} by {version}" for version, count in unknown.items())
            raise ImportRefused(
                f"nothing was imported: the file has vectors of model versions that are unknown here ({said}). Add the "
                "versions with `facestream models import`, or leave these vectors out with --known-models"
            )
        if (kept := self.too_old) is not None and not accept_old:
            raise ImportRefused(
                f"nothing was imported: the file is from {self._file.created_at:%Y-%m-%d}, and erasures are remembered "
                f"for {kept.days} days, so people who were erased since would come back. Erase them again afterwards, "
                "by their receipts, and pass --accept-old"
            )

    def plan(self) -> tuple[ImportResult, Mapping[str, int]]:
        """Count what would be done, and the vectors of unknown model versions by version."""
        result, unknown = ImportResult(), Counter[str]()
        now = utc_now()
        for versions in self._templates():
            fate, _ = self._decide(versions, now)
            result.templates += 1
            result.fates[fate] += 1
            unknown.update(one.model_version for one in versions if one.model_version not in self._known)
        return result, unknown

    def run(self, patience_s: float, report: Callable[[ImportResult], None] = lambda result: None) -> ImportResult:
        """Send what is missing, and wait for the outcome of each.

        Args:
            patience_s: how long to wait without any outcome; then the import stops.
            report: called now and then with what is known.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        result, writer = ImportResult(), RecordWriter(self._settings, Topic.EMBEDDINGS)
        with EnrolmentOutcomes(self._settings, self.replay_id) as outcomes:
            for chunk in _chunks(self._missing(result)):
                if result.no_outcome:
                    result.unsent += len(chunk)
                    continue
                writer.write_all((one.user_id, codec.encode(one), None) for one in chunk)
                for event in outcomes.of({(one.user_id, one.event_id) for one in chunk}, patience_s):
                    if event.refusal is None:
                        result.enrolled += 1
                        result.repeats += event.repeats
                    else:
                        result.refused[event.refusal] += 1
                    report(result)
                result.no_outcome += outcomes.pending
        return result

    def _missing(self, result: ImportResult) -> Iterator[Embedding]:
        """The embeddings to send; everything is counted."""
        for versions in self._templates():
            fate, kept = self._decide(versions, utc_now())
            result.templates += 1
            result.fates[fate] += 1
            if fate is Fate.SENT:
                yield replace(as_embedding(kept, utc_now()), replay_id=self.replay_id, corrects=True)

    def _templates(self) -> Iterator[list[Template]]:
        """The records of each template."""
        records = gallery_file.templates(self._file.path)
        for (user_id, _), versions in itertools.groupby(records, lambda one: (one.user_id, one.template_id)):
            if self._user_id in (None, user_id):
                yield list(versions)

    def _decide(self, versions: Collection[Template], now: datetime) -> tuple[Fate, list[Template]]:
        """What to do with a template, and which of its records are of use."""
        some = next(iter(versions))
        known = [one for one in versions if one.model_version in self._known]
        kept = [one for one in known if one.model_version not in self._registry.retired]
        kept.sort(key=lambda one: (one.model_version != self._registry.production, one.model_version))
        if is_erased(some, self._erased):
            return Fate.ERASED, []
        if some.consent.expires_at is not None and some.consent.expires_at <= now:
            return Fate.CONSENT_ENDED, []
        if not kept:
            return (Fate.RETIRED if known else Fate.UNKNOWN_MODEL), []
        there = self._stored.get((some.user_id, some.template_id), set())
        return (Fate.THERE if there >= {one.model_version for one in kept} else Fate.SENT), kept


def _chunks(embeddings: Iterator[Embedding]) -> Iterator[list[Embedding]]:
    while chunk := list(itertools.islice(embeddings, _AT_ONCE)):
        yield chunk
