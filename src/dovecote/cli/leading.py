"""`leader`: who leads, and who follows."""

from typing import TYPE_CHECKING

import typer

from dovecote.cli.context import on_outbox
from dovecote.cli.output import moment, note, say, say_json, say_table
from dovecote.cli.pages import AsJson

if TYPE_CHECKING:
    from dovecote.model import Peer


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: dovecote leader --json")(leader)


def leader(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show which instance leads, since when and in which term, and every instance that follows."""
    found = on_outbox(context, lambda dovecote: dovecote.leadership())
    if as_json:
        say_json(found)
        return
    if found.leader is not None:
        say(f"{found.leader} leads in term {found.term}, since {moment(found.since)}.")
    elif found.problem is None:
        say("Nobody leads.")
    else:
        say("Nobody can tell who leads.")
        note(found.problem)
    if found.instances:
        say_table(
            ["instance", "state", "role", "host", "process", "version", "started", "last heard of"],
            [
                [
                    peer.id,
                    _state(peer),
                    peer.role,
                    peer.host,
                    str(peer.pid),
                    peer.version,
                    moment(peer.started_at),
                    moment(peer.seen_at),
                ]
                for peer in found.instances
            ],
        )


def _state(peer: "Peer") -> str:
    if peer.leads:
        return "leads, stale" if peer.stale else "leads"
    return "stale" if peer.stale else "follows"
