"""The emulator in a process of its own, for measurements and demonstrations that leave it a core."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

import orjson

from dovecote.emulator.records import DEFAULT_CAPACITY

if TYPE_CHECKING:
    from types import TracebackType

    from dovecote.emulator.limits import Limits

STOP_SECONDS = 10.0


class EmulatorProcess:
    """Starts it on entering and stops it on leaving; `url` says where it is.

    `core` pins it to one CPU core (Linux), `scale` makes its clock so many times as fast; the other settings are
    Emulator's. It ends with this process, however that ends. Entering raises RuntimeError when it does not come up.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        core: int | None = None,
        capacity: int = DEFAULT_CAPACITY,
        seed: int | None = None,
        limits: Limits | None = None,
        connection_age: float | None = None,
        local: str | os.PathLike[str] | None = None,
        scale: float = 1.0,
    ) -> None:
        self._command = [sys.executable, "-m", "dovecote.emulator", "--port", str(port), "--capacity", str(capacity)]
        self._command += ["--scale", str(scale)]
        if seed is not None:
            self._command += ["--seed", str(seed)]
        if limits is not None:
            self._command += ["--limits", orjson.dumps(limits).decode()]
        if connection_age is not None:
            self._command += ["--connection-age", str(connection_age)]
        if local is not None:
            self._command += ["--local", os.fspath(local)]
        if core is not None:
            self._command += ["--core", str(core)]
        self._process: subprocess.Popen[str] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where it is, as `http://host:port`."""
        if not self._url:
            raise RuntimeError("the emulator's process is not running: enter it with `with`.")
        return self._url

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise RuntimeError("the emulator's process is not running: enter it with `with`.")
        return self._process.pid

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A terminal's Ctrl-C is for the process that started it, which then ends it.
            start_new_session=True,
        )
        try:
            line = self._process.stdout.readline() if self._process.stdout else ""
        except BaseException:
            self._stop()
            raise
        if not line.startswith("http://"):
            self._stop()
            raise RuntimeError(f"the emulator did not start: `{' '.join(self._command[1:])}` says why.")
        self._url = line.strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self._stop()

    def _stop(self) -> None:
        process, self._process, self._url = self._process, None, ""
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
