"""What the judge of an outbox looks at: what stands in the database, what was asked for, and what was answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
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
    method: str = "sendMessage"
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
    spent: int = 0
    """Tenths of Stars that were granted on `paid_day`."""
    paid_day: int | None = None


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
    paid_pace: float | None = None
    budget: int | None = None
    """Tenths of Stars a day."""
    slots_given: int = 0
    last_slot: tuple[int, datetime] | None = None
    halted_until: datetime | None = None
    stopped: bool = False
    spent: dict[int, int] = field(default_factory=dict)
    """Tenths of Stars by the day."""
    used_up_until: datetime | None = None
    """Until then the free share is used up by what was paid for."""
    pays_until: datetime | None = None
    """Until then few may be paid for as well."""
    waits: dict[str, datetime] = field(default_factory=dict)
    """Chats that were told to wait."""

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


@dataclass(slots=True)
class Course:
    """When something happened to a notification, in the order of events."""

    committed: int
    first_claimed: int | None = None
    left: int | None = None


def ensure_standing(picture: Picture) -> None:
    """Raise Violation unless what holds of any picture by itself holds of this one."""
    both = picture.outbox.keys() & picture.history.keys()
    ensure(not both, f"{both} are in the outbox and in the history")
    leased = Counter((row.bot, row.chat) for row in picture.outbox.values() if row.token is not None and row.chat)
    ensure(all(count == 1 for count in leased.values()), f"of a chat several are in flight: {leased}")
    for id_, row in picture.outbox.items():
        ensure(isinstance(row.due_at, datetime), f"{id_} has neither a due time nor a lease")
        numbers = sorted(number for one, number in picture.attempts if one == id_)
        done = row.attempts - (row.token is not None)
        ensure(numbers == list(range(1, done + 1)), f"the attempts of {id_} are {numbers}, of {row.attempts}")


def ensure_order(everything: Mapping[int, Waiting], courses: Mapping[int, Course]) -> None:
    """Raise Violation where a chat's notifications were not sent in their order, over the whole of the run.

    Whatever stands before another in a chat, and was committed before the other was claimed for the first time,
    has left the outbox by then, however often it was tried.
    """
    for earlier in everything.values():
        for later in everything.values():
            if (
                earlier.chat is not None
                and (earlier.bot, earlier.chat) == (later.bot, later.chat)
                and earlier.priority <= later.priority
                and (earlier.planned_at, earlier.id) < (later.planned_at, later.id)
            ):
                first, second = courses[earlier.id], courses[later.id]
                claimed = second.first_claimed
                ensure(
                    claimed is None or first.committed >= claimed or (first.left is not None and first.left <= claimed),
                    f"{later.id} was claimed before {earlier.id} had left the outbox",
                )
