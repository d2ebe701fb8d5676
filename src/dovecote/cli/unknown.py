"""`unknown`: what may have been delivered and nobody can tell, and the decision about it."""

from typing import Annotated

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
    Since,
    Until,
    Yes,
    in_batches,
    of_which,
    say_changed,
    say_page,
    selected,
    sendable,
    wanted_ids,
)

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
    app.add_typer(unknown_app, name="unknown")


def list_page(
    context: typer.Context,
    *,
    bot: ForBot = None,
    error: ErrorText = None,
    code: ErrorCode = None,
    label: Label = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List what is unknown, the newest first."""
    selection = selected(bot, error, code, label, since, until)
    # One more than asked for tells whether there is another page.
    found = on_outbox(context, lambda dovecote: dovecote.unknowns(selection, before_id=before, limit=limit + 1))
    say_page(found, limit, settled="since", none="No outcome is unknown.", as_json=as_json)


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
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Decide what is unknown: it was delivered, or it is sent again. It says how many and asks."""
    if delivered == again:
        raise typer.BadParameter("say what is to become of them: --delivered or --again.")
    selection = selected(bot, error, code, label, since, until)
    ids = wanted_ids(
        context,
        notifications,
        selection,
        lambda dovecote, before, limit: dovecote.unknowns(selection, before_id=before, limit=limit),
        everything=everything,
        what="unknown ones",
    )
    empty = None
    if again:
        ids, empty = sendable(context, ids)
    if ids:
        confirm(_question(len(ids), of_which(selection, everything=everything), delivered=delivered), yes=yes)
    resolved = (
        on_outbox(
            context,
            lambda dovecote: in_batches(ids, lambda batch: dovecote.resolve_unknown(batch, delivered=delivered)),
        )
        if ids
        else []
    )
    verb = "is" if len(resolved) == 1 else "are"
    became = "recorded as delivered" if delivered else "due again"
    sentence = f"{len(resolved):,} notification{'' if len(resolved) == 1 else 's'} {verb} {became}."
    done = "delivered" if delivered else "again"
    say_changed(
        ids,
        resolved,
        sentence,
        done=done,
        state="unknown",
        complaint="not unknown",
        everything=everything,
        as_json=as_json,
        empty=empty,
    )


def _question(count: int, which: str, *, delivered: bool) -> str:
    them = f"{count:,} notification{'' if count == 1 else 's'}{which}"
    if delivered:
        return f"This records {them} as delivered, on your word. Go on?"
    return f"This sends {them} again: whoever got the first copy gets a second one. Go on?"
