"""The topic ``models``: the records of all versions."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from models.embedder.card import Card, UnusableModel
from models.embedder.references import FAST, Reference
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas import codec
from schemas.errors import CodecError
from schemas.rollout import ModelRecord
from streams.kafka.log_reader import read_events
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.settings import Settings

PARTITION = 0
"""All records are in one partition, since their order decides which version was put in production last."""


def base_folder(settings: Settings) -> Path:
    """The folder of the version that answers if the topic names none.

    FACESTREAM_MODEL does not change it, since it would then exchange the model below enrolled people: the ``fast``
    reference model was the only one when the topic could be empty (see :mod:`streams.model_registry.first_version`).
    """
    return settings.model_dir or FAST


def base_card(settings: Settings) -> Card:
    """The card of the version that answers if the topic names none.

    Raises:
        UnusableModel: FACESTREAM_MODEL_DIR has no card.
    """
    return Card.read(base_folder(settings))


def card_of(record: ModelRecord) -> Card:
    """The card in a record.

    Raises:
        UnusableModel: the record has no card that this release can read.
    """
    try:
        return Card.model_validate_json(record.card)
    except ValueError as error:
        raise UnusableModel(f"the record of {record.version} has no model card: {error}") from error


def cards(settings: Settings) -> dict[str, Card]:
    """The cards of all versions that are known: those on the topic, the base and the reference models.

    Raises:
        KafkaUnavailable: no broker answers.
        UnusableModel: FACESTREAM_MODEL_DIR or a record has no card.
    """
    known = [base_card(settings), *(Card.read(reference.folder) for reference in Reference)]
    on_topic = {one.version: card_of(one) for one in read_registry(settings).records}
    return {card.version: card for card in known} | on_topic


def folder_of(version: str, settings: Settings) -> Path:
    """The folder of a version's card and weights, whether or not it exists.

    Raises:
        UnusableModel: FACESTREAM_MODEL_DIR has no card, or the name cannot be that of a folder.
    """
    if version == base_card(settings).version:
        return base_folder(settings)
    for reference in Reference:
        if version == Card.read(reference.folder).version:
            return reference.folder
    if Path(version).name != version:
        raise UnusableModel(f"{version!r} is no name of a model version")
    return settings.versions_dir / version


def decode(value: bytes | None) -> ModelRecord | None:
    """The record in a message; None if it holds none."""
    with suppress(CodecError):
        return codec.decode(value, ModelRecord)
    return None


def read_registry(settings: Settings, base: str | None = None) -> RegistrySnapshot:
    """The states of all versions now.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
        UnusableModel: FACESTREAM_MODEL_DIR has no card.
    """
    events = read_events(settings, Topic.MODELS, ModelRecord)
    records = (record for message, record in events if message.source.partition == PARTITION)
    return RegistrySnapshot.of(base or base_card(settings).version, records)


def write(settings: Settings, record: ModelRecord) -> None:
    """Put a record on the topic and wait until the brokers have it.

    Raises:
        KafkaUnavailable: the brokers did not take it.
    """
    RecordWriter(settings, Topic.MODELS).write(record.version, codec.encode(record), PARTITION)


def apply(settings: Settings, step: Callable[[RegistrySnapshot], ModelRecord]) -> ModelRecord:
    """Put the record on the topic that a step makes of the states as they are now.

    Raises:
        RolloutError: the step must not be taken.
        KafkaUnavailable: no broker answers.
    """
    record = step(read_registry(settings))
    write(settings, record)
    return record


def find_card(version: str, settings: Settings) -> Card:
    """The card of a version: from its folder if that is here, else from the topic.

    Raises:
        UnusableModel: there is no such version, or its folder has the card of another one.
        KafkaUnavailable: no broker answers.
    """
    folder = folder_of(version, settings)
    try:
        card = Card.read(folder)
    except UnusableModel as error:
        record = read_registry(settings).record(version)
        if record is None:
            raise UnusableModel(f"there is no model version {version!r}: {error}") from error
        return card_of(record)
    if card.version != version:
        raise UnusableModel(f"the card in {folder} is of {card.version!r}")
    return card


def whoami() -> str:
    """The user and host that change a state, for ``changed_by``."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
