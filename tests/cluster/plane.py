"""Kubernetes' own control plane as processes of this machine: etcd, API server, controllers and scheduler."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from infra.cache import cached
from infra.ports import free_ports
from tests.cluster.api import TOKEN, Api
from tests.kubectl import kubectl
from tests.waiting import wait_until

VERSION = "1.34.1"
SOURCE = Path(__file__).parent / "control_plane"
_START_S = 180.0
_END_S = 20.0


class Cluster:
    """A control plane that runs, and ``kubectl`` for it."""

    def __init__(self, api: Api, config: Path) -> None:
        self.api = api
        self.config = config

    def kubectl(self, *arguments: str, check: bool = True, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """Run kubectl.

        Raises:
            subprocess.CalledProcessError: it failed, and ``check`` is set.
        """
        return subprocess.run(
            [str(kubectl()), *arguments],
            env={**os.environ, "KUBECONFIG": str(self.config)},
            check=check,
            timeout=timeout_s,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def program() -> Path:
    """Where the program is, if it was built from the present source."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.iterdir()):
        digest.update(path.read_bytes())
    return cached(f"control-plane-{digest.hexdigest()[:16]}") / "control-plane"


def build() -> None:
    """Build the program, which takes about ten minutes of processor time and 4 GB of Go's cache.

    Raises:
        FileNotFoundError: there is no Go.
        subprocess.CalledProcessError: the build fails.
    """
    where = program()
    if where.exists():
        return
    where.parent.mkdir(parents=True, exist_ok=True)
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION}"
    unfinished = where.with_suffix(".unfinished")
    command = ["go", "build", "-ldflags", flags, "-o", unfinished, "."]
    subprocess.run(command, cwd=SOURCE, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
    unfinished.replace(where)


@contextmanager
def control_plane(folder: Path) -> Iterator[Cluster]:
    """A control plane with its data and logs in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    client, peer, secure = free_ports(3)
    api = Api(secure)
    config = folder / "kubeconfig"
    config.write_text(json.dumps(_kubeconfig(api)), "utf-8")
    private, public = _keys(folder)
    tokens = folder / "tokens.csv"
    tokens.write_text(f"{TOKEN},admin,admin,system:masters\n", "utf-8")
    etcd = f"http://127.0.0.1:{client}"
    with ExitStack() as stack:
        _start(stack, folder, "etcd", [
            f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}", "--unsafe-no-fsync", "--log-level=error",
        ])  # fmt: skip
        _start(stack, folder, "kube-apiserver", [
            f"--etcd-servers={etcd}", f"--secure-port={secure}", "--bind-address=127.0.0.1",
            "--endpoint-reconciler-type=none", f"--token-auth-file={tokens}", f"--cert-dir={folder / 'certificates'}",
            "--authorization-mode=RBAC", f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={private}", "--service-account-issuer=https://cluster.test",
            "--service-cluster-ip-range=10.0.0.0/24",
        ])  # fmt: skip
        wait_until(api.is_healthy, _START_S, "the API server is ready")
        shared = [f"--kubeconfig={config}", "--leader-elect=false", "--authentication-skip-lookup", "--secure-port=0"]
        # A loaded machine may be late with the nodes' signs of life.
        manager = [f"--service-account-private-key-file={private}", "--node-monitor-grace-period=300s"]
        _start(stack, folder, "kube-controller-manager", [*shared, *manager])
        _start(stack, folder, "kube-scheduler", shared)
        cluster = Cluster(api, config)
        wait_until(lambda: _has_account(api), _START_S, "the controllers work")
        yield cluster


def _has_account(api: Api) -> bool:
    try:
        return bool(api.get("/api/v1/namespaces/default/serviceaccounts/default"))
    except requests.RequestException:
        return False


def _start(stack: ExitStack, folder: Path, part: str, arguments: Sequence[str]) -> None:
    log = stack.enter_context((folder / f"{part}.log").open("wb"))
    process = subprocess.Popen(
        [program(), part, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
    )
    stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    process.kill()
    process.wait()


def _keys(folder: Path) -> tuple[Path, Path]:
    """A key with which the API server signs the tokens of accounts, and its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private, public = folder / "accounts.key", folder / "accounts.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def _kubeconfig(api: Api) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": api.address, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }


def is_there() -> bool:
    """Whether the program was built, and processes may have a file system of their own here."""
    if not program().exists() or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--map-root-user", "--mount", "true"], check=False).returncode == 0


if __name__ == "__main__":
    build()
