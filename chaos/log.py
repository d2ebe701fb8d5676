"""The record that the application's side of a campaign keeps of itself, for the judge."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Log:
    """A JSON object a line, there when `write` returns. Several processes may write into one file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        # What was cut off with the process before this one ends here.
        self._file.write(b"\n")

    def write(self, event: str, **members: Any) -> None:
        """Add a line."""
        self._file.write(json.dumps({"event": event, "at": time.time(), **members}).encode() + b"\n")
