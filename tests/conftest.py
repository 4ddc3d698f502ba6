from __future__ import annotations

import signal
from collections.abc import Iterator

import hypothesis
import pytest

from infra.services import LocalServices

# A shell that runs the tests in the background has them, and all that they start, ignore Ctrl-C, and nohup a closed
# terminal; some tests send both.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A busy machine is no failure.
hypothesis.settings.register_profile("facestream", deadline=None)
hypothesis.settings.load_profile("facestream")


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServices]:
    """Real Kafka, Redis and BigQuery servers for the whole run; see ``services.addresses``.

    Tests share them: take topics, key prefixes and datasets of your own, and leave them running.
    """
    with LocalServices(tmp_path_factory.mktemp("services"), print) as running:
        yield running
