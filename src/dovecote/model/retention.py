"""How long what is done is remembered."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Final, NamedTuple

from dovecote.model.notification import State

SHORTEST_RETENTION: Final = timedelta(hours=1)
"""What was sent in the window of a chat's limit must still stand in the history."""
LONGEST_RETENTION: Final = timedelta(days=3650)
"""What is older than the calendar has no instant, and would end the pruning of all bots."""


class Kept(NamedTuple):
    """How long the notifications of one outcome stay, and their payloads, which go at the latest with them."""

    record: timedelta
    payload: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class BotRetention:
    """What a bot has of its own of a `Retention`; None where that of the settings counts."""

    delivered: timedelta | None = None
    delivered_payload: timedelta | None = None
    dead: timedelta | None = None
    dead_payload: timedelta | None = None
    unknown: timedelta | None = None
    unknown_payload: timedelta | None = None

    def faults(self) -> list[str]:
        """What is wrong with it, a sentence for each fault."""
        found = []
        for field in fields(self):
            kept: timedelta | None = getattr(self, field.name)
            if kept is None:
                continue
            if kept > LONGEST_RETENTION:
                found.append(f"{field.name} is {kept.days} days: give {LONGEST_RETENTION.days} days at most.")
            elif field.name.endswith("_payload"):
                if kept <= timedelta(0):
                    found.append(f"{field.name} is {kept.total_seconds():g}s: give a time above zero.")
            elif kept < SHORTEST_RETENTION:
                found.append(
                    f"{field.name} is {kept.total_seconds():g}s: the limits per chat are counted in the history, so"
                    f" it must be {SHORTEST_RETENTION.total_seconds():g}s or more."
                )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long a notification stays in the history, by how it ended, counted from when it was settled.

    `..._payload` is how long its payload does: the parameters, and in a broadcast the variables of its recipient.
    `occurrences` is the same of what a schedule did, counted from when it did it.
    """

    delivered: timedelta = timedelta(days=30)
    delivered_payload: timedelta = timedelta(days=7)
    dead: timedelta = timedelta(days=90)
    dead_payload: timedelta = timedelta(days=30)
    unknown: timedelta = timedelta(days=90)
    unknown_payload: timedelta = timedelta(days=30)
    occurrences: timedelta = timedelta(days=90)

    def of(self, outcome: State) -> Kept:
        """Of one outcome: `DELIVERED`, `DEAD` or `UNKNOWN`."""
        record: timedelta = getattr(self, outcome.value)
        payload: timedelta = getattr(self, f"{outcome.value}_payload")
        return Kept(record, min(record, payload))

    def for_bot(self, own: BotRetention) -> Retention:
        """The same with what a bot has of its own."""
        given = {field.name: getattr(own, field.name) for field in fields(own)}
        return replace(self, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedOutcome:
    """How many notifications of a bot with one outcome were removed, and from how many the payload alone."""

    bot: str
    outcome: State
    notifications: int = 0
    payloads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How much was removed: of the history by bot and outcome, of occurrences, keys, and waits of chats that are over.

    `broadcasts` are those that are over, and whose recipients have lost the variables that they still had. `unfinished`
    says that there may be more although nothing was removed.
    """

    history: tuple[PrunedOutcome, ...] = ()
    broadcasts: int = 0
    occurrences: int = 0
    keys: int = 0
    chat_waits: int = 0
    unfinished: bool = False

    @property
    def delivered(self) -> int:
        """Delivered notifications."""
        return self._of(State.DELIVERED)

    @property
    def dead(self) -> int:
        """Dead letters."""
        return self._of(State.DEAD)

    @property
    def unknown(self) -> int:
        """Notifications whose outcome is unknown."""
        return self._of(State.UNKNOWN)

    @property
    def payloads(self) -> int:
        """Payloads of notifications that stay."""
        return sum(each.payloads for each in self.history)

    def _of(self, outcome: State) -> int:
        return sum(each.notifications for each in self.history if each.outcome is outcome)

    def __add__(self, other: Pruned) -> Pruned:
        history: dict[tuple[str, State], PrunedOutcome] = {}
        for each in (*self.history, *other.history):
            key = each.bot, each.outcome
            before = history.get(key, PrunedOutcome(bot=each.bot, outcome=each.outcome))
            history[key] = replace(
                before,
                notifications=before.notifications + each.notifications,
                payloads=before.payloads + each.payloads,
            )
        return Pruned(
            history=tuple(history[key] for key in sorted(history)),
            broadcasts=self.broadcasts + other.broadcasts,
            occurrences=self.occurrences + other.occurrences,
            keys=self.keys + other.keys,
            chat_waits=self.chat_waits + other.chat_waits,
            unfinished=other.unfinished,
        )

    def __bool__(self) -> bool:
        """Whether anything was removed, or there may be more."""
        counts = (self.broadcasts, self.occurrences, self.keys, self.chat_waits)
        return bool(self.history) or any(counts) or self.unfinished
