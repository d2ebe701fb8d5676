"""`prune`: remove now what is past its time, or say what would be."""

from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import on_outbox
from dovecote.cli.output import note, say, say_json, say_table
from dovecote.cli.pages import AsJson

if TYPE_CHECKING:
    from dovecote.model import Pruned


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command(epilog="Example: dovecote prune\n\nExample: dovecote prune --dry-run")(prune)


def prune(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is past its time by the settings of retention. Running workers do it by themselves, every hour."""
    from dovecote.retention import in_words

    def told(so_far: "Pruned") -> None:
        if not as_json:
            notifications = so_far.delivered + so_far.dead + so_far.unknown
            note(f"{notifications:,} of the history, {so_far.payloads:,} payloads, {so_far.keys:,} keys so far")

    found = on_outbox(context, lambda dovecote: dovecote.prunable() if dry_run else dovecote.prune(told=told))
    if as_json:
        say_json(_as_json(found))
        return
    if found.history:
        say_table(
            ["bot", "outcome", "notifications", "payloads"],
            [[each.bot, each.outcome.value, f"{each.notifications:,}", f"{each.payloads:,}"] for each in found.history],
        )
    say(f"{'Would be pruned' if dry_run else 'Pruned'}: {in_words(found)}.")


def _as_json(found: "Pruned") -> dict[str, object]:
    return {
        "delivered": found.delivered,
        "dead": found.dead,
        "unknown": found.unknown,
        "payloads": found.payloads,
        "broadcasts": found.broadcasts,
        "occurrences": found.occurrences,
        "keys": found.keys,
        "chat_waits": found.chat_waits,
        "history": found.history,
    }
