"""Paid broadcasts on the command line: what is given, what it means, how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import typer

from dovecote.cli.limits import OFF, Limit, read_pace

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.model import Bot


class Paid(NamedTuple):
    """What is wanted: messages per second while Stars pay, and Stars a day; None for both is never."""

    pace: float | None
    stars: int | None


def read_paid(pace: str | None, stars: int | None) -> Paid | None:
    """What the options say; None where they say nothing. Raises BadParameter."""
    if pace is None:
        return None if stars is None else Paid(None, stars)
    chosen = read_pace(pace, "--paid-pace")
    if chosen is None and stars is not None:
        raise typer.BadParameter("it goes with a paid pace, and that is off.", param_hint="--stars-per-day")
    return Paid(chosen, stars)


def completed(bot: Bot, wanted: Paid, *, switched_off: bool) -> Paid:
    """What is wanted, with what the bot has for what is not named. Raises BadParameter."""
    if switched_off:
        return Paid(None, None)
    pace = bot.paid_pace if wanted.pace is None else wanted.pace
    stars = bot.stars_per_day if wanted.stars is None else wanted.stars
    if pace is None or stars is None:
        raise typer.BadParameter(
            "a paid pace needs a budget and a budget needs a pace: give both --paid-pace and --stars-per-day."
        )
    return Paid(pace, stars)


async def set_all(
    dovecote: Dovecote,
    bot: Bot,
    paid: Paid | None,
    *,
    pace: float | None,
    private_limit: Limit,
    group_limit: Limit,
) -> None:
    """Replace a bot's limits and, unless it is None, its paid pace, so that the one is above the other at each step."""

    async def set_paid() -> None:
        if paid is not None:
            await dovecote.set_paid_broadcasts(bot.name, pace=paid.pace, stars_per_day=paid.stars)

    paid_first = paid is not None and (paid.pace is None or (bot.pace is not None and paid.pace > bot.pace))
    if paid_first:
        await set_paid()
    await dovecote.set_limits(bot.name, pace=pace, private_limit=private_limit, group_limit=group_limit)
    if not paid_first:
        await set_paid()


def paid_text(bot: Bot, *, spent: bool = False) -> str:
    """Whether the bot pays, and for how much; with `spent`, what was granted today."""
    if bot.paid_pace is None:
        return OFF
    text = f"{bot.paid_pace:g}/s for at most {bot.stars_per_day:,} Stars a day"
    return f"{text}; {bot.stars_spent:,.1f} spent since midnight UTC" if spent else text
