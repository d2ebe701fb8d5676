"""How long a broadcast takes, and what it may cost. Pure."""

from __future__ import annotations

from datetime import timedelta

from dovecote.model import Estimate


def estimated(
    *,
    recipients: int,
    suppressed: int,
    weight: int,
    pace: float | None,
    paid_pace: float | None,
    stars_per_day: int | None,
) -> Estimate:
    """How long and how dear, at the bot's pace: paid while a day's budget lasts, then free of charge until midnight."""
    slots = recipients * weight
    if pace is None:
        return Estimate(recipients=recipients, suppressed=suppressed, takes=None, stars=0.0, stars_per_day=None)
    if paid_pace is None or stars_per_day is None or slots <= pace:
        takes = timedelta(seconds=slots / pace)
        return Estimate(recipients=recipients, suppressed=suppressed, takes=takes, stars=0.0, stars_per_day=None)
    budget = stars_per_day * 10
    day = 86_400.0
    # In a whole day: as many as the budget pays for at the paid pace, and the rest of the day at the free one.
    paid = min(budget, paid_pace * day)
    a_day = paid + (day - paid / paid_pace) * pace
    days, rest = divmod(slots, a_day)
    last = min(rest, paid)
    seconds = days * day + last / paid_pace + (rest - last) / pace
    stars = (days * paid + last) / 10
    return Estimate(
        recipients=recipients,
        suppressed=suppressed,
        takes=timedelta(seconds=seconds),
        stars=round(stars, 1),
        stars_per_day=stars_per_day,
    )
