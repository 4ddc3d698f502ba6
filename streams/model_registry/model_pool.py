"""The model versions that an embed worker has loaded, as the topic ``models`` requires."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from models.analysis.face_analysis import FaceAnalyzer
from models.embedder import building
from models.embedder.assets import MissingWeights
from models.embedder.card import Card, UnusableModel
from models.embedder.model import Model
from models.embedder.registry_snapshot import ModelSelection, RegistrySnapshot
from streams.model_registry.records import card_of, folder_of
from streams.model_registry.watcher import RegistryWatcher
from streams.settings import Settings

log = logging.getLogger(__name__)

_AGAIN_S = 15.0
"""Seconds after which a version that could not be loaded is tried again, and one that is not required is unloaded: a
batch that selected it is over by then."""


def first_loaded(registry: RegistrySnapshot, settings: Settings) -> Model:
    """The version in production, or else the latest before it that is kept and can be loaded.

    Raises:
        UnusableModel: none of them can be loaded.
        MissingWeights: the weights of a reference model are not installed.
    """
    *later, last = registry.in_production
    for version in later:
        try:
            return building.load(_folder(version, registry, settings), threads=settings.cpu_threads)
        except (UnusableModel, MissingWeights, OSError) as error:
            log.error("%s is not used: %s", version, error)
    return building.load(_folder(last, registry, settings), threads=settings.cpu_threads)


def _folder(version: str, registry: RegistrySnapshot, settings: Settings) -> Path:
    """The folder of a version, with the card that is rolled out.

    Raises:
        UnusableModel: its card is another.
    """
    folder, record = folder_of(version, settings), registry.record(version)
    if record is not None and (wanted := card_of(record)) != Card.read(folder):
        raise UnusableModel(f"{folder} is not the {wanted.version} that is rolled out: its card is another")
    return folder


class ModelPool:
    """Loads and unloads versions in a thread of its own; a context manager.

    A version is used once it is loaded and warm. One that cannot be loaded is left out: the versions before it go on
    answering, the log and ``/healthz`` say why, and it is tried again.
    """

    def __init__(self, settings: Settings, watcher: RegistryWatcher, analyzer: FaceAnalyzer) -> None:
        """Load every version that is required now."""
        self._settings = settings
        self._watcher = watcher
        self._analyzer = analyzer
        self._seen = RegistrySnapshot("")
        self._registry = watcher.registry
        self._failed: dict[str, str] = {}
        self._idle_since: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model pool", daemon=True)
        self._follow()

    def __enter__(self) -> Self:
        """Begin to follow the registry."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._watcher.close()
        self._thread.join()

    def of_upload(self, user_id: str) -> ModelSelection:
        """The loaded versions that embed an upload."""
        return self._loaded(self._registry.of_upload(user_id))

    def of_frame(self, user_id: str) -> ModelSelection:
        """The loaded versions that embed a frame."""
        return self._loaded(self._registry.of_frame(user_id))

    def report(self) -> dict[str, Any]:
        """The part of ``/healthz`` about model versions."""
        return {
            "answers": self._registry.production,
            "loaded": sorted(self._analyzer.versions),
            "failed": dict(self._failed),
        }

    def _loaded(self, asked: ModelSelection) -> ModelSelection:
        # The first version is always there: the analyzer was made with it.
        return asked.among(self._analyzer.versions) or ModelSelection(self._analyzer.model_version)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._watcher.await_change(self._seen, _AGAIN_S)
            if not self._stop.is_set():
                self._follow()

    def _follow(self) -> None:
        """Load what is required, then apply the new states, then unload what is not required any more."""
        self._seen = registry = self._watcher.registry
        failed = {}
        for version in registry.active:
            if version in self._analyzer.versions:
                continue
            try:
                self._load(version, registry)
            except Exception as error:  # whatever is wrong with this version, the others go on
                failed[version] = f"{type(error).__name__}: {error}"
                log.error("%s is not used: %s", version, failed[version])
        self._failed = failed
        self._registry = registry
        now, idle = time.monotonic(), set(self._analyzer.versions) - {*registry.active, self._analyzer.model_version}
        self._idle_since = {version: self._idle_since.get(version, now) for version in idle}
        for version in [version for version, since in self._idle_since.items() if now - since >= _AGAIN_S]:
            self._analyzer.unload(version)

    def _load(self, version: str, registry: RegistrySnapshot) -> None:
        folder = _folder(version, registry, self._settings)
        began = time.monotonic()
        self._analyzer.load(folder)
        log.info("%s is loaded and warm after %.1f s", version, time.monotonic() - began)
