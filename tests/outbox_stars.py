"""What an outbox promises of paid broadcasts, said a second time, for the judge: `outbox_model` says in which words.

Stars are counted in tenths.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from outbox_picture import Violation, ensure

from dovecote.model import Delivered, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox_model import Model
    from outbox_picture import Sender, Timeline, Waiting

    from dovecote.model import ClaimedNotification, Settlement

ROUNDING = timedelta(microseconds=2)
PAYABLE = {"sendMessage"}
UNPAYABLE = {"forwardMessage"}


def day_of(now: datetime) -> int:
    return (now.astimezone(UTC).date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days


def give_back(bot: Sender, item: Waiting, settlement: Settlement, now: datetime) -> None:
    """Take back what a grant of today has cost, where nothing can have arrived."""
    today = day_of(now)
    if settlement.claimed.paid_day == today and not isinstance(settlement.outcome, Delivered | Unknown):
        bot.spent[today] -= item.weight


def ensure_paid(model: Model, bot: Sender, claimed: Sequence[ClaimedNotification], waiting: int) -> None:
    """Judge what one claim was granted for one bot, in the order of the slots, and take it over."""
    today = day_of(model.now)
    methods = {one.id: model.outbox[one.id].method for one in claimed}
    paid = [one for one in claimed if one.paid]
    if not paid:
        for one in claimed:
            at, free_at = model.now + timedelta(seconds=one.send_in), bot.used_up_until
            ensure(
                free_at is None or at >= free_at - ROUNDING or methods[one.id] not in PAYABLE | UNPAYABLE,
                f"{one.id} goes without being paid for at {at}, and until {free_at} nothing is free of charge",
            )
        return
    if bot.paid_pace is None or bot.pace is None:
        raise Violation(f"{[one.id for one in paid]} are paid for by a bot that never pays")
    for one in claimed:
        ensure(methods[one.id] not in UNPAYABLE, f"{one.id} is sent while others are paid for, and cannot be")
        ensure(one.paid == (methods[one.id] in PAYABLE), f"{one.id} ({methods[one.id]}): paid is {one.paid}")
        ensure(not one.paid or one.paid_day == today, f"{one.id} is paid for on day {one.paid_day}, and it is {today}")
    recent = bot.pays_until is not None and model.now < bot.pays_until
    ensure(waiting > bot.pace or recent, f"{[one.id for one in paid]} are paid for, and only {waiting} wait")
    weight = sum(model.outbox[one.id].weight for one in paid)
    bot.spent[today] = bot.spent.get(today, 0) + weight
    last = claimed[-1]
    ends_at = model.now + timedelta(seconds=last.send_in + model.outbox[last.id].weight / bot.paid_pace + 0.5)
    # Of what is waiting some may be blocked, which only the claim knows; what it took was not.
    if waiting > bot.pace:
        bot.pays_until = max(ends_at, bot.pays_until or ends_at)
    if weight > bot.pace:
        bot.used_up_until = max(ends_at, bot.used_up_until or ends_at)


def ensure_budget(bot: Sender, timeline: Timeline, *, exact: bool) -> None:
    """The bot's row knows what the grants have cost, and it is no more than the budget."""
    if timeline.paid_day is None:
        ensure(not any(bot.spent.values()), f"{bot.spent} were granted, and no day is known")
        return
    granted = bot.spent.get(timeline.paid_day, 0)
    # A claim that another cycle was faster than has been granted what nobody uses.
    ensure(
        granted == timeline.spent if exact else granted <= timeline.spent,
        f"{granted} tenths of Stars were granted, and {timeline.spent} are known",
    )
    bot.spent[timeline.paid_day] = timeline.spent
    ensure(timeline.spent <= (bot.budget or 0), f"{timeline.spent} were granted of a budget of {bot.budget}")
