"""What of the history is past its time, found by bot and outcome: as rows to be removed, or counted.

A span is a bot and the times between which its rows are due. Each is read from an index that begins with the bot, in
its order, so a bot with nothing due costs one look, whatever others have. The comparison of whole places (bot, outcome,
time) says the same as three conditions would; by those PostgreSQL may choose the index that begins with the outcome,
and read what other bots keep for longer. SQLite is told by name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    column,
    func,
    literal,
    null,
    select,
    true,
    tuple_,
)
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import TIMESTAMP

from dovecote.broadcast_form import MARK
from dovecote.stores.column_types import EPOCH, MICROSECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from dovecote.model import State
    from dovecote.stores.tables import Tables


class Span(NamedTuple):
    """The rows of a bot that were settled at `first` or later, and before `end`."""

    bot_id: int
    first: datetime
    end: datetime


def due_rows(tables: Tables, outcome: State, spans: Sequence[Span], *, emptied: bool, limit: int) -> Select[Any]:
    """Up to `limit` rows, each bot's oldest first, locked: their id, bot, time, and what names a broadcast.

    `emptied` says whether those that have lost their payload are wanted, or those that have it still. What others hold
    is left out.
    """
    history = tables.history
    columns = [history.c.id, history.c.bot_id, history.c.settled_at, history.c.chat, _of_a_broadcast(history)]
    if tables.metadata.schema is None:
        return _joined(tables, columns, outcome, spans, emptied=emptied).limit(limit)
    span = _unnested(spans)
    found = (
        _ordered(tables, columns, outcome, span, emptied=emptied)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .lateral("found")
    )
    # The outer limit ends the walk: no more rows are locked than are answered.
    return select(found).select_from(span.join(found, true())).limit(limit)


def due_counts(tables: Tables, outcome: State, spans: Sequence[Span], *, emptied: bool) -> Select[Any]:
    """How many there are of each bot that has any: its id, and the count."""
    history = tables.history
    if tables.metadata.schema is None:
        counted = _joined(tables, [history.c.bot_id, func.count().label("due")], outcome, spans, emptied=emptied)
        return counted.group_by(history.c.bot_id)
    span = _unnested(spans)
    each = _ordered(tables, [literal(1)], outcome, span, emptied=emptied).subquery("each")
    found = select(func.count().label("due")).select_from(each).lateral("found")
    return select(span.c.bot_id, found.c.due).select_from(span.join(found, true())).where(found.c.due > 0)


def _of_a_broadcast(history: Any) -> ColumnElement[Any]:
    """The parameters where they name a broadcast: all others may be large, and nobody asks for them."""
    words = as_type(history.c.params, Text)
    where = func.strpos(words, MARK) if history.schema else func.instr(words, MARK)
    return case((where > 0, history.c.params), else_=null()).label("params")


def _unnested(spans: Sequence[Span]) -> Any:
    times = ARRAY(TIMESTAMP(timezone=True))
    lists = (
        bindparam(None, [span.bot_id for span in spans], type_=ARRAY(Integer)),
        bindparam(None, [span.first for span in spans], type_=times),
        bindparam(None, [span.end for span in spans], type_=times),
    )
    named = (column("bot_id", Integer), column("first", Instant()), column("end_", Instant()))
    return func.unnest(*lists).table_valued(*named).render_derived(name="span")


def _ordered(tables: Tables, columns: Sequence[Any], outcome: State, span: Any, *, emptied: bool) -> Select[Any]:
    history = tables.history
    place = (history.c.bot_id, history.c.outcome, history.c.settled_at)
    word = literal(outcome.value, Text())
    return (
        select(*columns)
        .where(
            tuple_(*place) >= tuple_(span.c.bot_id, word, span.c.first),
            tuple_(*place) < tuple_(span.c.bot_id, word, span.c.end_),
            history.c.erased_at.is_not(None) if emptied else history.c.erased_at.is_(None),
        )
        .order_by(*place)
        .correlate(span)
    )


def _joined(
    tables: Tables, columns: Sequence[Any], outcome: State, spans: Sequence[Span], *, emptied: bool
) -> Select[Any]:
    history = tables.history
    given = [[span.bot_id, *((each - EPOCH) // MICROSECOND for each in span[1:])] for span in spans]
    each = func.json_each(json.dumps(given)).table_valued("value", name="span")

    def part(number: int) -> ColumnElement[int]:
        return func.json_extract(each.c.value, f"$[{number}]", type_=BigInteger)

    due = and_(
        history.c.bot_id == part(0),
        history.c.outcome == outcome.value,
        history.c.settled_at >= part(1),
        history.c.settled_at < part(2),
        history.c.erased_at.is_not(None) if emptied else history.c.erased_at.is_(None),
    )
    index = f"{history.name}_{'emptied' if emptied else 'whole'}"
    return select(*columns).select_from(each.join(history, due)).with_hint(history, f"INDEXED BY {index}", "sqlite")
