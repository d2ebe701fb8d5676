"""Every test has a folder of its own, and a Bot API emulator where it asks for one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from command_line import CommandLine, fetch

from dovecote.emulator import EmulatorProcess
from dovecote.observability.logs import LogHandler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def dovecote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    """The program in an empty folder."""
    root = logging.getLogger()
    level = root.level
    yield CommandLine(tmp_path, monkeypatch, capsys)
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if isinstance(handler, LogHandler)]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def emulator_process() -> Iterator[EmulatorProcess]:
    """One emulator for all tests."""
    with EmulatorProcess() as emulator:
        yield emulator


@pytest.fixture
def emulator(emulator_process: EmulatorProcess, dovecote: CommandLine) -> str:
    """The emulator's address, as good as new, and where this test's program sends to."""
    fetch(f"{emulator_process.url}/emulator/reset", {})
    dovecote.variable("DOVECOTE_TELEGRAM_BASE_URL", emulator_process.url)
    return emulator_process.url
