"""The same INSERT by itself: the rows that Dovecote wrote, into tables with the same columns, indexes and constraints.

`INSERT ... SELECT ... FROM unnest(...)` per table in one transaction, through the same driver, in the same order, some
thousand rows at a time. A column that has one value throughout is sent as one value. The ids are the database's to
give, as they were for Dovecote. This is what the rows cost when nothing is checked and nothing is built.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from bench.dovecote_run import tables
from bench.work import measured_process, result_of, stopwatch

# Faster than all in one statement, which sends some megabytes before the server begins.
ROWS_AT_ONCE = 10_000

COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attidentity <> '' FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


async def run(url: str, notifications: int, *, keyed: bool, singly: bool = False) -> dict[str, Any]:
    """Copy the structure of the outbox's tables, then insert their rows into the copies, which is what is measured.

    With `singly` each notification's rows in a transaction of their own.
    """
    connection = await asyncpg.connect(url)
    inserts = [await _prepare(connection, table) for table in tables(keyed=keyed)]
    at_once = 1 if singly else ROWS_AT_ONCE
    with stopwatch() as watch:
        if singly:
            for number in range(notifications):
                async with connection.transaction():
                    await _insert(connection, inserts, range(number, number + 1), at_once)
        else:
            async with connection.transaction():
                await _insert(connection, inserts, range(len(inserts[0][2][0])), at_once)
    await connection.close()
    return result_of(watch, notifications)


async def _insert(
    connection: Any, inserts: list[tuple[str, list[Any], list[list[Any]]]], rows: range, at_once: int
) -> None:
    """The rows of that range, into one table after the other."""
    for statement, constants, columns in inserts:
        for start in range(rows.start, rows.stop, at_once):
            part = slice(start, min(start + at_once, rows.stop))
            await connection.execute(statement, *constants, *(column[part] for column in columns))


async def _prepare(connection: Any, table: str) -> tuple[str, list[Any], list[list[Any]]]:
    """A copy of `table` without rows; answers the statement that fills it, its constants and its columns."""
    copy = f"{table}_copy"
    await connection.execute(f"CREATE TABLE {copy} (LIKE {table} INCLUDING ALL)")
    described = await connection.fetch(COLUMNS, table)
    names = [f'"{name}"' for name, _, is_identity in described if not is_identity]
    types = [type_ for _, type_, is_identity in described if not is_identity]
    rows = await connection.fetch(f"SELECT {', '.join(names)} FROM {table}")  # noqa: S608 (names from the catalogue)
    constants, columns, taken, unnested = [], [], {}, []
    for name, type_, values in zip(names, types, zip(*rows, strict=True), strict=True):
        if all(value == values[0] for value in values):
            constants.append(values[0])
            taken[name] = f"${len(constants)}::{type_}"
        else:
            columns.append(list(values))
            taken[name] = name
            unnested.append((name, type_))
    arrays = [f"${len(constants) + n}::{type_}[]" for n, (_, type_) in enumerate(unnested, start=1)]
    statement = (
        f"INSERT INTO {copy} ({', '.join(names)}) SELECT {', '.join(taken.values())} "  # noqa: S608 (as above)
        f"FROM unnest({', '.join(arrays)}) AS r ({', '.join(name for name, _ in unnested)})"
    )
    return statement, constants, columns


if __name__ == "__main__":
    measured_process(run)
