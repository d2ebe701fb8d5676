"""Rows of broadcasts and their recipients, to and from what the ports speak of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, text

from dovecote.broadcast_form import broadcast_of
from dovecote.errors import InvalidBroadcast, UnknownBroadcast
from dovecote.model import (
    BroadcastCounts,
    BroadcastKind,
    BroadcastRecord,
    BroadcastState,
    RecipientRecord,
    RecipientState,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from dovecote.stores.tables import Tables

ENQUEUED: Final = text("state = 'enqueued'")
UNDER_WAY: Final = text("state IN ('running', 'paused')")
"""The indexes' own conditions, word for word: SQLite uses a partial index only where it reads its own."""


def row_of(connection: Connection, tables: Tables, name: str, *, locked: bool = False) -> Row[Any]:
    """The row of the broadcast of that name. Raises UnknownBroadcast."""
    table = tables.broadcast
    statement = select(table).where(table.c.name == name)
    row = connection.execute(statement.with_for_update() if locked else statement).first()
    if row is None:
        raise UnknownBroadcast(name)
    return row


def draft_of(connection: Connection, tables: Tables, name: str) -> Row[Any]:
    """The row of a draft, locked. Raises UnknownBroadcast, InvalidBroadcast for one that has begun."""
    row = row_of(connection, tables, name, locked=True)
    if row.state != BroadcastState.DRAFT.value:
        raise InvalidBroadcast(
            "state", f'"{name}" is {row.state}: recipients are added to a draft. Create another broadcast for them.'
        )
    return row


def record_of(row: Row[Any], of: str | None) -> BroadcastRecord:
    """A row of `broadcast` as a record; `of` is the name of the one that it is about."""
    counts = {name: getattr(row, name) for name in BroadcastCounts.__dataclass_fields__ if name != "waiting"}
    settled = row.delivered + row.dead + row.unknown + row.suppressed + row.cancelled
    left = row.recipients - row.enqueued - settled
    state = BroadcastState(row.state)
    if state is BroadcastState.CANCELLED:
        counts["cancelled"] += left
        left = 0
    errors: dict[str, int] = json.loads(row.errors)
    return BroadcastRecord(
        id=row.id,
        broadcast=broadcast_of(row.name, json.loads(row.form)),
        kind=BroadcastKind(row.kind),
        of=of,
        state=state,
        reason=row.reason,
        counts=BroadcastCounts(**counts, waiting=left),
        rate=row.rate,
        errors=dict(sorted(errors.items(), key=lambda error: -error[1])),
        created_at=row.created_at,
        changed_at=row.changed_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def names_of(connection: Connection, tables: Tables, rows: Sequence[Row[Any]]) -> Mapping[int | None, str]:
    """The names of the broadcasts that these are about, by id."""
    ids = {row.of_id for row in rows if row.of_id is not None}
    if not ids:
        return {}
    table = tables.broadcast.c
    found = connection.execute(select(table.id, table.name).where(table.id.in_(ids)))
    return {row.id: row.name for row in found}


def recipient_of(row: Row[Any], state: str) -> RecipientRecord:
    """A row of `broadcast_recipient` as a record; `state` is its broadcast's."""
    own = RecipientState(row.state)
    if own is RecipientState.WAITING and state == BroadcastState.CANCELLED.value:
        own = RecipientState.CANCELLED
    return RecipientRecord(
        chat=row.chat,
        state=own,
        locale=row.locale,
        variables=json.loads(row.variables) if row.variables else {},
        notification_id=row.notification_id,
        enqueued_at=row.enqueued_at,
        settled_at=row.settled_at,
        error_code=row.error_code,
        error=row.error,
        message_ids=tuple(row.message_ids or ()),
    )
