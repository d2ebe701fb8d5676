"""What `top` draws: all of it on paper, and on a screen as much as has room, the most telling rows first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from dovecote.cli.output import clean, moment, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from dovecote.model import BotActivity, BroadcastProgress, Depth, LeadershipReport, OldSnapshot, Situation

FEW: Final = 3
"""So many rows of each table stand even where the screen has no room."""
HEADING: Final = 2
SHORT_ID: Final = 8
SHORTEST: Final = 6
"""So many letters of a word are left where it is cut short."""


class Part(NamedTuple):
    """A table to be: columns, of which those in `words` may be cut short and all others are numbers, and its rows."""

    columns: tuple[str, ...]
    words: frozenset[str]
    rows: list[list[str]]


def view(found: Situation, problem: str | None = None, *, height: int | None = None) -> Group:
    """Everything, for a terminal; where it has a `height`, no more lines than that where that is possible."""
    from rich.console import Group

    lines = [_first(found), _due(found.outbox.due), _outcomes(found.outbox.outcomes)]
    if problem is not None:
        lines.insert(0, f"The database does not answer, and this is how it was: {problem}")
    parts = [_bots(found.outbox.bots), _broadcasts(found.broadcasts), _instances(found.leadership)]
    parts = [part for part in parts if part.rows]
    room = [len(part.rows) for part in parts]
    if height is not None:
        room = shared([len(part.rows) for part in parts], height - len(lines) - HEADING * len(parts))
    drawn: list[Text | Table] = [_line(line) for line in lines]
    for part, rows in zip(parts, room, strict=True):
        drawn += _drawn(part, rows)
    return Group(*drawn)


def shared(wanted: Sequence[int], lines: int) -> list[int]:
    """How many rows each table gets of so many lines: a few, and then one after the other while there is room."""
    given = [min(rows, FEW) for rows in wanted]
    while lines > sum(given) and given != list(wanted):
        for place, rows in enumerate(wanted):
            if given[place] < rows and sum(given) < lines:
                given[place] += 1
    return given


def _line(text: str) -> Text:
    from rich.text import Text

    return Text(clean(text), no_wrap=True, overflow="ellipsis")


def _drawn(part: Part, rows: int) -> list[Text | Table]:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    hidden = len(part.rows) - rows
    if hidden:
        # The line that says so stands in the place of a row.
        rows, hidden = rows - 1, hidden + 1
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    cells = [[clean(cell) for cell in row] for row in part.rows[:rows]]
    for place, column in enumerate(part.columns):
        if column in part.words:
            # Rich takes the room that lacks from columns that may wrap; their cells do not, and are cut short.
            table.add_column(column, min_width=SHORTEST)
        else:
            least = max(map(len, (column, *(row[place] for row in cells))))
            table.add_column(column, justify="right", no_wrap=True, min_width=least)
    for row in cells:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    return [table, _line(f"... and {hidden} more")] if hidden else [table]


def _first(found: Situation) -> str:
    return f"{moment(found.outbox.at)}   {_leader(found.leadership)}   oldest snapshot: " + _snapshot(
        found.outbox.oldest_snapshot
    )


def _snapshot(snapshot: OldSnapshot | None) -> str:
    if snapshot is None or snapshot.seconds < 1:
        # There is one as long as any statement runs.
        return "none"
    return f"{_age(snapshot.seconds)}, {snapshot.holder}"


def _leader(report: LeadershipReport) -> str:
    if report.leader is not None:
        return f"{report.leader[:SHORT_ID]} leads in term {report.term}"
    return "nobody leads" if report.problem is None else f"nobody can tell who leads: {report.problem}"


def _due(due: Mapping[str, Depth]) -> str:
    told = (
        f"{name} {depth.due:,}" + ("" if depth.oldest is None else f" (oldest {_age(depth.oldest)})")
        for name, depth in due.items()
    )
    return "due: " + ", ".join(told)


def _outcomes(rates: Mapping[str, float]) -> str:
    return "a second: " + ", ".join(f"{rate:,.1f} {name}" for name, rate in rates.items())


def _bots(bots: Sequence[BotActivity]) -> Part:
    """Those that something is wrong with first, then those with the most to do."""
    told = sorted(bots, key=lambda bot: (_state(bot) == "works", -sum(depth.due for depth in bot.due.values())))
    columns = ("bot", "pace", "429s", "due", "oldest", "delivered/s", "dead/s", "unknown/s", "state")
    return Part(columns, frozenset({"bot", "state"}), [_bot(bot) for bot in told])


def _bot(bot: BotActivity) -> list[str]:
    if bot.pace is None or bot.pace_now is None:
        pace = "no limit"
    else:
        pace = f"{number(bot.pace)}/s" if bot.pace == bot.pace_now else f"{bot.pace_now:.3g} of {number(bot.pace)}/s"
    ages = [depth.oldest for depth in bot.due.values() if depth.oldest is not None]
    return [
        bot.name,
        pace,
        f"{bot.waits:,}",
        f"{sum(depth.due for depth in bot.due.values()):,}",
        _age(max(ages, default=None)),
        *(f"{rate:,.1f}" for rate in bot.outcomes.values()),
        _state(bot),
    ]


def _state(bot: BotActivity) -> str:
    if bot.stopped_reason is not None:
        return f"stopped: {bot.stopped_reason}"
    if bot.halted_for:
        return f"waits {_age(bot.halted_for)} (429)"
    return f"{bot.waiting_chats:,} chats wait (429)" if bot.waiting_chats else "works"


def _broadcasts(broadcasts: Sequence[BroadcastProgress]) -> Part:
    columns = ("broadcast", "bot", "settled", "of", "%", "rate/s", "ends in", "state")
    return Part(columns, frozenset({"broadcast", "bot", "state"}), [_broadcast(each) for each in broadcasts])


def _broadcast(broadcast: BroadcastProgress) -> list[str]:
    return [
        broadcast.name,
        broadcast.bot,
        f"{broadcast.settled:,}",
        f"{broadcast.recipients:,}",
        f"{broadcast.settled / max(1, broadcast.recipients):.0%}".removesuffix("%"),
        "" if broadcast.rate is None else f"{broadcast.rate:,.1f}",
        "" if broadcast.ends_in is None else str(timedelta(seconds=round(broadcast.ends_in))),
        broadcast.state if broadcast.reason is None else f"{broadcast.state}: {broadcast.reason}",
    ]


def _instances(report: LeadershipReport) -> Part:
    told = sorted(report.instances, key=lambda peer: (not peer.leads, not peer.stale))
    rows = [
        [
            peer.id[:SHORT_ID],
            peer.role,
            peer.host,
            str(peer.pid),
            "stale" if peer.stale else "leads" if peer.leads else "follows",
        ]
        for peer in told
    ]
    return Part(
        ("instance", "role", "host", "process", "state"), frozenset({"instance", "role", "host", "state"}), rows
    )


def _age(seconds: float | None) -> str:
    """Seconds for people: 3.2 s, 4:05 for minutes, 2 days and so on."""
    if seconds is None:
        return ""
    return f"{seconds:,.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))  # noqa: PLR2004 (a minute)
