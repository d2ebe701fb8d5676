"""Starts the measured processes and the peer, and stops every one of them.

Each process leads a session of its own, so that Ctrl-C reaches the main process alone, and that one ends the others
together with whatever they have started themselves.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 10.0
RUN_SECONDS = 1800.0


class MeasurementFailed(RuntimeError):
    """A measured process ended with an error, or said something else than was asked."""


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run `command` during the body of the `with`, and end it and all that it started afterwards."""
    process = subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **options)  # noqa: S603 (ours)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and its session: politely, then by force. Harmless when it has ended."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what the process has left behind
    process.wait()


@contextlib.contextmanager
def started(module: str, *, python: str = sys.executable, **arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m bench.MODULE` with `arguments` during the body of the `with`; `python` is whose environment."""
    command = [python, "-m", f"bench.{module}", json.dumps(arguments)]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process


def answer_of(process: subprocess.Popen[str], timeout: float = RUN_SECONDS) -> dict[str, Any]:
    """Wait for a measured process and read its result. Raises MeasurementFailed with its own words."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(f"{process.args!r} was not done after {timeout} s") from None
    if process.returncode != 0:
        raise MeasurementFailed(f"{process.args!r} ended with {process.returncode}:\n{errors[-4000:]}")
    answer = json.loads(output.splitlines()[-1])
    if not isinstance(answer, dict):
        raise MeasurementFailed(f"{process.args!r} answered {answer!r}, an object was expected")
    return answer


def measure(module: str, *, python: str = sys.executable, **arguments: Any) -> dict[str, Any]:
    """Run a measured process to its end and answer its result."""
    with started(module, python=python, **arguments) as process:
        return answer_of(process)
