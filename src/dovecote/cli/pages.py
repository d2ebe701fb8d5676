"""What the commands over settled notifications share: a page of them, all ids, changes in bounded transactions."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from dovecote.cli.context import Refused, on_outbox
from dovecote.cli.lives import error_text
from dovecote.cli.output import NONE, moment, note, say, say_json, say_table
from dovecote.cli.sending import given_instant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from dovecote.app import Dovecote
    from dovecote.model import NotificationRecord, Selection

LAST_ID = 2**63 - 1
LONGEST_PAGE = 1000
SHOWN = 20
"""Ids in one sentence."""
BATCH = 500
"""Notifications in one transaction, so that no change holds rows for long."""

ForBot = Annotated[str | None, typer.Option("--bot", metavar="NAME", help="This bot's alone.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=LONGEST_PAGE, help="How many at most.")]
BeforeId = Annotated[
    int | None,
    typer.Option(
        "--before",
        metavar="ID",
        min=1,
        max=LAST_ID,
        help="Only older than this one: the last id of the page before.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ErrorText = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="Only those whose last error holds this text.")
]
ErrorCode = Annotated[
    int | None, typer.Option("--code", metavar="N", help="Only those with this error code of Telegram's.")
]
Label = Annotated[str | None, typer.Option("--label", metavar="TEXT", help="Only those with this label.")]
OfBroadcast = Annotated[
    str | None,
    typer.Option("--broadcast", metavar="NAME", help="Only those of this broadcast; a recall has a name of its own."),
]
PerMinute = Annotated[
    int | None,
    typer.Option("--per-minute", metavar="N", min=1, help="Let so many become due a minute, not all at once."),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only those settled then or later, with a zone.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only those settled before, with a zone.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def say_page(found: Sequence[NotificationRecord], limit: int, *, settled: str, none: str, as_json: bool) -> None:
    """Print the first `limit` of `found`, which has one more where there is another page.

    `settled` is the heading of the time at which they were settled, `none` the sentence for an empty page.
    """
    page = found[:limit]
    if as_json:
        say_json(page)
    elif page:
        say_table(
            ["id", "bot", "chat", "method", settled, "error"],
            [
                [
                    str(record.id),
                    record.bot,
                    record.chat or NONE,
                    record.method,
                    moment(record.settled_at),
                    error_text(record.error_code, record.error),
                ]
                for record in page
            ],
        )
    else:
        say(none)
    if len(found) > limit:
        note(f"There are older ones: --before {page[-1].id}")


def none_text(none: str, selection: Selection, before: int | None) -> str:
    """The sentence for an empty page: `none`, unless options have left others out."""
    from dovecote.model import Selection

    if selection == Selection() and before is None:
        return none
    return "The options select none. Without them all are listed."


async def all_ids(page_before: Callable[[int | None, int], Awaitable[Sequence[NotificationRecord]]]) -> list[int]:
    """All ids of this moment, oldest first. One that comes back later is not among them twice.

    `page_before` answers a page that is older than an id, of as many as asked for.
    """
    ids: list[int] = []
    before: int | None = None
    while page := await page_before(before, LONGEST_PAGE):
        ids += [record.id for record in page]
        before = ids[-1]
    return ids[::-1]


async def in_batches(ids: Sequence[int], change: Callable[[Sequence[int]], Awaitable[Sequence[int]]]) -> list[int]:
    """Change the oldest first, so that the order within a chat is kept from one transaction to the next."""
    changed: list[int] = []
    for start in range(0, len(ids), BATCH):
        changed += await change(ids[start : start + BATCH])
        if len(ids) > BATCH:
            note(f"{min(start + BATCH, len(ids)):,} of {len(ids):,}")
    return changed


async def paced(
    ids: Sequence[int], per_minute: int | None, change: Callable[[Sequence[int], timedelta], Awaitable[Sequence[int]]]
) -> list[int]:
    """Change all now, or so many for each minute from now on; the oldest first either way."""

    def changing(due_in: timedelta) -> Callable[[Sequence[int]], Awaitable[Sequence[int]]]:
        return lambda batch: change(batch, due_in)

    if per_minute is None:
        return await in_batches(ids, changing(timedelta(0)))
    changed: list[int] = []
    for minute, start in enumerate(range(0, len(ids), per_minute)):
        changed += await in_batches(ids[start : start + per_minute], changing(timedelta(minutes=minute)))
    return changed


def selected(  # noqa: PLR0917 (each is an option of the command line)
    bot: str | None,
    error: str | None,
    code: int | None,
    label: str | None,
    broadcast: str | None,
    since: str | None,
    until: str | None,
) -> Selection:
    """What the options say. Raises BadParameter for a time that is none, and for a span in which there is nothing."""
    from dovecote.model import Selection

    first = None if since is None else given_instant(since, "--since")
    end = None if until is None else given_instant(until, "--until")
    if first is not None and end is not None and first >= end:
        raise typer.BadParameter(f"{until} is not after --since, {since}: nothing lies between.", param_hint="--until")
    return Selection(bot=bot, error=error, error_code=code, label=label, broadcast=broadcast, since=first, until=end)


def say_changed(
    ids: Sequence[int],
    changed: Sequence[int],
    sentence: str,
    *,
    done: str,
    state: str,
    complaint: str,
    everything: bool,
    as_json: bool,
    empty: Sequence[int] | None = None,
) -> None:
    """Print what was `done`, and then raise Refused for the ids that were named and are not in that state.

    `empty` are those that could not be sent again, having lost their payload; None where nothing is sent.
    """
    # With --all, one that is not so any more was changed by somebody else meanwhile.
    others = [] if everything else sorted(set(ids) - set(changed))
    if as_json:
        say_json({done: changed, f"not_{state}": others} | ({} if empty is None else {"without_payload": empty}))
    else:
        say(sentence)
    faults = []
    if empty:
        faults.append(f"{their_payload(empty)}: {', '.join(map(str, empty[:SHOWN]))}{', ...' * (len(empty) > SHOWN)}.")
    if everything:
        list(map(note, faults))
        return
    if others:
        faults.append(f"{complaint}: {', '.join(map(str, others))}. `dovecote notification show ID` tells of each.")
    if faults:
        raise Refused(" ".join(faults))


def their_payload(empty: Sequence[int]) -> str:
    """Why these cannot be sent again."""
    one = len(empty) == 1
    return (
        f"{len(empty):,} cannot be sent again, since {'its payload was' if one else 'their payloads were'} removed"
        " by retention, or with the recipient"
    )


def sendable(context: typer.Context, ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """The ids of those that have their payload still, and of those that have lost it."""
    if not ids:
        return [], []
    empty = list(on_outbox(context, lambda dovecote: dovecote.without_payload(ids)))
    lost = set(empty)
    return [id_ for id_ in ids if id_ not in lost], empty


def of_which(selection: Selection, *, everything: bool) -> str:
    """Which ones a question is about: behind their number."""
    if not everything:
        return ""
    if selection.is_everything:
        return " of all bots"
    by_bot_alone = replace(selection, bot=None).is_everything
    return f' of the bot "{selection.bot}"' if by_bot_alone else " that you have selected"


async def written(output: Path | None, write: Callable[[TextIO], Awaitable[int]]) -> int:
    """What `write` answers when it has written to that file, or to standard output where none is named."""
    if output is None:
        return await write(sys.stdout)
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            return await write(file)
    except OSError as error:
        raise Refused(f'"{output}" cannot be written ({error.strerror}): name another file.') from None


def wanted_ids(
    context: typer.Context,
    notifications: Sequence[int] | None,
    selection: Selection,
    page: Callable[[Dovecote, int | None, int], Awaitable[Sequence[NotificationRecord]]],
    *,
    everything: bool,
    what: str,
) -> list[int]:
    """The ids that were named, or with --all those that are selected now, the oldest first.

    `page` answers a page of those that are selected, older than an id.
    """
    ids = chosen_ids(notifications, selection, everything=everything, what=what)
    if not everything:
        return ids
    return on_outbox(context, lambda dovecote: all_ids(partial(page, dovecote)))


def chosen_ids(notifications: Sequence[int] | None, selection: Selection, *, everything: bool, what: str) -> list[int]:
    """The ids that were named, sorted, or none with --all. Raises BadParameter unless it is one or the other."""
    if everything and notifications:
        raise typer.BadParameter(f"{' '.join(map(str, notifications))} beside --all: name some ids of {what}, or all.")
    if not everything and not notifications:
        raise typer.BadParameter(f"name the ids of {what}, or --all.")
    if not selection.is_everything and not everything:
        raise typer.BadParameter("what restricts (--bot, --error, ...) goes with --all only.")
    return sorted(set(notifications or []))
