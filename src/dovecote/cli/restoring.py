"""`restored`: what a restored backup would send a second time."""

from typing import Annotated

import typer

from dovecote.cli.context import confirm, on_outbox, users_values
from dovecote.cli.output import moment, say, say_json
from dovecote.cli.pages import AsJson, Yes
from dovecote.cli.sending import given_instant


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: dovecote restored --backup 2026-01-31T03:00Z")(restored)


def restored(
    context: typer.Context,
    *,
    backup: Annotated[
        str, typer.Option("--backup", metavar="INSTANT", help="When the backup was taken.", show_default=False)
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make unknown what waits in a restored backup and may have been sent since it was taken, so that you decide."""
    taken_at = given_instant(backup, "--backup")

    confirm(
        f"Make unknown all that waits, was enqueued before {moment(taken_at)} and should have gone by now?", yes=yes
    )
    with users_values():
        changed = on_outbox(context, lambda dovecote: dovecote.doubt_restored(taken_at))
    if as_json:
        say_json({"unknown": changed})
    else:
        say(f"{changed:,} made unknown. Decide with `dovecote unknown list` and `dovecote unknown resolve`.")
