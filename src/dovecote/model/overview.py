"""How everything stands at one moment, for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dovecote.model.health import OldSnapshot
from dovecote.model.leadership import LeadershipReport


@dataclass(frozen=True, slots=True)
class Depth:
    """How many notifications are due, and for how many seconds the oldest has been, None without one."""

    due: int
    oldest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BotActivity:
    """One bot: its pace as it was set and as answers 429 have left it, both a second, None for no limit.

    `halted_for` is the seconds that a 429 makes it wait yet, 0 without one; `waiting_chats` is how many chats wait for
    one of their own. `due` is by priority, `outcomes` by name and a second. `due` counts up to `COUNTED` of each.
    """

    name: str
    pace: float | None
    pace_now: float | None
    halted_for: float
    waiting_chats: int
    stopped_reason: str | None
    due: Mapping[str, Depth]
    outcomes: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The bots by name, with the sums over them; `at` is the database's time, `window` the seconds of the rates."""

    at: datetime
    window: float
    due: Mapping[str, Depth]
    outcomes: Mapping[str, float]
    bots: tuple[BotActivity, ...]
    oldest_snapshot: OldSnapshot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What `dovecote top` shows: what the outbox does, and who works on it."""

    outbox: Overview
    leadership: LeadershipReport
