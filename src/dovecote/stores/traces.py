"""The trace contexts that were written beside notifications, for whoever sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from dovecote.model import TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from dovecote.stores.database import Database

CHUNK = 500


class Traces:
    """`ports.TraceStore` on either database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.tables.trace_context

    async def contexts(self, ids: Sequence[int]) -> Mapping[int, TraceContext]:
        """See `ports.TraceStore.contexts`. One statement for every 500."""

        def read(connection: Connection) -> dict[int, TraceContext]:
            found: dict[int, TraceContext] = {}
            for start in range(0, len(ids), CHUNK):
                wanted = self._table.c.notification_id.in_(ids[start : start + CHUNK])
                rows: Any = connection.execute(select(self._table).where(wanted))
                found.update({row.notification_id: TraceContext(row.traceparent, row.tracestate) for row in rows})
            return found

        return await self._database.run(read)
