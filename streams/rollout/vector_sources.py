"""Makes vectors of enrolled faces by another model version: from old vectors, kept chips, or the uploads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np

from models.analysis import chips as faces
from models.analysis.face_analysis import FaceAnalyzer
from models.analysis.realigner import Realigner
from models.embedder.card import Card
from models.embedder.model import Model
from schemas import codec
from schemas.errors import CodecError
from schemas.gallery import Template
from schemas.ingest import Upload
from schemas.learning import Chip
from schemas.parts import Refusal
from schemas.replays import OffsetRange
from streams.embedding.payload import PayloadUnavailable, fetch
from streams.kafka.log_reader import LogReader, LogTruncated
from streams.kafka.log_tail import LogTail
from streams.kafka.topics import Topic
from streams.model_registry import records
from streams.roles import Embedder
from streams.settings import Settings

Named = tuple[Template, bytes]
"""A template and its new vector, little-endian float32."""


class VectorSource(Protocol):
    """Makes new vectors of the templates for which it has a source, and leaves the others out."""

    def __call__(self, templates: Sequence[Template]) -> Iterator[Named]:
        """Yield each vector as soon as it is made."""


@contextmanager
def open_sources(settings: Settings, version: str, embedder: Embedder) -> Iterator[list[VectorSource]]:
    """Load a version; yield what makes vectors by it, the cheapest first.

    Raises:
        UnusableModel: the version cannot be loaded.
        KafkaUnavailable: no broker answers.
    """
    folder = records.folder_of(version, settings)
    if embedder is Embedder.DIGEST:
        from models.testing.digest import DigestAnalyzer

        digest = DigestAnalyzer()
        digest.load(folder)
        yield [from_uploads(settings, digest, version)]
        return
    from models.embedder import runtime

    runtime.tensorflow(settings.cpu_threads)
    from models.analysis.analyzer import Analyzer

    model = Model.load(folder, threads=settings.cpu_threads)
    head = head_of(model.card, folder)
    cards = records.cards(settings)
    alike = {version: card for version, card in cards.items() if card.chip.cut == model.card.chip.cut}
    others = {version: card for version, card in cards.items() if version not in alike}
    with closing(
        Analyzer(
            model,
            threads=settings.cpu_threads,
            max_picture_bytes=settings.max_picture_bytes,
            max_picture_pixels=settings.max_picture_pixels,
        )
    ) as analyzer:
        yield [
            *([head] if head else []),
            from_chips(settings, model, alike),
            from_uploads(settings, analyzer, version),
            from_chips(settings, model, others),
        ]


def head_of(card: Card, folder: Path) -> VectorSource | None:
    """From the vectors of a version's parent, if the version is a head behind these: no picture is needed."""
    if card.lineage is None or card.lineage.mode != "head":
        return None
    from models.embedder import runtime

    runtime.tensorflow()

    import keras  # type: ignore[import-untyped]

    from models.training.head import project
    from models.training.retrain import HEAD_FILE

    if not (folder / HEAD_FILE).exists():
        return None
    parent, head = card.lineage.parent, keras.models.load_model(folder / HEAD_FILE, compile=False)

    def embed(templates: Sequence[Template]) -> Iterator[Named]:
        of_parent = [one for one in templates if one.model_version == parent]
        if of_parent:
            vectors = np.stack([np.frombuffer(one.vector, "<f4") for one in of_parent])
            for template, vector in zip(of_parent, project(head, vectors), strict=True):
                unit = vector / np.linalg.norm(vector) if card.output.metric == "cosine" else vector
                yield template, unit.astype("<f4").tobytes()

    return embed


def from_chips(settings: Settings, model: Model, cards: Mapping[str, Card]) -> VectorSource:
    """From aligned faces that were kept for training, if one of these versions embedded them.

    Those that were cut in another way are aligned again, which costs some accuracy (docs/models.md). The topic is read
    once; later calls read what has come since, and single chips at their offsets.
    """
    places: dict[bytes, OffsetRange] = {}
    tail = LogTail(settings, Topic.CHIPS, places.clear)
    realigner = Realigner(model.card.chip)

    def embed(templates: Sequence[Template]) -> Iterator[Named]:
        wanted = {one.template_id.encode(): one for one in templates}
        kept: dict[bytes, Chip] = {}
        with tail:
            for message in tail.more():
                key = message.key or b""
                kept.pop(key, None)
                places.pop(key, None)
                if message.value is not None:
                    number, offset = message.source.partition, message.offset
                    places[key] = OffsetRange(number, offset, offset, offset + 1)
                    if key in wanted:
                        _keep(kept, key, message.value)
        if others := [key for key in wanted if key in places and key not in kept]:
            with LogReader(settings, Topic.CHIPS) as log:
                for key in others:
                    for message in log.messages([places[key]]):
                        _keep(kept, key, message.value)
        for key, chip in kept.items():
            made_for = cards.get(chip.model_version)
            pixels = faces.decode(chip.jpeg)
            if made_for is None or pixels is None:
                continue
            aligned = realigner.from_chip(pixels, made_for.chip)
            if aligned is not None:
                yield wanted[key], model.embed(aligned[None])[0].astype("<f4").tobytes()

    return embed


def _keep(kept: dict[bytes, Chip], key: bytes, value: bytes | None) -> None:
    with suppress(CodecError):
        kept[key] = codec.decode(value, Chip)


def from_uploads(settings: Settings, analyzer: FaceAnalyzer, version: str) -> VectorSource:
    """From the pictures on the topic ``uploads``, as long as Kafka keeps them."""
    name = Topic.UPLOADS.named(settings)

    def embed(templates: Sequence[Template]) -> Iterator[Named]:
        with closing(LogReader(settings, Topic.UPLOADS)) as log:
            for template in sorted(templates, key=lambda one: (one.source.partition, one.source.offset)):
                if template.source.topic != name:
                    continue
                at = template.source.offset
                try:
                    messages = list(log.messages([OffsetRange(template.source.partition, at, at, at + 1)]))
                    upload = codec.decode(messages[0].value, Upload) if messages else None
                    picture = fetch(upload.picture, settings) if upload is not None else None
                except (LogTruncated, CodecError, PayloadUnavailable):
                    continue
                if upload is None or picture is None or isinstance(picture, Refusal):
                    continue
                if upload.event_id != template.template_id and not _is_of(picture, template):
                    continue  # the topic was created again since
                [analysis] = analyzer.analyze([picture], enrolment=True, versions=[(version,)])
                if analysis.refusal is None and analysis.faces and (vector := analysis.faces[0].vector):
                    yield template, vector

    return embed


def _is_of(picture: bytes, template: Template) -> bool:
    """Whether a template was made of a picture: its last message may be another event with the same photo."""
    return sha256(picture).hexdigest() == template.picture_sha256
