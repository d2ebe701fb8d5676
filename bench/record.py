"""`bench.json`: what was measured so far on this machine. A part that is measured again replaces what stood there.

Every part is written as soon as it is there, so that a run that is stopped, or that fails later, was not for nothing.
Figures of another machine, or of other versions, do not stand beside those of this one: such a file is put aside.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ASIDE = ".before"


class Record:
    """The figures in a file. `document` is all of it: `machine`, `measured` (when, and how), and the parts by name."""

    def __init__(self, path: Path, machine: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Read what is there. Raises ValueError when the file is not one that this has written."""
        self._path = path
        self.document: dict[str, Any] = {"machine": dict(machine), "measured": {}}
        if not path.exists():
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            there = before["machine"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is no record of a benchmark; move it away, or name another --output") from None
        if there != machine:
            aside = path.with_name(f"{path.stem}{ASIDE}{path.suffix}")
            path.rename(aside)
            say(f"{path} has figures of another machine or other versions; it is {aside} now, and a new one begins")
            return
        self.document = {"measured": {}, **before}

    def keep(self, part: str, figures: Mapping[str, Any], *, began: float, load: float, repeat: int) -> None:
        """Write a part. `began` is of the monotonic clock; `load` is how busy the machine was before."""
        self.document[part] = figures
        self.document["measured"][part] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - began, 1),
            "load_before": load,
            "repeat": repeat,
        }
        half = self._path.with_name(f"{self._path.name}.half")
        half.write_text(json.dumps(self.document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        half.replace(self._path)


def load() -> float:
    """How many processes have wanted to run in the last minute: other people's, before a part begins."""
    return round(os.getloadavg()[0], 2)
