"""What a claim on SQLite decides on paid broadcasts. Pure functions; `postgresql_paid` has the same rules as SQL.

Stars are counted in tenths, instants and durations in whole microseconds.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.stores.sqlite_judgement import GrantedBot, Met

SECOND = 1_000_000
# So long after what was paid for, enough of the free share is there again for requests that are not equally fast.
REST = SECOND // 2
# An album has at most ten items, so that the last of a budget cannot hold up an album for ever.
HEAVIEST = 10


class Tariff(Enum):
    """What the limit of a bot means for a method."""

    FREE = "free"
    """It counts, and cannot carry the flag."""
    PAID = "paid"
    """It counts, and with the flag it counts as paid."""
    NONE = "none"
    """It does not count."""


def tariff(method: str) -> Tariff:
    """Say what the limit of a bot means for a method."""
    name = method.lower()
    if name in {"forwardmessage", "forwardmessages", "copymessages"}:
        return Tariff.FREE
    if name == "copymessage" or (name.startswith("send") and name != "sendchataction"):
        return Tariff.PAID
    return Tariff.NONE


class Terms(NamedTuple):
    """How a bot's claim is served. `stars_left` is None for a claim that is free of charge.

    `uses_up` says that it leaves nothing of what is free of charge.
    """

    bot: GrantedBot
    pace: float | None
    first_slot_at: int
    slots: int
    stars_left: int | None
    uses_up: bool

    def paid_until(self, used: int) -> int | None:
        """Until when the free share may be used up after a claim of so many slots; None when it changes nothing."""
        if not self.uses_up or self.pace is None:
            return None
        return self.first_slot_at + round(used * SECOND / self.pace) + REST


def paid_pace(bot: GrantedBot) -> float | None:
    """The pace while Stars pay, lowered by a 429 as the bot's own is; None for a bot that never pays."""
    if bot.paid_pace is None or bot.pace is None or bot.whole_pace is None:
        return None
    return bot.paid_pace * bot.pace / bot.whole_pace


def pays_from(bot: GrantedBot) -> int:
    """How many have to wait so that the claim is paid: more than the free pace sends in a second."""
    return int(bot.whole_pace or 0) + 1


def looked_at(bot: GrantedBot, now: int, share: int, horizon: int) -> int:
    """How many of each priority a claim of this bot has to see."""
    free, pace = bot.slots(now, share, horizon), paid_pace(bot)
    if pace is None:
        return free
    return max(free, pays_from(bot), _reachable(pace, share, now + horizon - bot.first_slot_at(now)))


def terms(bot: GrantedBot, waiting: Sequence[Met], now: int, share: int, horizon: int) -> Terms:
    """Decide whether the claim is paid or free. `waiting` are those that nothing but the pace holds back."""
    first, slots, pace = bot.first_slot_at(now), bot.slots(now, share, horizon), paid_pace(bot)
    if pace is not None and waiting:
        tariffs = [tariff(one.method) for one in waiting]
        payable = sum(one.weight for one, its in zip(waiting, tariffs, strict=True) if its is Tariff.PAID)
        many, left = payable >= pays_from(bot), bot.paid_left or 0
        enough = left >= max(HEAVIEST, *(one.weight for one in waiting))
        if enough and payable and Tariff.FREE not in tariffs and (many or bot.paid_until > now):
            return Terms(bot, pace, first, _reachable(pace, share, now + horizon - first), left, many)
    if bot.paid_until <= now or bot.pace is None:
        return Terms(bot, bot.pace, first, slots, None, uses_up=False)
    # What was paid for has taken what is free of charge: nothing is sent without paying before it is there again.
    first = max(first, bot.paid_until)
    slots = 0 if bot.paid_until >= now + horizon else min(slots, _reachable(bot.pace, share, now + horizon - first))
    return Terms(bot, bot.pace, first, slots, None, uses_up=False)


def _reachable(pace: float, share: int, ahead: int) -> int:
    """How many slots of `pace` begin within the next `ahead` microseconds, and no more than a share; at least one."""
    return min(max(1, share), max(1, int(pace * ahead / SECOND)))
