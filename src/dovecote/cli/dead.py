"""`dead`: what was given up, why, and how to try it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import Refused, confirm, on_outbox
from dovecote.cli.lives import error_text, show_life
from dovecote.cli.output import NONE, moment, note, say, say_json, say_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.app import Dovecote
    from dovecote.model import NotificationRecord

LONGEST_PAGE = 1000
BATCH = 500
"""Dead letters in one transaction, so that no replay holds rows for long."""

dead_app = typer.Typer(help="Dead letters: what was given up.", no_args_is_help=True)

ForBot = Annotated[str | None, typer.Option("--bot", metavar="NAME", help="This bot's alone.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=LONGEST_PAGE, help="How many at most.")] = 50,
    before: Annotated[
        int | None, typer.Option(metavar="ID", help="Only older than this one: the last id of the page before.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    # One more than asked for tells whether there is another page.
    found = on_outbox(context, lambda dovecote: dovecote.dead_letters(bot=bot, before_id=before, limit=limit + 1))
    page = found[:limit]
    if as_json:
        say_json(page)
    elif page:
        say_table(
            ["id", "bot", "chat", "method", "died", "error"],
            [
                [
                    str(letter.id),
                    letter.bot,
                    letter.chat or NONE,
                    letter.method,
                    moment(letter.settled_at),
                    error_text(letter.error_code, letter.error),
                ]
                for letter in page
            ],
        )
    else:
        say("There are no dead letters.")
    if len(found) > limit:
        note(f"There are older ones: --before {page[-1].id}")


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
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make dead letters due again, with a fresh count of failures. It says how many and asks."""
    if everything == bool(notifications):
        raise typer.BadParameter("name the ids of dead letters, or --all.")
    if bot is not None and not everything:
        raise typer.BadParameter("it goes with --all only.", param_hint="--bot")
    ids = sorted(set(notifications or [])) or on_outbox(context, lambda dovecote: _all_ids(dovecote, bot))
    if ids:
        confirm(_question(len(ids), bot, everything=everything), yes=yes)
    replayed = on_outbox(context, lambda dovecote: _replay(dovecote, ids)) if ids else []
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


async def _all_ids(dovecote: "Dovecote", bot: str | None) -> list[int]:
    """The ids of all dead letters of this moment, oldest first. One that dies again later is not among them twice."""
    ids: list[int] = []
    before: int | None = None
    while page := await dovecote.dead_letters(bot=bot, before_id=before, limit=LONGEST_PAGE):
        ids += [letter.id for letter in page]
        before = ids[-1]
    return ids[::-1]


async def _replay(dovecote: "Dovecote", ids: "Sequence[int]") -> list[int]:
    """Replay the oldest first, so that the order within a chat is kept from one transaction to the next."""
    replayed: list[int] = []
    for start in range(0, len(ids), BATCH):
        replayed += await dovecote.replay(ids[start : start + BATCH])
        if len(ids) > BATCH:
            note(f"{min(start + BATCH, len(ids)):,} of {len(ids):,}")
    return replayed
