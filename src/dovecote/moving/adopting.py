"""Adopting: what waits in an old table comes into the outbox, each row once.

A batch is one transaction: its rows are read and locked, enqueued under keys that name them, and marked or deleted.
So a row that was adopted and one that the old path sends are never the same, whenever either of them dies. On
PostgreSQL a row that the old path holds is left alone; it waits for the next time, if it is then still waiting. Rows
are read in the order of their ids from a cursor on, so that each batch costs the same however long the table is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Integer, UniqueConstraint, func, select, text

from dovecote.errors import InvalidConfiguration, InvalidNotification, UnknownBot
from dovecote.moving.reading import condition, found, readable, reflected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Row, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from dovecote.app import Dovecote
    from dovecote.moving.old_table import OldTable
    from dovecote.moving.reading import Found


@dataclass(slots=True)
class Adopted:
    """How far it is. `count` rows are in the outbox now, or were; `refused` are ids with what is wrong with each.

    `last` is the id of the last row that was read, to go on after.
    """

    count: int = 0
    refused: list[tuple[Any, str]] = field(default_factory=list)
    last: Any = None


async def adopt(
    dovecote: Dovecote, old: OldTable, *, after: Any = None, told: Callable[[Adopted], None] = lambda _: None
) -> Adopted:
    """Adopt every row that waits, from the one after the id `after` on. `told` hears after each batch how far it is.

    Rows that cannot be sent as they are stay as they are. Raises InvalidConfiguration for a table or column that is
    not there, UnknownBot, StoreUnavailable; what was committed until then is adopted, and adopting again is harmless.
    """
    names = [bot.name for bot in await dovecote.bots()]
    if old.bot not in names:
        raise UnknownBot(old.bot, names)
    async with dovecote.database.transaction() as connection:
        await _run(connection, lambda plain: _check(plain, old, after))
    so_far = Adopted(last=after)
    while await _batch(dovecote, old, so_far):
        told(so_far)
    return so_far


async def _batch(dovecote: Dovecote, old: OldTable, so_far: Adopted) -> bool:
    """Adopt one batch; False where there was none."""
    async with dovecote.database.transaction() as connection:
        table, rows = await _run(connection, lambda plain: _read(plain, old, so_far.last))
        if not rows:
            return False
        refused: list[tuple[Any, str]] = []
        taken: list[Found] = []
        for row in rows:
            try:
                taken.append(found(row, old))
            except InvalidNotification as error:
                refused.append((row._mapping[old.columns.id], str(error)))  # noqa: SLF001 (SQLAlchemy's documented name)
        await _enqueue(dovecote, connection, taken, refused)
        await _run(connection, lambda plain: _afterwards(plain, table, old, [each.id for each in taken]))
    so_far.count += len(taken)
    so_far.refused += refused
    so_far.last = rows[-1]._mapping[old.columns.id]  # noqa: SLF001 (SQLAlchemy's documented name)
    return True


async def _enqueue(
    dovecote: Dovecote, connection: AsyncConnection | Connection, taken: list[Found], refused: list[tuple[Any, str]]
) -> None:
    """Enqueue them together; one that cannot be is taken out, and nothing has been written then."""
    while taken:
        try:
            await dovecote.enqueue(connection, [each.notification for each in taken])
        except InvalidNotification as error:
            if error.index is None:
                raise
            # The row is named by its id; its place in this batch tells nobody anything.
            words = str(error).removeprefix(f"notification {error.index}: ")
            refused.append((taken.pop(error.index).id, words))
        else:
            return


def _read(connection: Connection, old: OldTable, after: Any) -> tuple[Table, Sequence[Row[Any]]]:
    table = reflected(connection, old)
    id_ = table.c[old.columns.id]
    statement = (
        select(*readable(connection, table, old.columns.model_dump().values()))
        .where(text(f"({old.waiting.where})"))
        .order_by(id_)
        .limit(old.waiting.batch)
        .with_for_update(skip_locked=True)
    )
    if after is not None:
        statement = statement.where(id_ > after)
    return table, connection.execute(statement).all()


def _check(connection: Connection, old: OldTable, after: Any) -> None:
    """Raises InvalidConfiguration for a condition or an `after` that the database would not take.

    And where two waiting rows have one id: they would share a key, and one be lost.
    """
    table = reflected(connection, old)
    id_ = table.c[old.columns.id]
    if after is not None and isinstance(id_.type, Integer) and not isinstance(after, int):
        raise InvalidConfiguration([f'after: "{after}" is no id of "{old.table}", whose ids are numbers.'])
    waiting = text(f"({old.waiting.where})")
    with condition("waiting.where", old.waiting.where):
        connection.execute(select(id_).where(waiting).limit(1)).all()
    unique = [table.primary_key.columns.keys()]
    unique += [each.columns.keys() for each in table.constraints if isinstance(each, UniqueConstraint)]
    unique += [each.columns.keys() for each in table.indexes if each.unique and not each.dialect_kwargs]
    if [id_.name] in unique:
        return
    twice = connection.execute(select(id_).where(waiting).group_by(id_).having(func.count() > 1).limit(1)).all()
    if twice:
        value = twice[0][0]
        raise InvalidConfiguration(
            [f'columns.id: the column "{id_.name}" has the value {value!r} in several rows: name one that is unique.']
        )


def _afterwards(connection: Connection, table: Table, old: OldTable, ids: Sequence[Any]) -> None:
    rows = table.c[old.columns.id].in_(ids)
    if old.waiting.afterwards == "delete":
        connection.execute(table.delete().where(rows))
    elif old.waiting.afterwards == "mark":
        connection.execute(table.update().where(rows).values(dict(old.waiting.mark)))


async def _run(connection: AsyncConnection | Connection, function: Callable[[Connection], Any]) -> Any:
    return function(connection) if isinstance(connection, Connection) else await connection.run_sync(function)
