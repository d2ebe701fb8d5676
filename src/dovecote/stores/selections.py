"""A selection of settled notifications as conditions, and what is done to forget some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, any_, exists, func, literal, or_, select

from dovecote.broadcast_form import MEMBER, reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection

    from dovecote.model import Selection
    from dovecote.stores.tables import Tables


def restrictions(
    tables: Tables, selection: Selection, *, bot_id: int | None, broadcast_id: int | None, is_postgresql: bool
) -> Iterator[ColumnElement[bool]]:
    """The conditions on the history's rows. The ids are those of the selection's bot and broadcast."""
    row: Any = tables.history.c
    if bot_id is not None:
        yield row.bot_id == bot_id
    if selection.error is not None:
        yield row.error.icontains(selection.error, autoescape=True)
    if selection.error_code is not None:
        yield row.error_code == selection.error_code
    if selection.label is not None:
        if is_postgresql:
            yield literal(selection.label, Text()) == any_(row.labels)
        else:
            each = func.json_each(row.labels).table_valued("value")
            yield exists(select(1).select_from(each).where(each.c.value == selection.label))
    if broadcast_id is not None:
        # A chat that has become another one is known by the parameters alone, and one whose parameters are gone,
        # their time being over, by the record alone.
        record = tables.broadcast_recipient.c
        recorded = exists(
            select(1).where(
                record.broadcast_id == broadcast_id, record.chat == row.chat, record.notification_id == row.id
            )
        )
        yield or_(row.params[MEMBER].as_string() == reference(broadcast_id), recorded)
    if selection.since is not None:
        yield row.settled_at >= selection.since
    if selection.until is not None:
        yield row.settled_at < selection.until


def forget(connection: Connection, tables: Tables, ids: Sequence[int]) -> None:
    """Remove settled notifications and their attempts; what stands for their keys stays until its window ends."""
    for table in (tables.attempt, tables.trace_context):
        connection.execute(table.delete().where(table.c.notification_id.in_(ids)))
    connection.execute(tables.history.delete().where(tables.history.c.id.in_(ids)))
