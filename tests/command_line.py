"""The program, as tests run it: in this process, or as a process of its own that can be told to stop."""

from __future__ import annotations

import atexit
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from migrated import migrate

from dovecote.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call left: its exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@functools.cache
def migrated_file() -> Path:
    """A migrated outbox on SQLite, to be copied."""
    folder = tempfile.mkdtemp(prefix="dovecote-migrated-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(f"sqlite:///{folder}/dovecote.db")
    return Path(folder) / "dovecote.db"


class CommandLine:
    """The program in `folder`, with no DOVECOTE_* variable but those in `environment`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        for name in [name for name in os.environ if name.startswith("DOVECOTE_")]:
            monkeypatch.delenv(name)

    def __call__(self, *arguments: str, given: str = "") -> Answer:
        """Run it in this process, with `given` on standard input, and no terminal."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        self._capsys.readouterr()
        code = main(arguments)
        printed = self._capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    def ok(self, *arguments: str, given: str = "") -> Answer:
        """Run it, and see that it is done."""
        answer = self(*arguments, given=given)
        assert answer.code == 0, answer.err
        return answer

    def variable(self, name: str, value: str) -> None:
        """Set a variable of the environment, here and for `start`."""
        self._monkeypatch.setenv(name, value)

    def bot(self, name: str = "shop") -> None:
        """Make an outbox with a bot that has no limits."""
        if "DOVECOTE_DATABASE_URL" not in os.environ:
            # To migrate anew is most of what a short test would take.
            shutil.copy(migrated_file(), self.folder / "dovecote.db")
        self.ok("init")
        limits = ("--pace", "off", "--private-limit", "off", "--group-limit", "off")
        self.ok("bot", "add", name, *limits, given=TOKEN)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start it as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "dovecote", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )


def ended(process: subprocess.Popen[str]) -> Answer:
    """What the process left, once it has ended."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it did not end:\n{out}\n{err}")
    return Answer(process.returncode, out, err)


def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, for no longer than SECONDS."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def fetch(url: str, body: Mapping[str, object] | None = None) -> Any:
    """The JSON that a server of the test answers; with `body`, to a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310 (a server of the test)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 (a server of the test)
        return json.load(answer)
