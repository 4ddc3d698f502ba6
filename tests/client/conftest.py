from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.environment import build, install


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel."""
    return install(wheel, tmp_path_factory.mktemp("application") / "venv")
