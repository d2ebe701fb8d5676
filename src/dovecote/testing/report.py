"""Why something was not sent: what an assertion that fails says of a chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from dovecote.app import Dovecote
    from dovecote.model import NotificationRecord
    from dovecote.testing.sent import Sent

MOST: Final = 10
"""How many notifications and messages are shown."""


async def whereabouts(dovecote: Dovecote, chat: int | str | None, now: datetime) -> list[str]:
    """A line for each notification to `chat` (None: to any) that was not delivered: where it is, and why."""
    tables = dovecote.database.tables
    waiting = await dovecote.database.run(lambda connection: _ids(connection, tables.notification, chat))
    settled = await dovecote.database.run(lambda connection: _ids(connection, tables.history, chat))
    return [_line(await dovecote.notification(id_), now) for id_ in (*waiting, *settled)]


def _ids(connection: Connection, table: Table, chat: int | str | None) -> list[int]:
    statement = select(table.c.id).order_by(table.c.id).limit(MOST)
    if chat is not None:
        statement = statement.where(table.c.chat == str(chat))
    if "outcome" in table.c:
        statement = statement.where(table.c.outcome != "delivered")
    return list(connection.execute(statement).scalars())


def _line(record: NotificationRecord, now: datetime) -> str:
    text = record.params.get("text") or record.params.get("caption") or ""
    words = f"notification {record.id} to {record.chat} ({record.method} {str(text)[:60]!r}) is {record.state.value}"
    if record.error:
        words += f": {record.error}"
    for each in record.waits_for:
        words += f"; it waits: {each.reason.value}"
        if each.until is not None:
            words += f", for {each.until - now} by the clock"
        if each.behind is not None:
            words += f", behind notification {each.behind}"
        if each.detail:
            words += f" ({each.detail})"
    return words


def listed(title: str, lines: list[str]) -> str:
    """A title with lines below it; "" where there are none."""
    if not lines:
        return ""
    more = [f"  ... and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return "\n".join(["", title, *(f"  {line}" for line in lines[:MOST]), *more])


def shown(sent: list[Sent]) -> list[str]:
    """A line for each message."""
    return [f"to {each.chat}: {each}" for each in sent]
