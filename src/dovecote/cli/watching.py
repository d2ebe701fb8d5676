"""`stats`, `notification show`: what is where, and what has happened to it."""

from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import on_outbox
from dovecote.cli.lives import show_life
from dovecote.cli.output import plain, say_facts, say_json

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.model import Situation, Stats

notification_app = typer.Typer(help="Single notifications.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command(epilog="Example: dovecote stats --bot shop")(stats)
    notification_app.command("show", epilog="Example: dovecote notification show 17")(show)
    app.add_typer(notification_app, name="notification")


def stats(
    context: typer.Context,
    *,
    bot: Annotated[str | None, typer.Option(metavar="NAME", help="Count this bot's alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count what waits in the outbox and what has become of the rest."""
    if not as_json:
        say_facts(_facts(on_outbox(context, lambda dovecote: dovecote.stats(bot=bot))))
        return

    async def both(dovecote: "Dovecote") -> "tuple[Stats, Situation]":
        return await dovecote.stats(bot=bot), await dovecote.situation(bot=bot)

    numbers, now = on_outbox(context, both)
    say_json({"bot": bot, **plain(numbers), "now": plain(now)})


def show(
    context: typer.Context,
    notification: Annotated[int, typer.Argument(metavar="ID", help="The notification's id.", show_default=False)],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a notification's life so far: what was asked for, where it is, every attempt."""
    record = on_outbox(context, lambda dovecote: dovecote.notification(notification))
    if as_json:
        say_json(record)
    else:
        show_life(record)


def _facts(numbers: "Stats") -> dict[str, str]:
    oldest = "" if numbers.oldest_due is None else f" (the oldest for {numbers.oldest_due:,.1f} s)"
    return {
        "due": f"{numbers.due:,}{oldest}",
        "scheduled": f"{numbers.scheduled:,}",
        "leased": f"{numbers.leased:,}",
        "delivered": f"{numbers.delivered:,}",
        "dead": f"{numbers.dead:,}",
        "unknown": f"{numbers.unknown:,}",
        "Stars spent": f"{numbers.stars_spent:,.1f} since midnight UTC",
    }
