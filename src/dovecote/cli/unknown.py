"""`unknown`: what may have been delivered and nobody can tell, and the decision about it."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import confirm, on_outbox
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

NOT_UNKNOWN = {"state": "unknown", "complaint": "not unknown"}

unknown_app = typer.Typer(
    help="Unknown outcomes: it may have been delivered and nobody can tell.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    unknown_app.command("list", epilog="Example: dovecote unknown list --bot shop")(list_page)
    unknown_app.command(
        "resolve",
        epilog="Example: dovecote unknown resolve 17 18 --delivered\n\n"
        "Example: dovecote unknown resolve --all --bot shop --again",
    )(resolve)
    unknown_app.command("purge", epilog="Example: dovecote unknown purge --all --until 2026-01-31T09:00Z")(purge)
    app.add_typer(unknown_app, name="unknown")


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
    """List what is unknown, the newest first."""
    selection = selected(bot, error, code, label, broadcast, since, until)
    # One more than asked for tells whether there is another page.
    found = on_outbox(context, lambda dovecote: dovecote.unknowns(selection, before_id=before, limit=limit + 1))
    none = none_text("No outcome is unknown.", selection, before)
    say_page(found, limit, settled="since", none=none, as_json=as_json)


def resolve(
    context: typer.Context,
    notifications: Annotated[
        list[int] | None, typer.Argument(metavar="ID", help="The notifications' ids.", show_default=False)
    ] = None,
    *,
    delivered: Annotated[bool, typer.Option("--delivered", help="They have arrived: record that.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send them again, maybe as a second copy.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All that are unknown, or those that are selected.")
    ] = False,
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
    """Decide what is unknown: it was delivered, or it is sent again. It says how many and asks."""
    if delivered == again:
        raise typer.BadParameter("say what is to become of them: either --delivered or --again.")
    if delivered and per_minute is not None:
        raise typer.BadParameter("what was delivered is not sent: it goes with --again.", param_hint="--per-minute")
    selection = selected(bot, error, code, label, broadcast, since, until)
    ids = wanted_ids(context, notifications, selection, _page(selection), everything=everything, what="unknown ones")
    empty = None
    if again:
        ids, empty = sendable(context, ids)
    if ids:
        confirm(_question(len(ids), of_which(selection, everything=everything), delivered=delivered), yes=yes)

    async def act(dovecote: "Dovecote") -> list[int]:
        def decide(batch: "Sequence[int]", due_in: "timedelta") -> "Awaitable[Sequence[int]]":
            return dovecote.resolve_unknown(batch, delivered=delivered, due_in=due_in)

        return await paced(ids, per_minute, decide)

    resolved = on_outbox(context, act) if ids else []
    verb = "is" if len(resolved) == 1 else "are"
    became = "recorded as delivered" if delivered else "due again"
    sentence = f"{len(resolved):,} notification{'' if len(resolved) == 1 else 's'} {verb} {became}."
    done = "delivered" if delivered else "again"
    say_changed(ids, resolved, sentence, done=done, **NOT_UNKNOWN, everything=everything, as_json=as_json, empty=empty)


def purge(
    context: typer.Context,
    notifications: Annotated[
        list[int] | None, typer.Argument(metavar="ID", help="The notifications' ids.", show_default=False)
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="All that are unknown, or those that are selected.")
    ] = False,
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
    """Forget unknown ones with all their attempts, undecided and for good. It says how many and asks."""
    selection = selected(bot, error, code, label, broadcast, since, until)
    ids = wanted_ids(context, notifications, selection, _page(selection), everything=everything, what="unknown ones")
    if ids:
        them = f"{len(ids):,} unknown notification{'' if len(ids) == 1 else 's'}"
        which = of_which(selection, everything=everything)
        confirm(f"This forgets {them}{which} for good, undecided. Go on?", yes=yes)
    purged = on_outbox(context, lambda d: in_batches(ids, partial(d.purge, unknown=True))) if ids else []
    verb = " is" if len(purged) == 1 else "s are"
    sentence = f"{len(purged):,} unknown notification{verb} forgotten."
    say_changed(ids, purged, sentence, done="purged", **NOT_UNKNOWN, everything=everything, as_json=as_json, empty=None)


def _page(selection: "Selection") -> "Callable[[Dovecote, int | None, int], Awaitable[Sequence[NotificationRecord]]]":
    return lambda dovecote, before, limit: dovecote.unknowns(selection, before_id=before, limit=limit)


def _question(count: int, which: str, *, delivered: bool) -> str:
    them = f"{count:,} notification{'' if count == 1 else 's'}{which}"
    if delivered:
        return f"This records {them} as delivered, on your word. Go on?"
    return f"This sends {them} again: whoever got the first copy gets a second one. Go on?"
