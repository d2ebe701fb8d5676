"""A virtual environment for each system, made when it is first needed, from a lock file with hashes.

They stand under `.bench/`, each named for its system and for what it was made from: a changed lock, or another Python,
gets a new one. A half-made one has no stamp, and is made again.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.processes import ROOT, MeasurementFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOCKS = ROOT / "locks" / "peers"
PLACE = ROOT / ".bench"
STAMP = "complete"


def python_of(environment: str, say: Callable[[str], None]) -> str:
    """The Python of an environment, which is made if need be. Raises MeasurementFailed with pip's words."""
    lock = lock_of(environment)
    folder = PLACE / f"{environment}-{_digest(lock)}"
    python = folder / "bin" / "python"
    if not (folder / STAMP).exists():
        say(f"{environment}: an environment from {lock.relative_to(ROOT)}")
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes"]
        _run([*pip, "-r", str(lock)])
        (folder / STAMP).touch()
    return str(python)


def lock_of(environment: str) -> Path:
    """The lock file of an environment."""
    return LOCKS / f"{environment}.txt"


def version_of(package: str, environment: str) -> str:
    """Which version of `package` the environment's lock holds. Raises LookupError when it holds none."""
    for line in lock_of(environment).read_text(encoding="utf-8").splitlines():
        name, pinned, rest = line.partition("==")
        if pinned and name == package:
            return rest.split()[0]
    raise LookupError(f"{lock_of(environment)} pins no {package}: `make lock` writes it from {environment}.in")


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours)
    if done.returncode:
        raise MeasurementFailed(f"{command!r} ended with {done.returncode}:\n{done.stderr[-4000:]}")
