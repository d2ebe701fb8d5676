"""The wheel as a user gets it: built without a network, installed alone, imported from where it was installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_SOURCE = shutil.ignore_patterns("__pycache__", "*.egg-info")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the repository stays as it is."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=NOT_SOURCE)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=copy)
    (wheel,) = (copy / "dist").iterdir()
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that has the wheel, and sees this one's packages as its dependencies."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory)
    python = directory / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python))
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=directory)
    # A path in a .pth file is appended, and .pth files found there are not read: the repository's own link is not seen.
    site_packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=directory).strip()
    Path(site_packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    package = ROOT / "src" / "dovecote"
    source = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert {name for name in names if ".dist-info/" not in name} == source
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_the_installed_package_is_the_wheels_and_is_typed(python: Path) -> None:
    script = "import dovecote, pathlib; print(pathlib.Path(dovecote.__file__).parent)"

    package = Path(run(python, "-I", "-c", script, cwd=python.parent).strip())

    assert package.is_relative_to(python.parent.parent)
    assert (package / "py.typed").is_file()


def test_the_version_is_the_sources(wheel: Path, python: Path) -> None:
    script = "import importlib.metadata, dovecote.version; print(importlib.metadata.version('dovecote'))"
    script += "; print(dovecote.version.__version__)"

    installed, source = run(python, "-I", "-c", script, cwd=python.parent).split()

    assert installed == source
    assert f"dovecote-{source}-" in wheel.name


def test_every_module_can_be_imported_from_the_wheel(python: Path) -> None:
    script = """
import django, importlib, pkgutil, dovecote
from django.conf import settings
# A model can be imported in a project only.
settings.configure(INSTALLED_APPS=[
    "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin", "dovecote.integrations.django"
])
django.setup()
for module in pkgutil.walk_packages(dovecote.__path__, "dovecote."):
    if ".stores.migrations." not in module.name:  # Alembic runs those, in a context of its own
        importlib.import_module(module.name)
        print(module.name)
"""
    assert "dovecote.ports" in run(python, "-I", "-c", script, cwd=python.parent).split()


def test_the_command_is_installed_and_says_what_it_does(wheel: Path, python: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        entry_points = ConfigParser()
        entry_points.read_string(archive.read(name).decode())
    assert entry_points["console_scripts"]["dovecote"] == "dovecote.__main__:run"
    assert entry_points["pytest11"]["dovecote"] == "dovecote.testing.plugin"

    assert "Usage: dovecote" in run(python.with_name("dovecote"), "--help", cwd=python.parent)


def test_as_pipx_installs_it_the_program_makes_a_project_that_runs_by_its_own_environment(
    python: Path, tmp_path: Path
) -> None:
    # As pipx does: an environment that is on nobody's path, and a link to the program in a folder that is.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dovecote").symlink_to(python.with_name("dovecote"))
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)}

    done = subprocess.run(
        ["dovecote", "init", "--yes", "--directory", "shop"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (started,) = re.findall(
        r'^ExecStart="(.*)" -m dovecote run$', (tmp_path / "shop" / "dovecote.service").read_text(), re.MULTILINE
    )
    assert Path(started).parent == python.parent
    shown = run(started, "-I", "-m", "dovecote", "config", "check", cwd=tmp_path / "shop")
    assert shown == "OK: the settings have no faults.\n"
