"""Indexes of large tables on PostgreSQL, built behind the migration that adds them, while everybody writes on.

CREATE INDEX in the migration's transaction would let all workers wait until the whole table is read. Built
concurrently it waits for open transactions and holds up nobody. What is cut off leaves an index that is not valid; the
next who migrates drops that one and builds it anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dovecote.errors import NotMigrated

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

LARGE_TABLE = 64 * 1024 * 1024
"""Bytes from which on a table is indexed behind its migration; below, writers wait for some tenths of a second."""

_BUILD: Final = {
    "history_whole": text(
        "CREATE INDEX CONCURRENTLY history_whole ON dovecote.history (bot_id, outcome, settled_at)"
        " WHERE erased_at IS NULL"
    ),
    "history_emptied": text(
        "CREATE INDEX CONCURRENTLY history_emptied ON dovecote.history (bot_id, outcome, settled_at)"
        " WHERE erased_at IS NOT NULL"
    ),
}
_DROP: Final = {
    "history_whole": text("DROP INDEX CONCURRENTLY IF EXISTS dovecote.history_whole"),
    "history_emptied": text("DROP INDEX CONCURRENTLY IF EXISTS dovecote.history_emptied"),
}
_VALID: Final = text("""
SELECT class.relname FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid
WHERE index.indrelid = to_regclass('dovecote.history') AND index.indisvalid
""")
_BUILDING: Final = text(
    "SELECT count(*) FROM pg_stat_progress_create_index WHERE relid = to_regclass('dovecote.history')"
)
_BUILT_BY_ANOTHER: Final = {"42P07", "23505"}


async def build_missing(engine: AsyncEngine | None) -> None:
    """Build those that are missing or were left half built; those that another builds at the moment are left to it."""
    if engine is None:
        return
    async with engine.connect() as opened:
        connection = await opened.execution_options(isolation_level="AUTOCOMMIT")
        valid = set((await connection.execute(_VALID)).scalars())
        for name in sorted(_BUILD.keys() - valid):
            if (await connection.execute(_BUILDING)).scalar_one():
                return
            try:
                await connection.execute(_DROP[name])
                await connection.execute(_BUILD[name])
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _BUILT_BY_ANOTHER:
                    raise


def check_built(connection: Connection) -> None:
    """Raise NotMigrated where one is missing: without it the whole history would be read again and again."""
    valid = set(connection.execute(_VALID).scalars())
    missing = sorted(_BUILD.keys() - valid)
    if missing:
        raise NotMigrated(
            f"an index of the history is not built yet ({', '.join(missing)}): wait for the `dovecote migrate` that"
            " builds it, or run it again."
        )
