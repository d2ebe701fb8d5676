"""How long what is done is remembered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long a notification stays in the history, by how it ended, counted from when it was settled."""

    delivered: timedelta = timedelta(days=30)
    dead: timedelta = timedelta(days=90)
    unknown: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many were removed: of the history by outcome, and keys whose window is over."""

    delivered: int = 0
    dead: int = 0
    unknown: int = 0
    keys: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            delivered=self.delivered + other.delivered,
            dead=self.dead + other.dead,
            unknown=self.unknown + other.unknown,
            keys=self.keys + other.keys,
        )

    def __bool__(self) -> bool:
        """Whether anything was removed."""
        return bool(self.delivered or self.dead or self.unknown or self.keys)
