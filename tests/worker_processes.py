"""Workers in processes of their own, for tests that stop, freeze and kill them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

TESTS = Path(__file__).parent
DEADLY = "this text kills whoever sends it"
KILLED = 9
"""The exit code of a worker that was killed by a notification."""
END_SECONDS = 30.0


class WorkerProcess:
    """A running worker; leaving `with` kills it if it is still there. `log` is what it wrote on standard error."""

    def __init__(self, command: Sequence[str], log: Path, **environment: str) -> None:
        self._log = log
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "PYTHONPATH": str(TESTS), **environment},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=END_SECONDS)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it by SIGKILL, and return when it is gone."""
        self.process.kill()
        self.process.wait(END_SECONDS)

    def freeze(self) -> None:
        """Stop it by SIGSTOP, and return when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            continue

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    @property
    def listens(self) -> bool:
        """Whether it catches SIGTERM by now; it is still starting before that, and a signal is its end."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (caught,) = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")]
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def tell_to_stop(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> tuple[int, str]:
        """Wait for its end; answers its exit code and what it printed."""
        output, _ = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, output


def short_leased(log: Path, url: str, base_url: str, keys: Sequence[str], **numbers: float) -> WorkerProcess:
    """`faults/short_leased_worker.py`; see there for the numbers."""
    given: dict[str, Any] = {"lease": 2.0, "timeout": 1.0, "batch_size": 50, "concurrency": 20, **numbers}
    argument = json.dumps({"url": url, "base_url": base_url, "keys": list(keys), **given})
    return WorkerProcess([str(TESTS / "faults" / "short_leased_worker.py"), argument], log)


def of_the_program(log: Path, url: str, base_url: str, keys: Sequence[str], **settings: str) -> WorkerProcess:
    """`dovecote worker`, as users start it; `settings` are `section_name`."""
    chosen = {"database_url": url, "telegram_base_url": base_url, "encryption_keys": ",".join(keys), **settings}
    environment = {f"DOVECOTE_{name.upper()}": value for name, value in chosen.items()}
    return WorkerProcess(["-m", "dovecote", "worker"], log, DOVECOTE_LOG_FORMAT="json", **environment)
