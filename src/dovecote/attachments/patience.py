"""How long uploads may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an upload may take, how many there are at a time, and how long one waits to be among them."""

    upload: timedelta = timedelta(minutes=5)
    uploads: int = 16
    crowded: timedelta = timedelta(seconds=1)
