from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.services import LocalServices


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServices]:
    """Real Kafka, Redis and BigQuery servers for the whole run; see ``services.addresses``.

    Tests share them: take topics, key prefixes and datasets of your own, and leave them running.
    """
    with LocalServices(tmp_path_factory.mktemp("services"), print) as running:
        yield running
