"""How everything stands at one moment, for whoever watches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dovecote.model.broadcast import BroadcastRecord
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

    `halted_for` is the seconds that a 429 makes it wait yet, 0 without one, and `waits` how often one has made all of
    the bot wait so far; `waiting_chats` is how many chats wait for one of their own. `due` is by priority and counts up
    to `COUNTED` of each, `outcomes` is by name and a second.
    """

    name: str
    pace: float | None
    pace_now: float | None
    halted_for: float
    waits: int
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
class BroadcastProgress:
    """A broadcast that runs or is paused: how many of its recipients are settled, how fast, and for how long yet.

    `rate` is recipients a second and `ends_in` seconds, None where nobody can tell.
    """

    name: str
    bot: str
    state: str
    reason: str | None
    settled: int
    recipients: int
    rate: float | None
    ends_in: float | None

    @classmethod
    def of(cls, record: BroadcastRecord) -> BroadcastProgress:
        """That of a broadcast."""
        ends_in = record.ends_in
        return cls(
            name=record.broadcast.name,
            bot=record.broadcast.bot,
            state=record.state.value,
            reason=record.reason,
            settled=record.counts.settled,
            recipients=record.counts.recipients,
            rate=record.rate,
            ends_in=None if ends_in is None else ends_in.total_seconds(),
        )


def under_way(records: Iterable[BroadcastRecord], bot: str | None) -> tuple[BroadcastProgress, ...]:
    """The progress of `records`, of this bot alone or of all."""
    return tuple(BroadcastProgress.of(record) for record in records if bot in {None, record.broadcast.bot})


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What `dovecote top` shows: what the outbox does, broadcasts under way, and who works on it."""

    outbox: Overview
    broadcasts: tuple[BroadcastProgress, ...]
    leadership: LeadershipReport
