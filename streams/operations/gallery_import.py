"""Imports the templates of a file through Kafka, so that match enrols them as any other.

What the gallery has already is not sent, so importing a file twice has one effect. Results carry a replay id that
follows from the file, and correct what was answered before.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from schemas import codec, template_records
from schemas.clock import utc_now
from schemas.embeddings import TemplateBatch
from schemas.gallery import Template
from schemas.ids import canonical
from schemas.reasons import Reason
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.matching.stored_gallery import read_stored
from streams.model_registry.records import read_registry
from streams.operations.enrolment_outcomes import EnrolmentOutcomes
from streams.operations.gallery_export import installation, is_erased
from streams.privacy.erasures import Erasures, read_erasures
from streams.settings import Settings

_AT_ONCE = 500
"""Templates that are sent before outcomes are looked at."""
_ON_THE_WAY = 2_500
"""Templates on their way to match; live events of the same users wait behind so many at most."""
_OF_A_BATCH, _BATCH_BYTES = 64, 256 * 1024
"""Most templates of a message, and their bytes: a few milliseconds of match."""
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


class TemplateFile(Protocol):
    """A file of templates: an exported gallery, or vectors."""

    @property
    def created_at(self) -> datetime | None:
        """When it was exported; None: it comes from elsewhere."""

    @property
    def installation(self) -> str | None:
        """Where it was exported; None: it comes from elsewhere."""

    @property
    def user_id(self) -> str | None:
        """The only user in it; None: there may be several."""

    @property
    def sha256(self) -> str:
        """A digest of what is in it."""

    def templates(self) -> Iterator[Template]:
        """The templates; the records of one come together."""


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

    def __init__(self, settings: Settings, file: TemplateFile, user_id: str | None = None) -> None:
        """Learn what the installation has.

        Args:
            settings: of the installation.
            file: of templates, checked.
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
        self.is_foreign = file.installation is not None and file.installation != installation(settings)

    @property
    def too_old(self) -> timedelta | None:
        """How long erasures are remembered, if the file is older; None: all that were asked for since are known."""
        (spec,) = (one for one in topic_specs(self._settings) if one.topic is Topic.ERASURES)
        kept = timedelta(milliseconds=int(spec.config["retention.ms"]))
        created_at = self._file.created_at
        return kept if created_at is not None and created_at < utc_now() - kept else None

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

            def take(most: int) -> None:
                for event in outcomes.come(patience_s, most):
                    if event.refusal is None:
                        result.enrolled += 1
                        result.repeats += event.repeats
                    else:
                        result.refused[event.refusal] += 1
                    report(result)

            for chunk in _chunks(self._missing(result)):
                if outcomes.pending > _ON_THE_WAY - _AT_ONCE:  # the last wait was in vain
                    result.unsent += len(chunk)
                    continue
                outcomes.expect({(some.user_id, some.template_id) for some, *_ in chunk})
                writer.write_all((one.user_id, codec.encode(one), None) for one in self._batches(chunk))
                take(_ON_THE_WAY - _AT_ONCE)
            take(0)
            result.no_outcome = outcomes.pending
        return result

    def _missing(self, result: ImportResult) -> Iterator[list[Template]]:
        """The templates to send, each with its records; everything is counted."""
        for versions in self._templates():
            fate, kept = self._decide(versions, utc_now())
            result.templates += 1
            result.fates[fate] += 1
            if fate is Fate.SENT:
                yield kept

    def _batches(self, chunk: Iterable[list[Template]]) -> Iterator[TemplateBatch]:
        """Templates as messages."""
        for user_id, of_user in itertools.groupby(chunk, lambda versions: versions[0].user_id):
            versions, encoded, count = dict[str, None](), list[bytes](), 0
            for one in of_user:
                if count == _OF_A_BATCH or sum(map(len, encoded)) > _BATCH_BYTES:
                    yield TemplateBatch(user_id, list(versions), encoded, self.replay_id)
                    versions, encoded, count = {}, [], 0
                versions |= {template.model_version: None for template in one}
                encoded += map(template_records.encode, one)
                count += 1
            yield TemplateBatch(user_id, list(versions), encoded, self.replay_id)

    def _templates(self) -> Iterator[list[Template]]:
        """The records of each template."""
        records = self._file.templates()
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


def _chunks(templates: Iterator[list[Template]]) -> Iterator[list[list[Template]]]:
    while chunk := list(itertools.islice(templates, _AT_ONCE)):
        yield chunk
