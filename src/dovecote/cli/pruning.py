"""`prune`: remove now what is past its time."""

from typing import TYPE_CHECKING

import typer

from dovecote.cli.context import on_outbox
from dovecote.cli.output import note, say, say_json
from dovecote.cli.pages import AsJson

if TYPE_CHECKING:
    from dovecote.model import Pruned


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command(epilog="Example: dovecote prune")(prune)


def prune(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Remove what is past its time by the settings of retention. Running workers do it by themselves, every hour."""

    def told(so_far: "Pruned") -> None:
        if not as_json:
            note(f"{so_far.delivered + so_far.dead + so_far.unknown:,} of the history, {so_far.keys:,} keys so far")

    pruned = on_outbox(context, lambda dovecote: dovecote.prune(told=told))
    if as_json:
        say_json(pruned)
    else:
        say(
            f"Pruned: {pruned.delivered:,} delivered, {pruned.dead:,} dead letters, {pruned.unknown:,} unknown, "
            f"{pruned.occurrences:,} occurrences, {pruned.keys:,} keys, {pruned.chat_waits:,} waits of chats."
        )
