"""`dead`: what was given up, why, and how to try it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import Refused, confirm, on_outbox
from dovecote.cli.lives import show_life
from dovecote.cli.output import say, say_json
from dovecote.cli.pages import AsJson, BeforeId, ForBot, Limit, Yes, all_ids, chosen_ids, in_batches, say_page

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.model import NotificationRecord

dead_app = typer.Typer(help="Dead letters: what was given up.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    dead_app.command("list", epilog="Example: dovecote dead list --bot shop --limit 20")(list_page)
    dead_app.command("show", epilog="Example: dovecote dead show 17")(show)
    dead_app.command(
        "replay", epilog="Example: dovecote dead replay 17 18\n\nExample: dovecote dead replay --all --bot shop"
    )(replay)
    app.add_typer(dead_app, name="dead")


def list_page(
    context: typer.Context,
    *,
    bot: ForBot = None,
    limit: Limit = 50,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    # One more than asked for tells whether there is another page.
    found = on_outbox(context, lambda dovecote: dovecote.dead_letters(bot=bot, before_id=before, limit=limit + 1))
    say_page(found, limit, settled="died", none="There are no dead letters.", as_json=as_json)


def show(
    context: typer.Context,
    notification: Annotated[int, typer.Argument(metavar="ID", help="The dead letter's id.", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show a dead letter's life: what was asked for, every attempt, Telegram's words."""
    record = on_outbox(context, lambda dovecote: _dead(dovecote, notification))
    if as_json:
        say_json(record)
    else:
        show_life(record)


def replay(
    context: typer.Context,
    notifications: Annotated[
        list[int] | None, typer.Argument(metavar="ID", help="The dead letters' ids.", show_default=False)
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters, of all bots or of --bot.")] = False,
    bot: ForBot = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make dead letters due again, with a fresh count of failures. It says how many and asks."""
    ids = chosen_ids(notifications, bot, everything=everything, what="dead letters")
    if everything:
        ids = on_outbox(
            context,
            lambda dovecote: all_ids(
                lambda before, limit: dovecote.dead_letters(bot=bot, before_id=before, limit=limit)
            ),
        )
    if ids:
        confirm(_question(len(ids), bot, everything=everything), yes=yes)
    replayed = on_outbox(context, lambda dovecote: in_batches(ids, dovecote.replay)) if ids else []
    # With --all, one that is not dead any more was replayed by somebody else meanwhile.
    others = [] if everything else sorted(set(ids) - set(replayed))
    if as_json:
        say_json({"replayed": replayed, "not_dead": others})
    else:
        say(f"{len(replayed):,} dead letter{' is' if len(replayed) == 1 else 's are'} due again.")
    if others:
        raise Refused(f"no dead letters: {', '.join(map(str, others))}. `dovecote notification show ID` tells of each.")


def _question(count: int, bot: str | None, *, everything: bool) -> str:
    letters = f"{count:,} dead letter{'' if count == 1 else 's'}"
    which = f' of the bot "{bot}"' if bot else " of all bots" if everything else ""
    return f"This makes {letters}{which} due again: workers will send {'it' if count == 1 else 'them'}. Go on?"


async def _dead(dovecote: "Dovecote", notification: int) -> "NotificationRecord":
    from dovecote.model import State

    record = await dovecote.notification(notification)
    if record.state is not State.DEAD:
        raise Refused(
            f"notification {notification} is no dead letter, it is {record.state.value}: see `dovecote notification"
            f" show {notification}`."
        )
    return record
