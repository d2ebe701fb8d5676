"""After a backup was restored: what its outbox still waits to send may have been sent since the backup was taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, insert, literal, select

from dovecote.model import State
from dovecote.stores.clock import StoreClock, real_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from dovecote.ports import RestoreStore
    from dovecote.stores.database import Database

# What the outbox and the history have in common.
KEPT = [
    *("id", "bot_id", "chat", "method", "params", "key", "labels", "priority", "at_most_once", "enqueued_at"),
    *("planned_at", "expires_at", "attempts", "failures", "lost_leases", "category", "quiet"),
]


class Restoring:
    """`ports.RestoreStore` on either database. `clock` answers microseconds since the epoch and is SQLite's."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def doubt(self, backup: datetime, *, limit: int = 1000) -> int:
        """See `ports.RestoreStore.doubt`."""
        outbox, history = self._tables.notification, self._tables.history

        def move(connection: Connection) -> int:
            now = self._clock.now(connection)
            instant = outbox.c.planned_at.type
            # By the time of its turn and not by `due_at`: what waits for a retry may have had it since.
            found = (
                select(outbox.c.id)
                .where(
                    outbox.c.enqueued_at <= literal(backup, instant),
                    outbox.c.planned_at <= literal(now, instant),
                )
                .order_by(outbox.c.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            ids = list(connection.scalars(found))
            if ids:
                these = outbox.c.id.in_(ids)
                words = f"a backup of {backup:%Y-%m-%d %H:%M:%S %Z} was restored: it may have been sent since"
                added: list[Any] = [
                    literal(State.UNKNOWN.value, Text()),
                    literal(now, history.c.settled_at.type),
                    literal(words, Text()),
                ]
                rows = select(*(outbox.c[name] for name in KEPT), *added).where(these)
                names = [*KEPT, "outcome", "settled_at", "error"]
                connection.execute(insert(history).from_select(names, rows))
                connection.execute(outbox.delete().where(these))
            return len(ids)

        return await self._database.run(move, write=True)


async def doubt_all(store: RestoreStore, backup: datetime, *, now: datetime) -> int:
    """All of them, a bounded piece at a time. Raises ValueError for a backup that is later than `now`."""
    if backup > now:
        raise ValueError(
            f"a backup of {backup.isoformat(timespec='seconds')} is later than now,"
            f" {now.isoformat(timespec='seconds')}: give the time that it was taken at."
        )
    changed = 0
    while piece := await store.doubt(backup):
        changed += piece
    return changed
