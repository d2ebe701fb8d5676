"""`dead`: what was given up, why, and how to try it again."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import Refused, confirm, on_outbox
from dovecote.cli.lives import show_life
from dovecote.cli.output import say_json
from dovecote.cli.pages import (
    AsJson,
    BeforeId,
    ErrorCode,
    ErrorText,
    ForBot,
    Label,
    Limit,
    OfBroadcast,
    PerMinute,
    Since,
    Until,
    Yes,
    in_batches,
    none_text,
    of_which,
    paced,
    say_changed,
    say_page,
    selected,
    sendable,
    wanted_ids,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import timedelta

    from dovecote.app import Dovecote
    from dovecote.model import NotificationRecord, Selection

NO_DEAD_LETTERS = "no dead letters"

dead_app = typer.Typer(help="Dead letters: what was given up.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    dead_app.command("list", epilog="Example: dovecote dead list --bot shop --limit 20")(list_page)
    dead_app.command("show", epilog="Example: dovecote dead show 17")(show)
    dead_app.command(
        "replay", epilog="Example: dovecote dead replay 17 18\n\nExample: dovecote dead replay --all --bot shop"
    )(replay)
    dead_app.command("purge", epilog='Example: dovecote dead purge --all --error "chat not found"')(purge)
    app.add_typer(dead_app, name="dead")


def list_page(
    context: typer.Context,
    *,
    bot: ForBot = None,
    error: ErrorText = None,
    code: ErrorCode = None,
    label: Label = None,
    broadcast: OfBroadcast = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    selection = selected(bot, error, code, label, broadcast, since, until)
    # One more than asked for tells whether there is another page.
    found = on_outbox(context, lambda dovecote: dovecote.dead_letters(selection, before_id=before, limit=limit + 1))
    none = none_text("There are no dead letters.", selection, before)
    say_page(found, limit, settled="died", none=none, as_json=as_json)


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
    everything: Annotated[bool, typer.Option("--all", help="All dead letters, or those that are selected.")] = False,
    bot: ForBot = None,
    error: ErrorText = None,
    code: ErrorCode = None,
    label: Label = None,
    broadcast: OfBroadcast = None,
    since: Since = None,
    until: Until = None,
    per_minute: PerMinute = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make dead letters due again, with a fresh count of failures. It says how many and asks."""
    selection = selected(bot, error, code, label, broadcast, since, until)
    ids = wanted_ids(context, notifications, selection, _page(selection), everything=everything, what="dead letters")
    ids, empty = sendable(context, ids)
    if ids:
        confirm(_question(len(ids), of_which(selection, everything=everything)), yes=yes)
    replayed = on_outbox(context, lambda dovecote: paced(ids, per_minute, partial(_replay, dovecote))) if ids else []
    sentence = f"{len(replayed):,} dead letter{' is' if len(replayed) == 1 else 's are'} due again."
    say_changed(
        ids,
        replayed,
        sentence,
        done="replayed",
        state="dead",
        complaint=NO_DEAD_LETTERS,
        everything=everything,
        as_json=as_json,
        empty=empty,
    )


def purge(
    context: typer.Context,
    notifications: Annotated[
        list[int] | None, typer.Argument(metavar="ID", help="The dead letters' ids.", show_default=False)
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters, or those that are selected.")] = False,
    bot: ForBot = None,
    error: ErrorText = None,
    code: ErrorCode = None,
    label: Label = None,
    broadcast: OfBroadcast = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget dead letters with all their attempts, for good. It says how many and asks."""
    selection = selected(bot, error, code, label, broadcast, since, until)
    ids = wanted_ids(context, notifications, selection, _page(selection), everything=everything, what="dead letters")
    if ids:
        letters = f"{len(ids):,} dead letter{'' if len(ids) == 1 else 's'}{of_which(selection, everything=everything)}"
        confirm(f"This forgets {letters} for good. Go on?", yes=yes)
    purged = on_outbox(context, lambda dovecote: in_batches(ids, dovecote.purge)) if ids else []
    sentence = f"{len(purged):,} dead letter{' is' if len(purged) == 1 else 's are'} forgotten."
    say_changed(
        ids,
        purged,
        sentence,
        done="purged",
        state="dead",
        complaint=NO_DEAD_LETTERS,
        everything=everything,
        as_json=as_json,
    )


async def _replay(dovecote: "Dovecote", ids: "Sequence[int]", due_in: "timedelta") -> "Sequence[int]":
    return await dovecote.replay(ids, due_in=due_in)


def _page(selection: "Selection") -> "Callable[[Dovecote, int | None, int], Awaitable[Sequence[NotificationRecord]]]":
    return lambda dovecote, before, limit: dovecote.dead_letters(selection, before_id=before, limit=limit)


def _question(count: int, which: str) -> str:
    letters = f"{count:,} dead letter{'' if count == 1 else 's'}{which}"
    return f"This makes {letters} due again: workers will send {'it' if count == 1 else 'them'}. Go on?"


async def _dead(dovecote: "Dovecote", notification: int) -> "NotificationRecord":
    from dovecote.model import State

    record = await dovecote.notification(notification)
    if record.state is not State.DEAD:
        raise Refused(
            f"notification {notification} is no dead letter, it is {record.state.value}: see `dovecote notification"
            f" show {notification}`."
        )
    return record
