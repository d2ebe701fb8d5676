"""What an examination finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something should be looked at."""
    PROBLEM = "problem"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing. All but what is in order has a remedy."""

    subject: str
    severity: Severity
    found: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bloat:
    """How much of a table, or of SQLite's file, is dead: `share` from 0 to 1 of `total` rows or pages."""

    subject: str
    total: int
    share: float
    last_cleaned: float | None = None
    """Seconds ago; None where nobody knows, or it never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSnapshot:
    """What keeps dead rows from being cleaned away: who, and for how many seconds."""

    holder: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseVitals:
    """A database's own answers. `ahead` is by how many seconds its clock is ahead of this machine's."""

    version: str
    ahead: float
    round_trip: float
    oldest_snapshot: OldSnapshot | None
    bloat: tuple[Bloat, ...]
    connections: int | None = None
    most_connections: int | None = None
