"""How long what is done is remembered."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long a notification stays in the history, by how it ended, counted from when it was settled.

    `occurrences` is the same of what a schedule did, counted from when it did it.
    """

    delivered: timedelta = timedelta(days=30)
    dead: timedelta = timedelta(days=90)
    unknown: timedelta = timedelta(days=90)
    occurrences: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many were removed: of the history by outcome, of occurrences, keys, and waits of chats that are over."""

    delivered: int = 0
    dead: int = 0
    unknown: int = 0
    occurrences: int = 0
    keys: int = 0
    chat_waits: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        names = [field.name for field in fields(self)]
        return Pruned(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __bool__(self) -> bool:
        """Whether anything was removed."""
        return any(getattr(self, field.name) for field in fields(self))
