"""The functions in the database with which whoever speaks SQL enqueues: what they are told of the settings.

Their text stands in `migrations/functions`. The settings are a program's and the functions are the database's, so
what both must know is written into the database by whoever migrates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from dovecote.stores.database import MIGRATION_LOCK
from dovecote.stores.tables import MICROSECOND

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import Connection

    from dovecote.stores.database import Database

TOLD = text("""
SELECT CAST(extract(epoch FROM dovecote.key_window()) * 1000000 AS bigint), dovecote.largest_upload()
""")
WINDOW = """
CREATE OR REPLACE FUNCTION dovecote.key_window() RETURNS interval LANGUAGE sql IMMUTABLE
AS $$SELECT interval '{} microseconds'$$
"""
LARGEST = """
CREATE OR REPLACE FUNCTION dovecote.largest_upload() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$SELECT bigint '{}'$$
"""


async def tell_settings(database: Database, *, key_window: timedelta, largest_upload: int) -> None:
    """Let the functions of a migrated database remember keys for `key_window` and take files of `largest_upload` bytes.

    Nothing is written where they do so already, and on SQLite, which has no functions, nothing is done. Raises
    StoreUnavailable, also when the user does not own the functions.
    """
    if not database.is_postgresql:
        return
    wanted = (key_window // MICROSECOND, largest_upload)
    statements = (WINDOW.format(wanted[0]), LARGEST.format(wanted[1]))

    def tell(connection: Connection) -> None:
        if tuple(connection.execute(TOLD).one()) == wanted:
            return
        # Two that replace a function at one moment would hinder each other.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        for statement in statements:
            connection.exec_driver_sql(statement)

    await database.run(tell, write=True)
