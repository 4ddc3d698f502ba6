"""Which topics were created on which cluster, remembered in the home: one that is missing later was lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

FILE = "topics.json"
GALLERIES = "the galleries"
"""What the changelog of match holds."""
_CLUSTERS = 20
"""How many are remembered: those that were written about last."""
_LOCK_S = 10.0


class TopicsLost(Exception):
    """Topics that hold what cannot be made anew were there once, and are gone.

    Attributes:
        loss: which, and what they held.
        how: how to go on.
    """

    def __init__(self, loss: str, how: str) -> None:
        super().__init__(f"{loss}. {how[:1].upper()}{how[1:]}")
        self.loss = loss
        self.how = how


def refuse_loss(gone: Mapping[str, str], held: Mapping[str, str | None], where: str) -> None:
    """Say what was lost, and how to go on.

    Args:
        gone: topics, and since when each was there.
        held: what each held; None where nothing is missed.
        where: the cluster's address.

    Raises:
        TopicsLost: something is missed.
    """
    if missed := {name: what for name in gone if (what := held[name])}:
        listed = ", ".join(f"{name} ({what})" for name, what in missed.items())
        replay = "; then `facestream replay uploads --from oldest --into-gallery` enrols again whose uploads are left"
        again = replay if GALLERIES in missed.values() else ""
        raise TopicsLost(
            f"topics that were there since {min(gone[name] for name in missed)} are gone from {where}, with what they "
            f"held: {listed}",
            "bring them back from a backup of Kafka, or go on without: "
            "`facestream topics create --accept-loss` makes them anew, empty, and so does "
            f"`facestream up --accept-loss` with its own Kafka{again}",
        )


class TopicRecord:
    """A file in the home; where it cannot be written, that is logged, and a loss goes unnoticed."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    def known(self, cluster: str, *, own: bool = False) -> Mapping[str, str]:
        """The topics that were created on a cluster, each with the time at which that was noted first.

        Args:
            cluster: its id.
            own: it is the home's own, of which there is one, whatever its id: its data may have been deleted.
        """
        content = self._read()
        before = content["clusters"].get(content["own"], {}) if own else {}
        found: dict[str, str] = {**before, **content["clusters"].get(cluster, {})}
        return found

    def note(self, cluster: str, topics: Collection[str], *, gone: Collection[str] = (), own: bool = False) -> None:
        """Remember that these topics are there, and no longer those that are gone for good."""

        def noted() -> dict[str, Any]:
            return _with_topics(self._read(), cluster, topics, gone, own)

        try:
            if noted() == self._read():
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_S):
                self._write(noted())
        except (OSError, Timeout) as error:
            log.warning("it is not noted in %s which topics there are: %s", self._path, error)

    def _write(self, content: dict[str, Any]) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        partial.replace(self._path)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text("utf-8"))
            return {"own": content.get("own"), "clusters": dict(content["clusters"])}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return {"own": None, "clusters": {}}


def _with_topics(
    content: dict[str, Any], cluster: str, topics: Collection[str], gone: Collection[str], own: bool
) -> dict[str, Any]:
    """The content with these topics noted for a cluster, which is then the last that was written about."""
    clusters = dict(content["clusters"])
    before = dict(clusters.pop(content["own"], {})) if own else {}
    before |= clusters.pop(cluster, {})
    now = datetime.now(UTC).isoformat(timespec="seconds")
    noted = {name: at for name, at in before.items() if name not in gone}
    clusters[cluster] = noted | {name: before.get(name, now) for name in topics}
    return {"own": cluster if own else content["own"], "clusters": dict(list(clusters.items())[-_CLUSTERS:])}
