"""A virtual environment for each system, made when it is first needed, from a lock file with hashes.

They stand under `.bench/`, each named for its system and for what it was made from: a changed lock, or another Python,
gets a new one. A half-made one has no stamp, and is made again. A system that needs a newer Python than the one that
runs this gets one that is installed: by its name on the PATH, or pyenv's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import ROOT, MeasurementFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCKS = ROOT / "locks" / "peers"
PLACE = ROOT / ".bench"
STAMP = "complete"
NEWEST_MINOR = 16
ASK_VERSION = "import sys; print(*sys.version_info[:3])"

Version = tuple[int, int]


def python_of(environment: str, say: Callable[[str], None], needs: Version = (3, 11)) -> str:
    """The Python of an environment, which is made if need be, with that version of Python at least.

    Raises MeasurementFailed with pip's words, or saying which Python is wanted where none is found.
    """
    lock = lock_of(environment)
    base, version = _base(environment, needs)
    folder = PLACE / f"{environment}-{_digest(lock, version)}"
    python = folder / "bin" / "python"
    if not (folder / STAMP).exists():
        say(f"{environment}: an environment from {lock.relative_to(ROOT)}")
        shutil.rmtree(folder, ignore_errors=True)
        _run([base, "-m", "venv", str(folder)])
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


def _base(environment: str, needs: Version) -> tuple[str, str]:
    """A Python to make an environment with, and its version."""
    if sys.version_info >= needs:
        return sys.executable, sys.version
    for candidate in _candidates(needs):
        version = version_of_python(candidate)
        if version is not None and tuple(int(part) for part in version.split()[:2]) >= needs:
            return candidate, version
    wanted = ".".join(str(part) for part in needs)
    raise MeasurementFailed(
        f"{environment} needs Python {wanted}, this is {sys.version.split()[0]}, and no python{wanted} or newer"
        " is on the PATH or under pyenv: install one"
    )


def _candidates(needs: Version) -> Iterator[str]:
    major, minor = needs
    for each in range(minor, NEWEST_MINOR):
        if found := shutil.which(f"python{major}.{each}"):
            yield found
        root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        yield from (str(one) for one in sorted(root.glob(f"versions/{major}.{each}.*/bin/python")))


def version_of_python(program: str) -> str | None:
    """What a Python says of its version, "3 12 1"; None from a program that says nothing, as pyenv's names may."""
    try:
        done = subprocess.run([program, "-c", ASK_VERSION], capture_output=True, text=True, check=False)  # noqa: S603 (found on this machine, to be asked)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _digest(lock: Path, version: str) -> str:
    return hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()[:12]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours)
    if done.returncode:
        raise MeasurementFailed(f"{command!r} ended with {done.returncode}:\n{done.stderr[-4000:]}")
