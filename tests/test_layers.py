"""The contracts of pyproject.toml: each breaks when a module imports what it must not, and only then."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ONE_WAY = "Imports point one way: faces, application, adapters beside engine, ports, model"
APART = "Adapters and the engine never import each other"

GOOD = {
    "__init__": "",
    "version": "",
    "model": "import dataclasses",
    "errors": "import typing",
    "ports": "from dovecote.model import dataclasses",
    "redaction": "",
    "retry": "from dovecote import model",
    "worker": "from dovecote import ports, retry",
    "stores": "import sqlalchemy\nfrom dovecote import model, errors, redaction",
    "channels": "from dovecote import ports",
    "config": "from dovecote import redaction",
    "app": "from dovecote import config, channels, stores, worker",
    "service": "from dovecote import app",
    "cli": "from dovecote import app",
}


def lint(directory: Path, changes: dict[str, str]) -> list[str]:
    """Check a package with these modules; answer the names of the contracts that are broken."""
    shutil.copy(ROOT / "pyproject.toml", directory)
    shutil.copytree(ROOT / "tools", directory / "tools")
    package = directory / "dovecote"
    package.mkdir()
    for name, source in (GOOD | changes).items():
        (package / f"{name}.py").write_text(source + "\n")
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=directory, capture_output=True, text=True, check=False)
    broken = [line.removesuffix(" BROKEN") for line in done.stdout.splitlines() if line.endswith(" BROKEN")]
    assert " KEPT" in done.stdout, done.stdout + done.stderr
    assert (done.returncode != 0) == bool(broken)
    return broken


def test_imports_that_point_one_way_pass(tmp_path: Path) -> None:
    assert lint(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("module", "source", "broken"),
    [
        (
            "model",
            "from dovecote import errors",
            [ONE_WAY, "The model and the errors import the standard library alone"],
        ),
        ("model", "import orjson", ["The model and the errors import the standard library alone"]),
        ("errors", "import pydantic", ["The model and the errors import the standard library alone"]),
        ("ports", "import sqlalchemy.ext.asyncio", ["The ports import the standard library and the model"]),
        ("worker", "from dovecote import stores", [APART]),
        ("stores", "from dovecote import worker", [APART]),
        ("stores", "from dovecote import retry", [APART]),
        ("emulator", "from dovecote import sender", [APART]),
        ("channels", "import dovecote.unit_of_work", [APART]),
        ("stores", "from dovecote import app", [ONE_WAY]),
        ("ports", "from dovecote import stores", [ONE_WAY, "The ports import the standard library and the model"]),
        ("app", "from dovecote import cli", [ONE_WAY]),
        ("without_a_layer", "", [ONE_WAY]),
    ],
)
def test_an_import_that_points_the_other_way_breaks_its_contract(
    tmp_path: Path, module: str, source: str, broken: list[str]
) -> None:
    # What the offender imports imports nothing here, so that the one import is the only fault.
    quiet = dict.fromkeys(("sender", "unit_of_work", "emulator", "app", "stores", "worker", "channels", "cli"), "")

    assert lint(tmp_path, {**quiet, module: source}) == broken


def test_adapters_never_import_each_other(tmp_path: Path) -> None:
    assert lint(tmp_path, {"channels": "from dovecote import stores"}) == [APART]
