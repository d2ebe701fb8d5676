"""The fan-out of an occurrence for many: a batch of recipients at a time, with a cursor in the same transaction.

A batch is enqueued and the cursor moved past it, both or neither, under the lock of the occurrence's row: a crash
anywhere goes on behind the last commit, and two instances never enqueue the same batch. Open occurrences take turns.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, select

from dovecote.errors import FileTooLarge, InvalidNotification, UnknownBot, UnknownFile
from dovecote.model import FannedOut, FireTime, Happened, PlannedOccurrence
from dovecote.redaction import impersonal
from dovecote.schedule_form import notification_to
from dovecote.stores.by_index import read_by_index
from dovecote.stores.homes import Audience
from dovecote.stores.schedule_rows import sends_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from dovecote.stores.clock import StoreClock
    from dovecote.stores.enqueue import Enqueuer
    from dovecote.stores.tables import Tables

logger = logging.getLogger(__name__)

CLOSED: dict[str, Any] = {"cursor": None, "sends": None, "turn_at": None}


class FanOut:
    """One turn of an open occurrence at a time, inside a transaction of the caller's."""

    def __init__(self, tables: Tables, clock: StoreClock, enqueuer: Enqueuer) -> None:
        self._tables = tables
        self._clock = clock
        self._enqueuer = enqueuer

    def turn(self, connection: Connection, limit: int) -> FannedOut | None:
        """Enqueue the next batch of the occurrence whose turn it is. None where there is none that is not locked."""
        table = self._tables.occurrence
        row = connection.execute(
            select(table)
            .where(table.c.turn_at.is_not(None))
            .order_by(table.c.turn_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).first()
        if row is None:
            return None
        try:
            ids, cursor = self._enqueue(connection, row, limit)
        except (InvalidNotification, UnknownBot, UnknownFile, FileTooLarge) as error:
            # Nothing is written by then. Tried again it would fail again, and hold up its schedule for ever.
            words = impersonal(str(error))
            logger.error("an occurrence of the schedule %d cannot be made: %s", row.schedule_id, words)  # noqa: TRY400
            self._update(connection, row, {"happened": Happened.FAILED.value, "reason": str(error), **CLOSED})
            return FannedOut(row.schedule_id, 0, finished=True)
        values: dict[str, Any] = {"notifications": table.c.notifications + len(ids)}
        if ids:
            values["first_id"] = func.coalesce(
                case((table.c.first_id < min(ids), table.c.first_id), else_=min(ids)), min(ids)
            )
            values["last_id"] = max(ids)
        values |= CLOSED if cursor is None else {"cursor": cursor, "turn_at": self._clock.now(connection)}
        self._update(connection, row, values)
        return FannedOut(row.schedule_id, len(ids), finished=cursor is None)

    def _enqueue(self, connection: Connection, row: Row[Any], limit: int) -> tuple[list[int], str | None]:
        template, to, local_time = sends_of(row.sends)
        read_by_index(connection)
        fire = FireTime(row.fire_at, datetime.fromisoformat(row.wall))
        planned = PlannedOccurrence(fire, row.part, expires_at=row.expires_at)
        part = row.part if local_time else None
        page = Audience(connection, self._tables, template.bot, to=to, part=part, fire=fire).page(row.cursor, limit)
        notifications = [
            notification_to(template, row.schedule_id, planned, chat, local_time=local_time) for chat in page.chats
        ]
        return self._enqueuer.write(connection, notifications), page.cursor

    def _update(self, connection: Connection, row: Row[Any], values: dict[str, Any]) -> None:
        table = self._tables.occurrence
        same = and_(table.c.schedule_id == row.schedule_id, table.c.fire_at == row.fire_at, table.c.part == row.part)
        connection.execute(table.update().where(same).values(**values))
