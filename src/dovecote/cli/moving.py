"""`adopt`, `compare`, `switch`: moving to Dovecote step by step, and back."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import Refused, on_outbox
from dovecote.cli.output import note, say, say_json, say_table
from dovecote.cli.pages import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.app import Dovecote
    from dovecote.moving import Adopted, Delivery

SHOWN = 20
"""How many rows or messages an answer for people lists."""

Described = Annotated[
    Path, typer.Argument(metavar="FILE", help="What describes the old table, as docs/moving.md says.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command(epilog="Example: dovecote adopt old-outbox.toml")(adopt)
    app.command(epilog="Example: dovecote compare old-outbox.toml --since 2026-01-05T12:00:00Z")(compare)
    app.command(epilog="Example: dovecote switch shop 25")(switch)


def adopt(
    context: typer.Context,
    file: Described,
    *,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on after the row with this id, which an earlier call told.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring what waits in an old table into the outbox, each row once. Adopting again is harmless."""
    from dovecote.moving import adopt as adopt_rows
    from dovecote.moving import read_old_table

    old = read_old_table(file)
    cursor: int | str | None = int(after) if after is not None and after.isdecimal() else after

    def told(so_far: "Adopted") -> None:
        if not as_json:
            note(f"{so_far.count:,} adopted so far, up to the id {so_far.last}")

    adopted = on_outbox(context, lambda dovecote: adopt_rows(dovecote, old, after=cursor, told=told))
    if as_json:
        refused = [{"id": id_, "error": error} for id_, error in adopted.refused]
        say_json({"adopted": adopted.count, "refused": refused, "last": adopted.last})
    else:
        say(f"Adopted: {adopted.count:,} rows.")
        for id_, error in adopted.refused[:SHOWN]:
            say(f"Left as it is: the row {id_}: {error}")
        if len(adopted.refused) > SHOWN:
            say(f"And {len(adopted.refused) - SHOWN:,} more; --json lists them all.")
    if adopted.refused:
        raise typer.Exit(1)


def compare(
    context: typer.Context,
    file: Described,
    *,
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Compare what was sent from then on, in ISO 8601 with a zone.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare what the old path has sent with what Dovecote has sent to the emulator. Ends with 1 where they differ."""
    from dovecote.moving import compare as compare_paths
    from dovecote.moving import read_old_table

    old = read_old_table(file)
    begun = None if since is None else _instant(since)
    found = on_outbox(context, lambda dovecote: compare_paths(dovecote, old, since=begun))
    if as_json:
        lists = {"missing": found.missing, "extra": found.extra}
        listed = {name: [each._asdict() for each in deliveries] for name, deliveries in lists.items()}
        say_json({"agrees": found.agrees, "same": found.same, **listed, "reordered": found.reordered})
    else:
        say(f"{found.same:,} the same, {len(found.missing):,} missing, {len(found.extra):,} extra.")
        _list("Missing: sent by the old path alone", found.missing)
        _list("Extra: sent by Dovecote alone, or once more", found.extra)
        if found.reordered:
            say(f"In another order: chats {', '.join(found.reordered[:SHOWN])}")
    if not found.agrees:
        raise typer.Exit(1)


def switch(
    context: typer.Context,
    bot: Annotated[str | None, typer.Argument(metavar="BOT", help="The bot; without it, all are listed.")] = None,
    percent: Annotated[
        float | None,
        typer.Argument(metavar="PERCENT", min=0, max=100, help="How many of 100 chats have moved: 0 none, 100 all."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show or set which share of a bot's chats has moved to Dovecote. A share that is set back gives back the last."""
    if bot is not None and percent is None:
        raise typer.BadParameter("give a share of chats as well, such as 25; `dovecote switch` alone lists all.")

    async def act(dovecote: "Dovecote") -> dict[str, float]:
        from dovecote.moving import Switch

        switch = Switch(dovecote)
        if bot is not None and percent is not None:
            await switch.set_share(bot, percent / 100)
        return dict(await switch.shares())

    shares = on_outbox(context, act)
    if as_json:
        say_json(shares)
    elif not shares:
        say("No bot was ever switched: every chat takes the old path.")
    else:
        say_table(["bot", "moved"], [[name, f"{share * 100:g} %"] for name, share in shares.items()])


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f'--since: "{text}" is no instant: write one such as 2026-01-05T12:00:00Z.') from None
    if instant.tzinfo is None:
        raise Refused(f'--since: "{text}" has no zone: write one such as 2026-01-05T12:00:00Z.')
    return instant


def _list(title: str, deliveries: "Sequence[Delivery]") -> None:
    if deliveries:
        rows = [[each.chat, each.method, each.params] for each in deliveries[:SHOWN]]
        say_table(["chat", "method", "parameters"], rows, title=title)
        if len(deliveries) > SHOWN:
            say(f"And {len(deliveries) - SHOWN:,} more; --json lists them all.")
