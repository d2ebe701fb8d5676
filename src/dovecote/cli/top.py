"""`top`: the outbox at work, live in the terminal."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import Refused, on_outbox
from dovecote.cli.output import console, say_json
from dovecote.cli.pages import AsJson  # noqa: TC001 (Typer reads it)
from dovecote.cli.top_view import view
from dovecote.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dovecote.app import Dovecote
    from dovecote.model import Situation

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
    screen = console()
    with Live(view(first, height=screen.height), console=screen, screen=True, auto_refresh=False) as live:

        def show(found: Situation | None, problem: str | None) -> None:
            live.update(view(found or first, problem, height=screen.height), refresh=True)

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
