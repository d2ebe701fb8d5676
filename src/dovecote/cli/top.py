"""`top`: the outbox at work, live in the terminal."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import Refused, on_outbox
from dovecote.cli.output import clean, console, moment, number, say_json
from dovecote.cli.pages import AsJson  # noqa: TC001 (Typer reads it)
from dovecote.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from rich.console import Group
    from rich.table import Table

    from dovecote.app import Dovecote
    from dovecote.model import BotActivity, BroadcastProgress, LeadershipReport, Situation

EVERY_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: dovecote top --once")(top)


def top(
    context: typer.Context,
    *,
    bot: Annotated[str | None, typer.Option(metavar="NAME", help="Show this bot alone.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch the outbox at work: bots, what is due, outcomes a second, instances. Ctrl-C ends it."""
    if as_json:
        say_json(on_outbox(context, lambda dovecote: dovecote.situation(bot=bot)))
    elif once:
        console().print(view(on_outbox(context, lambda dovecote: dovecote.situation(bot=bot))))
    elif not sys.stdout.isatty():
        raise Refused("top needs a terminal to draw on: add --once, or --json for programs.")
    else:
        try:
            on_outbox(context, lambda dovecote: _watch(dovecote, bot))
        except KeyboardInterrupt:
            return  # that is how one ends it


async def _watch(dovecote: Dovecote, bot: str | None) -> None:
    from rich.live import Live

    first = await dovecote.situation(bot=bot)
    with Live(view(first), console=console(), screen=True, auto_refresh=False) as live:

        def show(found: Situation | None, problem: str | None) -> None:
            live.update(view(found or first, problem), refresh=True)

        await follow(lambda: dovecote.situation(bot=bot), show)


async def follow(
    read: Callable[[], Awaitable[Situation]],
    show: Callable[[Situation | None, str | None], None],
    *,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Read and show it every second, until cancelled. While the database is away the last one stands, and says so."""
    last: Situation | None = None
    while True:
        await pause(EVERY_SECONDS)
        try:
            last = await read()
        except StoreUnavailable as error:
            show(last, str(error))
        else:
            show(last, None)


def view(found: Situation, problem: str | None = None) -> Group:
    """Everything, for a terminal."""
    from rich.console import Group
    from rich.text import Text

    overview = found.outbox
    snapshot = overview.oldest_snapshot
    held = "none" if snapshot is None else f"{snapshot.seconds:,.0f} s, {snapshot.holder}"
    lines = [f"{moment(overview.at)}   oldest snapshot: {held}", _outcomes(overview.outcomes)]
    if problem is not None:
        lines.insert(0, f"The database does not answer, and this is how it was: {problem}")
    return Group(
        *(Text(clean(line)) for line in lines),
        _table(
            ["priority", "due", "oldest"],
            ([name, f"{depth.due:,}", _age(depth.oldest)] for name, depth in overview.due.items()),
        ),
        _table(
            ["bot", "pace", "429", "chats that wait", "due", "oldest", "delivered/s", "dead/s", "unknown/s", "state"],
            map(_bot, overview.bots),
        ),
        _table(["broadcast", "bot", "settled", "of", "rate", "ends in", "state"], map(_broadcast, found.broadcasts)),
        Text(clean(_leader(found.leadership))),
        _table(
            ["instance", "role", "host", "process", "state"],
            (
                [
                    peer.id,
                    peer.role,
                    peer.host,
                    str(peer.pid),
                    "stale" if peer.stale else "leads" if peer.leads else "follows",
                ]
                for peer in found.leadership.instances
            ),
        ),
    )


def _table(columns: list[str], rows: Iterable[list[str]]) -> Table:
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(clean, row))
    return table


def _bot(bot: BotActivity) -> list[str]:
    if bot.pace is None or bot.pace_now is None:
        pace = "no limit"
    else:
        pace = f"{number(bot.pace)}/s" if bot.pace == bot.pace_now else f"{bot.pace_now:.3g} of {number(bot.pace)}/s"
    ages = [depth.oldest for depth in bot.due.values() if depth.oldest is not None]
    return [
        bot.name,
        pace,
        f"waits {bot.halted_for:,.1f} s" if bot.halted_for else "",
        f"{bot.waiting_chats:,}",
        f"{sum(depth.due for depth in bot.due.values()):,}",
        _age(max(ages, default=None)),
        *(f"{rate:,.1f}" for rate in bot.outcomes.values()),
        "works" if bot.stopped_reason is None else f"stopped: {bot.stopped_reason}",
    ]


def _broadcast(broadcast: BroadcastProgress) -> list[str]:
    return [
        broadcast.name,
        broadcast.bot,
        f"{broadcast.settled:,}",
        f"{broadcast.recipients:,}",
        "" if broadcast.rate is None else f"{broadcast.rate:,.1f}",
        "" if broadcast.ends_in is None else str(timedelta(seconds=round(broadcast.ends_in))),
        broadcast.state if broadcast.reason is None else f"{broadcast.state}: {broadcast.reason}",
    ]


def _outcomes(rates: Mapping[str, float]) -> str:
    return "a second: " + ", ".join(f"{rate:,.1f} {name}" for name, rate in rates.items())


def _age(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.1f} s"


def _leader(report: LeadershipReport) -> str:
    if report.leader is not None:
        return f"{report.leader} leads in term {report.term}, since {moment(report.since)}."
    return "Nobody leads." if report.problem is None else f"Nobody can tell who leads: {report.problem}"
