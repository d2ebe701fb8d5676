"""When a campaign begins and ends: written into a file when every process is there; who needs it waits for it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LOOK_SECONDS = 0.05


def give(path: Path, times: dict[str, Any]) -> None:
    """Let it begin."""
    half = path.with_suffix(".half")
    half.write_text(json.dumps(times))
    half.rename(path)


async def given(path: Path, stopped: asyncio.Event) -> dict[str, Any] | None:
    """Wait until it begins; answers what was given, or None when `stopped` was set first."""
    while not stopped.is_set():
        times = _read(path)
        if times is not None:
            return times
        try:
            await asyncio.wait_for(stopped.wait(), LOOK_SECONDS)
        except TimeoutError:
            continue
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """What was given, if it was."""
    try:
        times: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return times
