"""`leader`: who leads, and who follows."""

from typing import TYPE_CHECKING

import typer

from dovecote.cli.context import on_outbox
from dovecote.cli.output import moment, note, say, say_json, say_table
from dovecote.cli.pages import AsJson

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.model import LeadershipReport, Peer

# Of the intervals in which an instance is heard of: the time that a word may take is allowed for.
MISSED = 1.25


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: dovecote leader --json")(leader)


def leader(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show which instance leads, since when and in which term, and every instance that follows."""
    heard_every = 0.0

    async def act(dovecote: "Dovecote") -> "LeadershipReport":
        nonlocal heard_every
        heard_every = dovecote.settings.leadership.renew_interval.total_seconds()
        return await dovecote.leadership()

    found = on_outbox(context, act)
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
    if found.jobs is not None and found.jobs.leader is not None:
        say(f"{found.jobs.leader} runs the jobs in term {found.jobs.term}, since {moment(found.jobs.since)}.")
    elif found.jobs is not None and found.jobs.problem is None:
        say("Nobody runs the jobs.")
    runs_jobs = None if found.jobs is None else found.jobs.leader
    if found.instances:
        say_table(
            ["instance", "state", "role", "host", "process", "version", "started", "last heard of"],
            [
                [
                    peer.id,
                    _state(peer, heard_every, runs_jobs=peer.id == runs_jobs),
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


def _state(peer: "Peer", heard_every: float, *, runs_jobs: bool) -> str:
    """What is known. Who has missed a word of it may have crashed, and nobody can tell before the lease is over."""
    silent = f", silent for {peer.silent_for:.0f} s" if peer.silent_for > MISSED * heard_every else ""
    if peer.leads or runs_jobs:
        leads = "runs the jobs" if runs_jobs else "leads"
        return f"{leads}, stale" if peer.stale else f"{leads}{silent}"
    if peer.stale:
        return "stale"
    return silent.removeprefix(", ") or "follows"
