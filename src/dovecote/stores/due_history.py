"""What of the history is past its time, found by bot and outcome: as rows to be removed, or counted.

A span is a bot and the times between which its rows are due. Each is read from an index that begins with the bot, in
its order, so a bot with nothing due costs one look, whatever others have. No statistics may lead to another index: the
one that begins with the outcome would read what other bots keep for longer, the one of chats all that a bot keeps. So
PostgreSQL is told not to sort, which the index of chats would need, and is asked for times within whole places (bot,
outcome, time), which that of outcomes cannot find; SQLite is told the index by name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import ARRAY, Integer, Text, bindparam, case, column, func, literal, null, select, text, true, tuple_
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import TIMESTAMP

from dovecote.broadcast_form import MARK
from dovecote.stores.column_types import EPOCH, MICROSECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Executable, Select, TextClause

    from dovecote.model import State
    from dovecote.stores.tables import Tables


class Span(NamedTuple):
    """The rows of a bot that were settled at `first` or later, and before `end`."""

    bot_id: int
    first: datetime
    end: datetime


_UNSORTED: Final = text("""
    SELECT set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true),
           set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true)
""")


def keep_to_indexes(connection: Connection) -> None:
    """Let what this transaction asks from now on be read in the order of an index. To be called before the others."""
    if connection.dialect.name == "postgresql":
        connection.execute(_UNSORTED)


def due_rows(tables: Tables, outcome: State, spans: Sequence[Span], *, emptied: bool, limit: int) -> Executable:
    """Up to `limit` rows, each bot's oldest first, locked: `id`, `bot_id`, `settled_at`, `chat`, and `params`.

    The parameters are those that name a broadcast; all others may be large, and nobody asks for them. `emptied` says
    whether rows that have lost their payload are wanted, or those that have it still. What others hold is left out.
    """
    history = tables.history.c
    if tables.metadata.schema is None:
        columns = [history.id, history.bot_id, history.settled_at, history.chat, history.params]
        found = _ROWS[emptied].columns(*columns)
        return found.bindparams(spans=_written(spans), outcome=outcome.value, mark=MARK, limit=limit)
    words = as_type(history.params, Text)
    params = case((func.strpos(words, MARK) > 0, history.params), else_=null()).label("params")
    span = _unnested(spans)
    wanted = (
        _ordered(
            tables,
            [history.id, history.bot_id, history.settled_at, history.chat, params],
            outcome,
            span,
            emptied=emptied,
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
        .lateral("found")
    )
    # The outer limit ends the walk: no more rows are locked than are answered.
    return select(wanted).select_from(span.join(wanted, true())).limit(limit)


def due_counts(tables: Tables, outcome: State, spans: Sequence[Span], *, emptied: bool) -> Executable:
    """How many there are of each bot that has any: `bot_id`, `due`."""
    if tables.metadata.schema is None:
        return _COUNTS[emptied].bindparams(spans=_written(spans), outcome=outcome.value)
    span = _unnested(spans)
    each = _ordered(tables, [literal(1)], outcome, span, emptied=emptied).subquery("each")
    found = select(func.count().label("due")).select_from(each).lateral("found")
    return select(span.c.bot_id, found.c.due).select_from(span.join(found, true())).where(found.c.due > 0)


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
    history = tables.history.c
    place = (history.bot_id, history.outcome, history.settled_at)
    word = literal(outcome.value, Text())
    return (
        select(*columns)
        .where(
            history.bot_id == span.c.bot_id,
            history.outcome == word,
            tuple_(*place) >= tuple_(span.c.bot_id, word, span.c.first),
            tuple_(*place) < tuple_(span.c.bot_id, word, span.c.end_),
            history.erased_at.is_not(None) if emptied else history.erased_at.is_(None),
        )
        .order_by(*place)
        .correlate(span)
    )


def _written(spans: Sequence[Span]) -> str:
    return json.dumps([[span.bot_id, *((each - EPOCH) // MICROSECOND for each in span[1:])] for span in spans])


def _of_sqlite(columns: str, ending: str) -> Mapping[bool, TextClause]:
    """The statement over the rows that are due, by whether those are wanted that have lost their payload."""
    places = {False: ("dovecote_history_whole", "NULL"), True: ("dovecote_history_emptied", "NOT NULL")}
    return {
        emptied: text(f"""
            SELECT {columns}
            FROM json_each(:spans) AS span CROSS JOIN dovecote_history AS due INDEXED BY {index}
            WHERE due.bot_id = json_extract(span.value, '$[0]') AND due.outcome = :outcome
              AND due.settled_at >= json_extract(span.value, '$[1]')
              AND due.settled_at < json_extract(span.value, '$[2]')
              AND due.erased_at IS {erased}
            {ending}
        """)  # noqa: S608 (words of this module)
        for emptied, (index, erased) in places.items()
    }


_ROWS: Final = _of_sqlite(
    "due.id, due.bot_id, due.settled_at, due.chat,"
    " CASE WHEN instr(due.params, :mark) > 0 THEN due.params END AS params",
    "LIMIT :limit",
)
_COUNTS: Final = _of_sqlite("due.bot_id, count(*) AS due", "GROUP BY due.bot_id")
