"""Folding the counts of the history: the rows of a bot and an outcome become one, and the sum stays what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dovecote.stores.database import Database

AT_ONCE: Final = 20_000
"""So many rows are looked at in one transaction, those that stand apart first and last included."""
# Rows are never changed, only added and removed, so what another has folded meanwhile is skipped as it is gone.
FOLD = text("""
WITH held AS (
    SELECT id, bot_id, outcome, count FROM dovecote.history_count ORDER BY id LIMIT :at_once FOR UPDATE SKIP LOCKED
), several AS (
    SELECT bot_id, outcome, sum(count) AS count FROM held GROUP BY bot_id, outcome HAVING count(*) > 1
), gone AS (
    DELETE FROM dovecote.history_count AS each USING held JOIN several USING (bot_id, outcome) WHERE each.id = held.id
    RETURNING each.id
), folded AS (
    INSERT INTO dovecote.history_count (bot_id, outcome, count) SELECT bot_id, outcome, count FROM several
)
SELECT count(*) FROM gone
""")


class Counts:
    """`ports.CountStore` on either database. On SQLite there is a row for each already."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold(self) -> int:
        """See `ports.CountStore.fold`."""
        if not self._database.is_postgresql:
            return 0

        def fold(connection: Connection) -> int:
            return int(connection.execute(FOLD, {"at_once": AT_ONCE}).scalar_one())

        return await self._database.run(fold, write=True)
