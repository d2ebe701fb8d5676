"""How the database is: its clock, what holds old row versions, how much of the tables is dead, whether LISTEN works."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import text

from dovecote.model import Bloat, DatabaseVitals, OldSnapshot
from dovecote.stores.clock import StoreClock
from dovecote.stores.tables import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from dovecote.stores.database import Database

# Whatever holds a snapshot: sessions, prepared transactions, and slots of replication, which have no time of their own.
SNAPSHOTS = text("""
SELECT * FROM (
    SELECT concat('process ', pid, ' (' || nullif(application_name, '') || ')', ', ' || state) AS holder,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
      FROM pg_stat_activity
     WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL
    SELECT 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::float8
      FROM pg_prepared_xacts WHERE database = current_database()
) AS held WHERE seconds IS NOT NULL ORDER BY seconds DESC LIMIT 1
""")
BLOAT = text("""
SELECT relname, n_live_tup, n_dead_tup,
       extract(epoch FROM clock_timestamp() - greatest(last_vacuum, last_autovacuum))::float8 AS cleaned
  FROM pg_stat_user_tables WHERE schemaname = 'dovecote' AND n_live_tup + n_dead_tup > 0
 ORDER BY n_dead_tup DESC, relname LIMIT 3
""")
CONNECTIONS = text("""
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('max_connections')::int
""")
HEARD_WITHIN = 5.0


class DatabaseHealth:
    """`ports.HealthStore` on either database. `now` is this machine's clock, in microseconds since the epoch."""

    def __init__(self, database: Database, *, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    async def vitals(self) -> DatabaseVitals:
        """See `ports.HealthStore.vitals`."""
        return await self._database.run(self._postgresql if self._database.is_postgresql else self._sqlite)

    def _postgresql(self, connection: Connection) -> DatabaseVitals:
        connection.execute(text("SELECT 1"))
        sent, asked = time.perf_counter(), self._now()
        theirs = StoreClock(self._database, self._now).now(connection)
        round_trip = time.perf_counter() - sent
        # It was read about half way between question and answer.
        ours = asked / 1e6 + round_trip / 2
        oldest = connection.execute(SNAPSHOTS).first()
        used, most = connection.execute(CONNECTIONS).one()
        return DatabaseVitals(
            version=f"PostgreSQL {connection.execute(text('SHOW server_version')).scalar_one()}",
            ahead=(theirs - EPOCH).total_seconds() - ours,
            round_trip=round_trip,
            oldest_snapshot=None if oldest is None else OldSnapshot(holder=oldest.holder, seconds=oldest.seconds),
            bloat=tuple(
                Bloat(
                    subject=f"table {row.relname}",
                    total=row.n_live_tup + row.n_dead_tup,
                    share=row.n_dead_tup / (row.n_live_tup + row.n_dead_tup),
                    last_cleaned=row.cleaned,
                )
                for row in connection.execute(BLOAT)
            ),
            connections=used,
            most_connections=most,
        )

    def _sqlite(self, connection: Connection) -> DatabaseVitals:
        sent = time.perf_counter()
        version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
        round_trip = time.perf_counter() - sent
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        free = connection.execute(text("PRAGMA freelist_count")).scalar_one()
        return DatabaseVitals(
            version=f"SQLite {version}",
            ahead=0.0,
            round_trip=round_trip,
            oldest_snapshot=None,
            bloat=(Bloat(subject="the file", total=pages, share=free / max(1, pages)),),
        )

    async def hears(self) -> bool | None:
        """See `ports.HealthStore.hears`."""
        if not self._database.is_postgresql:
            return None
        import asyncpg  # noqa: PLC0415 (an extra)

        url = self._database.url.render_as_string(hide_password=False)
        channel, heard = f"dovecote_doctor_{secrets.token_hex(8)}", asyncio.Event()
        listener = speaker = None
        try:
            async with asyncio.timeout(HEARD_WITHIN):
                listener = await asyncpg.connect(url, statement_cache_size=0)
                await listener.add_listener(channel, lambda *_: heard.set())
                speaker = await asyncpg.connect(url, statement_cache_size=0)
                await speaker.execute(f"NOTIFY {channel}")
                await heard.wait()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        finally:
            for connection in (listener, speaker):
                if connection is not None:
                    with suppress(Exception):  # it is of no use any more, and has said its word
                        await connection.close(timeout=1)
        return True
