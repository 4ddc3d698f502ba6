"""The client's distribution as an application has it: built, and installed into an environment with nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = ROOT / ".cache" / "tools" / "bin" / "uv"


def build(folder: Path) -> Path:
    """Build the wheel into a folder, as ``make client`` does; nothing is downloaded."""
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, ROOT / "client")
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment with the wheel and what it depends on, in the pinned versions; return its Python."""
    pins = re.findall(r"^[A-Za-z0-9_.-]+==[^ \\;]+", (ROOT / "requirements" / "runtime.txt").read_text("utf-8"), re.M)
    constraints = folder.with_suffix(".txt")
    constraints.write_text("\n".join(pins), "utf-8")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", constraints, wheel)
    return python


def run(*command: object) -> str:
    """Run a program that must succeed; return what it prints."""
    ended = subprocess.run([str(one) for one in command], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
