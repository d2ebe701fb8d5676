"""The processes of a campaign: started, killed, frozen, replaced, and started again when they end by themselves.

Each writes into a log file of its own. They end with the campaign, even when that one is killed: a guardian, a shell
that waits for the end of a pipe, kills whatever process id it finds in a folder.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import psutil

from chaos import ROOT, TESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

GUARDIAN = """
cat > /dev/null
for pid in "$1"/*; do if [ -f "$pid" ]; then kill -KILL "$(basename "$pid")" 2> /dev/null; fi; done
"""
END_SECONDS = 40.0
AGAIN_SECONDS = 0.5
WORKING_SECONDS = 20.0


@dataclass(eq=False)
class Program:
    """One process and those that came before it. `down` while the campaign itself keeps it from running."""

    name: str
    role: str
    command: Callable[[int], Sequence[str]]
    """The arguments of Python, given how often it was started before."""
    log: Path
    marker: str
    """What stands in its log once it works."""
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    runs: int = 0
    down: bool = True
    log_begins_at: int = 0
    extra: Sequence[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError when it was never started."""
        if self.process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether it is there, frozen or not."""
        return self.process is not None and self.process.poll() is None

    def has_begun_working(self) -> bool:
        """Whether its last run got as far as working."""
        with self.log.open("rb") as log:
            log.seek(self.log_begins_at)
            return self.marker.encode() in log.read()


class Programs:
    """All of them; `with` they are there, and `tell` hears of every end."""

    def __init__(self, folder: Path, environment: Mapping[str, str], tell: Callable[..., None]) -> None:
        self._folder = folder
        self._pids = folder / "pids"
        self._pids.mkdir()
        self._environment = environment
        self._tell = tell
        self._guardian: subprocess.Popen[bytes] | None = None
        self.all: list[Program] = []

    def __enter__(self) -> Self:
        self._guardian = subprocess.Popen(  # noqa: S603 (ours)
            ["/bin/sh", "-c", GUARDIAN, "guardian", str(self._pids)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # an interrupt from the keyboard is not for it
        )
        return self

    def __exit__(self, *exception: object) -> None:
        for program in self.all:
            program.down = True
            if program.is_running and program.process is not None:
                program.process.kill()
                program.process.wait(END_SECONDS)
            self._forget(program)
        if self._guardian is not None:
            self._guardian.communicate(timeout=END_SECONDS)

    def add(self, name: str, role: str, command: Callable[[int], Sequence[str]], marker: str) -> Program:
        """One more, which is not started yet."""
        program = Program(name, role, command, self._folder / f"{name}.log", marker, self._environment)
        self.all.append(program)
        return program

    def of(self, role: str) -> list[Program]:
        """Those of a role, in the order in which they were added."""
        return [program for program in self.all if program.role == role]

    def start(self, program: Program) -> None:
        """Start it."""
        program.log_begins_at = program.log.stat().st_size if program.log.exists() else 0
        with program.log.open("ab") as log:
            program.process = subprocess.Popen(  # noqa: S603 (this interpreter, this project)
                [sys.executable, *program.command(program.runs), *program.extra],
                cwd=ROOT,
                env={**os.environ, **program.environment, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self._pids / str(program.pid)).touch()
        program.runs += 1
        program.down = False

    async def kill(self, program: Program) -> None:
        """End it by SIGKILL; it stays down until it is started."""
        program.down = True
        if program.process is not None and program.is_running:
            program.process.kill()
            await asyncio.to_thread(program.process.wait, END_SECONDS)
            self._ended(program, "kill")

    async def stop(self, program: Program) -> None:
        """Tell it to end, and wait; one that does not end in time is killed, which the judge finds."""
        program.down = True
        if program.process is None or not program.is_running:
            return
        program.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(program.process.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            program.process.kill()
            await asyncio.to_thread(program.process.wait, END_SECONDS)
        self._ended(program, "order")

    async def until_working(self, programs: Sequence[Program], *, bound: float = WORKING_SECONDS) -> bool:
        """Wait until each works, so many seconds at most; answers whether all do."""
        ends_at = time.monotonic() + bound
        while not all(program.is_running and program.has_begun_working() for program in programs):
            if time.monotonic() > ends_at:
                return False
            await asyncio.sleep(0.1)
        return True

    def freeze(self, program: Program) -> None:
        """Stop it by SIGSTOP."""
        if program.process is not None and program.is_running:
            program.process.send_signal(signal.SIGSTOP)

    def thaw(self, program: Program) -> None:
        """Let it go on; harmless for one that is not frozen."""
        if program.process is not None and program.is_running:
            program.process.send_signal(signal.SIGCONT)

    def with_pid(self, pid: int) -> Program | None:
        """The running one with that process id."""
        return next((one for one in self.all if one.process is not None and one.is_running and one.pid == pid), None)

    async def watch(self) -> None:
        """Start again whatever has ended by itself, as a service manager does; until it is cancelled."""
        while True:
            for program in self.all:
                if not program.down and not program.is_running:
                    self._ended(program, "itself")
                    program.down = True
                    await asyncio.sleep(AGAIN_SECONDS)
                    self.start(program)
            await asyncio.sleep(0.1)

    def cpu_seconds(self) -> float:
        """What those that run have used of the processor."""
        used = 0.0
        for program in self.all:
            if program.is_running:
                times = psutil.Process(program.pid).cpu_times()
                used += times.user + times.system
        return used

    def _ended(self, program: Program, why: str) -> None:
        if program.process is None:
            return
        told: dict[str, Any] = {
            "name": program.name,
            "why": why,
            "code": program.process.returncode,
            "begun_working": program.has_begun_working(),
            "log": str(program.log),
        }
        self._tell("ended", at=time.time(), **told)
        self._forget(program)

    def _forget(self, program: Program) -> None:
        if program.process is not None:
            (self._pids / str(program.pid)).unlink(missing_ok=True)
