"""What the judge of an outbox looks at: what stands in the database, what was asked for, and what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dovecote.model import ClaimedNotification, Cycle, Settlement


class Violation(AssertionError):
    """A promise was broken."""


def ensure(condition: object, promise: str) -> None:
    """Raise Violation with the promise's words unless it is kept."""
    if not condition:
        raise Violation(promise)


def ensure_same(place: str, should: Mapping[Any, object], found: Mapping[Any, object]) -> None:
    """Raise Violation with the first difference."""
    for key in sorted(should.keys() | found.keys()):
        wanted, there = should.get(key, "nothing"), found.get(key, "nothing")
        ensure(wanted == there, f"{place} {key} is {there}, and should be {wanted}")


@dataclass(slots=True)
class Waiting:
    """A notification in the outbox, as it should be. `token` is its latest lease, also one that has run out."""

    id: int
    bot: int
    chat: str | None
    priority: int
    at_most_once: bool
    planned_at: datetime
    expires_at: datetime | None
    weight: int
    due_at: datetime
    token: int | None = None
    attempts: int = 0
    failures: int = 0
    lost: int = 0

    def workers_lost(self) -> int:
        """With the one whose lease it is found under."""
        return self.lost + (self.token is not None)


class Settled(NamedTuple):
    """A notification in the history. `asked` says that a settlement put it there, not a claim."""

    outcome: str
    settled_at: datetime
    attempts: int
    lost: int
    message_ids: tuple[int, ...] | None
    asked: bool


class Tried(NamedTuple):
    """A row of the attempts."""

    outcome: str
    message_ids: tuple[int, ...] | None


class Timeline(NamedTuple):
    """What stands in a bot's row."""

    slots_given: int
    halted_until: datetime | None
    stopped: bool


class Picture(NamedTuple):
    """What stands in the database: notifications by id, attempts by (id, number), timelines by bot."""

    outbox: dict[int, Waiting]
    history: dict[int, Settled]
    attempts: dict[tuple[int, int], Tried]
    timelines: dict[int, Timeline]


@dataclass(slots=True)
class Sender:
    """A bot. A limit is (messages, seconds) for each chat."""

    pace: float | None = None
    private_limit: tuple[int, float] | None = None
    group_limit: tuple[int, float] | None = None
    slots_given: int = 0
    last_slot: tuple[int, datetime] | None = None
    halted_until: datetime | None = None
    stopped: bool = False

    def limit(self, chat: str) -> tuple[int, float] | None:
        """The limit of that chat."""
        return self.group_limit if chat[0] in "-@" else self.private_limit


@dataclass(frozen=True, slots=True)
class Committed:
    """An application committed these."""

    rows: Sequence[Waiting]


@dataclass(frozen=True, slots=True)
class Cycled:
    """A worker asked for this, and was answered."""

    answer: Cycle
    settlements: Sequence[Settlement] = ()
    renew: Sequence[ClaimedNotification] = ()
    claim: int = 0
    lease: timedelta = timedelta(seconds=60)
    alone: bool = False


Event = Committed | Cycled
