"""The pages about clouds name settings, overlays and components that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.settings import Settings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "infra" / "kubernetes"
PAGES = sorted((ROOT / "docs" / "clouds").glob("*.md"))
OVERLAYS = {"gcp": "gke", "aws": "eks", "azure": "aks"}


def test_there_is_a_page_for_each_overlay_but_the_local_one() -> None:
    assert {page.stem for page in PAGES} == OVERLAYS.keys()
    assert {folder.name for folder in (KUBERNETES / "overlays").iterdir()} == {*OVERLAYS.values(), "local"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_settings_overlay_and_components_of_a_page_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    named = set(re.findall(r"FACESTREAM_([A-Z_]+[A-Z])", text))
    assert named <= {name.upper() for name in Settings.model_fields}
    assert {"KAFKA_SECURITY_PROTOCOL", "REDIS_URL", "BIGQUERY_PROJECT", "URI_ROOTS"} <= named
    assert f"`infra/kubernetes/overlays/{OVERLAYS[page.stem]}`" in text
    for component in re.findall(r"component `([\w-]+)`", text):
        assert (KUBERNETES / "components" / component).is_dir(), component
    manifests = "".join(path.read_text("utf-8") for path in KUBERNETES.rglob("*.yaml"))
    for name in re.findall(r"class `([\w-]+)`", text):
        assert f"storageClassName, value: {name}" in manifests, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_settings_of_a_page_are_accepted(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret", "utf-8")
    blocks = re.findall(r"^```text\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 3
    for block in blocks:
        with monkeypatch.context() as environment:
            environment.chdir(tmp_path)
            for name, value in (line.split("=", 1) for line in block.splitlines()):
                environment.setenv(name, str(secret) if value.startswith("/run/secrets/") else value)
            found = Settings()
        for name in (line.split("=", 1)[0] for line in block.splitlines()):
            assert name.removeprefix("FACESTREAM_").lower() in found.model_fields_set
