"""Rows of the old table as notifications, and as what was sent. Its columns' types are the database's own."""

from __future__ import annotations

import contextlib
import json
import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import JSON, Date, DateTime, MetaData, Table, Text, cast, func, literal_column, type_coerce
from sqlalchemy.exc import DBAPIError, NoSuchTableError, ProgrammingError
from sqlalchemy.types import NullType

from dovecote.errors import InvalidConfiguration, InvalidNotification
from dovecote.model import Notification

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection, Row

    from dovecote.moving.old_table import OldTable

NUMBER = re.compile(r"-?[0-9]{1,18}")
LARGEST = 10**18


# What SQLite says of a statement that is wrong, under the same code as of a database that is busy.
_WRONG_ON_SQLITE = re.compile(r"no such |syntax error|unrecognized token|incomplete input|wrong number of arguments")


class Found(NamedTuple):
    """A row: its id, and what it asks for."""

    id: Any
    notification: Notification


def reflected(connection: Connection, old: OldTable) -> Table:
    """The old table as it is. Raises InvalidConfiguration where it, or a column of it, is not there."""
    schema, _, name = old.table.rpartition(".")
    try:
        table = Table(name, MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)
    except NoSuchTableError:
        raise InvalidConfiguration(
            [f'table: the outbox\'s database has no table "{old.table}": both have to be in one.']
        ) from None
    named = {f"columns.{field}": name for field, name in old.columns.model_dump().items() if name is not None}
    named |= {f"waiting.mark.{name}": name for name in old.waiting.mark}
    if old.sent is not None:
        named["sent.sent_at"] = old.sent.sent_at
    missing = [
        f'{field}: "{old.table}" has no column "{name}".' for field, name in named.items() if name not in table.c
    ]
    if missing:
        raise InvalidConfiguration(missing)
    return table


def readable(connection: Connection, table: Table, names: Iterable[str | None]) -> list[ColumnElement[Any]]:
    """The columns with these names as they are stored, each once: no value may keep the rows beside it from being read.

    SQLite keeps anything in a column of any type, and PostgreSQL instants and JSON that Python has no value for.
    """

    def plain(name: str) -> ColumnElement[Any]:
        column = table.c[name]
        if connection.dialect.name == "sqlite":
            return type_coerce(column, NullType())
        if isinstance(column.type, Date | DateTime):
            # As ISO 8601, whatever style of dates the session has.
            return func.to_jsonb(column).op("#>>")(literal_column("'{}'"))
        return cast(column, Text) if isinstance(column.type, JSON) else column

    return [plain(name).label(name) for name in dict.fromkeys(names) if name is not None]


@contextlib.contextmanager
def condition(where: str, sql: str) -> Iterator[None]:
    """Around what runs a condition of the file's. Raises InvalidConfiguration where the database cannot read it."""
    try:
        yield
    except DBAPIError as error:
        words = str(error.orig)
        if isinstance(error, ProgrammingError) or _WRONG_ON_SQLITE.search(words):
            raise InvalidConfiguration([f'{where}: "{sql}" is no condition that the database reads: {words}']) from None
        raise


def found(row: Row[Any], old: OldTable) -> Found:
    """What the row asks for. Raises InvalidNotification where a value of it cannot be read."""
    values = row._mapping  # noqa: SLF001 (SQLAlchemy's documented name)
    columns = old.columns
    id_ = values[columns.id]
    method, params = call_of(values, old)
    due_at = None if columns.due_at is None else instant(values[columns.due_at], columns.due_at)
    return Found(
        id_,
        Notification(
            bot=old.bot,
            chat_id=_known_chat(values[columns.chat_id], columns.chat_id),
            method=method,
            params=params,
            key=f"{old.table}-{id_}",
            due_at=due_at,
        ),
    )


def call_of(values: Mapping[Any, Any], old: OldTable) -> tuple[str, dict[str, Any]]:
    """The method and its parameters. Raises InvalidNotification."""
    columns = old.columns
    method = "sendMessage" if columns.method is None else str(values[columns.method])
    params: Any = {} if columns.params is None else values[columns.params] or {}
    if isinstance(params, str | bytes):
        try:
            params = json.loads(params)
        except (ValueError, RecursionError):  # it may be nested too deep
            raise InvalidNotification("params", f'the column "{columns.params}" holds no JSON.') from None
    if not isinstance(params, dict):
        raise InvalidNotification("params", f'the column "{columns.params}" holds no JSON object.')
    # The chat has a column of its own.
    params = {name: value for name, value in params.items() if name != "chat_id"}
    if columns.text is not None and values[columns.text] is not None:
        params["text"] = values[columns.text]
    return method, params


def _known_chat(value: Any, column: str) -> int | str:
    if value is None:
        raise InvalidNotification("chat_id", f'the column "{column}" is empty: nobody is known to send it to.')
    return chat_of(value)


def chat_of(value: Any) -> int | str:
    """A chat's number, however it is kept, or its @name."""
    if (
        isinstance(value, float | Decimal)
        and math.isfinite(value)
        and -LARGEST < value < LARGEST
        and value == int(value)
    ):
        value = int(value)
    text = str(value).strip()
    return int(text) if NUMBER.fullmatch(text) else text


def instant(value: Any, column: str) -> datetime | None:
    """An aware instant. Raises InvalidNotification for what is none."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float | Decimal):
            return datetime.fromtimestamp(float(value), UTC)
        read = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        raise InvalidNotification("due_at", f'the column "{column}" holds no instant: {value!r}.') from None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
