"""The same INSERT by itself: the rows that Dovecote wrote, into tables with the same columns, indexes and constraints.

One `INSERT ... SELECT ... FROM unnest(...)` per table in one transaction, through the same driver. The ids are the
database's to give, as they were for Dovecote. This is what the rows cost when nothing is checked and nothing is built.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from bench.dovecote_run import tables
from bench.work import measured_process, result_of, stopwatch

COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attidentity <> '' FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


async def run(url: str, notifications: int, *, keyed: bool) -> dict[str, Any]:
    """Copy the structure of the outbox's tables, then insert their rows into the copies, which is what is measured."""
    connection = await asyncpg.connect(url)
    inserts = [await _prepare(connection, table) for table in tables(keyed=keyed)]
    with stopwatch() as watch:
        async with connection.transaction():
            for statement, columns in inserts:
                await connection.execute(statement, *columns)
    await connection.close()
    return result_of(watch, notifications)


async def _prepare(connection: Any, table: str) -> tuple[str, list[list[Any]]]:
    """A copy of `table` without rows; answers the statement that fills it and its columns."""
    copy = f"{table}_copy"
    await connection.execute(f"CREATE TABLE {copy} (LIKE {table} INCLUDING ALL)")
    names, types = [], []
    for name, type_, is_identity in await connection.fetch(COLUMNS, table):
        if not is_identity:
            names.append(f'"{name}"')
            types.append(type_)
    # An array of arrays cannot be unnested into arrays, so these travel as their text.
    read = [f"{n}::text" if t.endswith("[]") else n for n, t in zip(names, types, strict=True)]
    sent = ["text" if t.endswith("[]") else t for t in types]
    taken = [f"c{i}::{t}" if t.endswith("[]") else f"c{i}" for i, t in enumerate(types)]
    rows = await connection.fetch(f"SELECT {', '.join(read)} FROM {table}")  # noqa: S608 (names from the catalogue)
    statement = (
        f"INSERT INTO {copy} ({', '.join(names)}) SELECT {', '.join(taken)} "  # noqa: S608 (as above)
        f"FROM unnest({', '.join(f'${i + 1}::{t}[]' for i, t in enumerate(sent))}) "
        f"AS r ({', '.join(f'c{i}' for i in range(len(names)))})"
    )
    return statement, [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]


if __name__ == "__main__":
    measured_process(run)
