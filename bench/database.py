"""The PostgreSQL 18 that all who need one share, set up as one would in production, from the tests' own wheel.

Durable: fsync and synchronous_commit are on, for Dovecote and its peers alike.
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from bench.processes import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from databases import connect
from servers import PostgresServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SETTINGS",
    "Counts",
    "connect",
    "counted",
    "cpu_seconds",
    "free_port",
    "fresh_database",
    "postgresql",
    "scalar",
]

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "max_connections": "100",
}
SETTLE_SECONDS = 5.0
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
DEAD_TUPLES = "SELECT coalesce(sum(n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"


@contextlib.contextmanager
def postgresql() -> Iterator[PostgresServer]:
    """A server of one's own during the body of the `with`."""
    with PostgresServer(18, fsync=True, settings=SETTINGS) as server:
        yield server


@contextlib.contextmanager
def fresh_database(server: PostgresServer) -> Iterator[str]:
    """An empty database during the body of the `with`; answers its URL."""
    url = server.create_database()
    try:
        yield url
    finally:
        server.drop_database(url)


@dataclass(slots=True)
class Counts:
    """What a stretch of work asked of the database: clients' statements, bytes of WAL, dead tuples, processor seconds.

    A dead tuple is a row's version that an update or a delete has left behind, whatever has cleaned it up since.
    """

    statements: int = 0
    wal_bytes: int = 0
    dead_tuples: int = 0
    cpu_seconds: float = 0.0


@contextlib.contextmanager
def counted(server: PostgresServer, url: str) -> Iterator[Counts]:
    """Count during the body of the `with`. Statistics are fresh and dirty pages written before it begins."""
    with connect(url) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    counts = Counts()
    dead_before = _dead_tuples(url)
    before = int(scalar(server.url, "SELECT pg_current_wal_lsn() - '0/0'"))
    server.forget_statements(url)
    cpu_before = cpu_seconds(server.pid)
    yield counts
    counts.cpu_seconds = cpu_seconds(server.pid) - cpu_before
    counts.statements = server.statement_count(url)
    counts.wal_bytes = int(scalar(server.url, "SELECT pg_current_wal_lsn() - '0/0'")) - before
    counts.dead_tuples = _dead_tuples(url) - dead_before


def _dead_tuples(url: str) -> int:
    """How many there were so far. Backends tell of theirs when they end, so this waits until no other is there."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while scalar(url, OTHERS) and time.monotonic() < deadline:
        time.sleep(0.05)
    return int(scalar(url, DEAD_TUPLES))


def cpu_seconds(pid: int) -> float:
    """What all processes of the server of that pid have used so far, those that have ended included."""
    postmaster = psutil.Process(pid)
    own = postmaster.cpu_times()
    used = own.user + own.system + own.children_user + own.children_system
    for child in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended, and the postmaster will have counted it
            times = child.cpu_times()
            used += times.user + times.system
    return float(used)


def scalar(url: str, query: str) -> Any:
    """The one value that `query` has for an answer."""
    with connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise LookupError(f"no row for: {query}")
    return row[0]
