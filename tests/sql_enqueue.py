"""The same notifications through Python's enqueue and through the functions in the database, side by side.

Both run in savepoints that are rolled back, so one database serves any number of comparisons.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dovecote.errors import DovecoteError, FileTooLarge, InvalidNotification, UnknownBot, UnknownFile
from dovecote.model import Attachment, Notification, Priority
from dovecote.stores.enqueue import Enqueuer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dovecote.stores.database import Database

SQLSTATES = {
    InvalidNotification: "22023",
    UnknownBot: "42704",
    UnknownFile: "42704",
    FileTooLarge: "54000",
}


@dataclass(frozen=True)
class Written:
    """What is in the database after it: ids by their rank, so that two tries can be compared."""

    ids: list[int]
    notifications: list[dict[str, Any]]
    keys: list[dict[str, Any]]
    attachments: list[dict[str, Any]]


@dataclass(frozen=True)
class Refused:
    """Which of them was refused, for which field, as what."""

    index: int | None
    field: str
    sqlstate: str
    message: str = ""

    def __eq__(self, other: object) -> bool:
        """The words are each language's own."""
        if not isinstance(other, Refused) or self.sqlstate != other.sqlstate:
            return False
        where = {(self.index, self.field), (other.index, other.field)}
        return len(where) == 1 or (self.sqlstate != SQLSTATES[InvalidNotification] and (None, "") in where)

    __hash__ = None  # type: ignore[assignment]  # the words do not count


class BothWays:
    """An outbox on PostgreSQL, written by Python and by SQL through one connection."""

    def __init__(self, connection: Connection, database: Database) -> None:
        self.connection = connection
        self.enqueuer = Enqueuer(database)

    def by_python(self, notifications: Sequence[Notification]) -> Written | Refused:
        """What Python's enqueue does of it."""
        savepoint = self.connection.begin_nested()
        try:
            return self._written(self.enqueuer.write(self.connection, notifications))
        except DovecoteError as error:
            return _refused_by_python(error)
        finally:
            savepoint.rollback()

    def by_sql(self, notifications: Sequence[Mapping[str, Any]]) -> Written | Refused:
        """What `dovecote.enqueue_many` does of it."""
        savepoint = self.connection.begin_nested()
        statement = text("SELECT * FROM dovecote.enqueue_many(CAST(:given AS jsonb))")
        try:
            ids = self.connection.execute(statement, {"given": json.dumps(notifications)}).scalars()
            return self._written(list(ids))
        except DBAPIError as error:
            return refused_by_sql(error.orig)
        finally:
            savepoint.rollback()

    def both(self, *notifications: Notification) -> tuple[Written | Refused, Written | Refused]:
        """Python's and SQL's."""
        return self.by_python(notifications), self.by_sql([in_json(each) for each in notifications])

    def _written(self, ids: list[int]) -> Written:
        rank = {id_: place for place, id_ in enumerate(sorted(set(ids)))}

        def rows(table: str, id_: str, order: str) -> list[dict[str, Any]]:
            found = self.connection.execute(text(f"SELECT * FROM dovecote.{table} ORDER BY {order}"))  # noqa: S608
            return [{**row, id_: rank[row[id_]]} for row in found.mappings() if row[id_] in rank]

        return Written(
            [rank[id_] for id_ in ids],
            rows("notification", "id", "id"),
            rows("notification_key", "notification_id", "bot_id, key"),
            rows("attachment", "notification_id", "notification_id, field"),
        )


@contextmanager
def both_ways(url: str, database: Database) -> Iterator[BothWays]:
    """On a migrated database whose clock stands still."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        yield BothWays(connection, database)
    engine.dispose()


def in_json(notification: Notification) -> dict[str, Any]:
    """A notification as `dovecote.enqueue_many` takes it; a field that is as usual is left out."""
    usual = {each.name: each.default for each in fields(Notification)}
    given = {each.name: getattr(notification, each.name) for each in fields(notification)}
    written = {name: value for name, value in given.items() if name == "bot" or value != usual[name]}
    files: dict[str, int] = {}
    written["params"] = _without_files(given["params"], "", files)
    if files:
        written["files"] = files
    if isinstance(written.get("priority"), Priority):
        written["priority"] = written["priority"].name.lower()
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in written.items()}


def _without_files(value: Any, field: str, files: dict[str, int]) -> Any:
    """`value` without what is an Attachment in it, which goes into `files` under its place."""
    if isinstance(value, dict):
        places = {name: f"{field}.{name}" if field else name for name in value}
        files |= {places[name]: int(str(inner.file)) for name, inner in value.items() if isinstance(inner, Attachment)}
        return {
            name: _without_files(inner, places[name], files)
            for name, inner in value.items()
            if not isinstance(inner, Attachment)
        }
    if isinstance(value, list):
        return [_without_files(inner, f"{field}[{number}]", files) for number, inner in enumerate(value)]
    return value


def refused_by_sql(error: BaseException | None) -> Refused:
    """What the server's error says; anything but a refusal of ours is raised again."""
    assert isinstance(error, psycopg.Error)
    if error.diag.schema_name != "dovecote" or error.diag.column_name is None:
        raise error
    assert error.diag.message_hint
    message = error.diag.message_primary or ""
    index = re.match(r"notification ([0-9]+): ", message)
    assert f"{error.diag.column_name}: " in message
    return Refused(None if index is None else int(index[1]), error.diag.column_name, error.diag.sqlstate or "", message)


def _refused_by_python(error: DovecoteError) -> Refused:
    sqlstate = SQLSTATES[type(error)]
    if isinstance(error, InvalidNotification):
        return Refused(error.index, error.field, sqlstate, str(error))
    # Python's other errors have no field to ask for, and not all of them an index.
    return Refused(None, "", sqlstate, str(error))


def one(connection: psycopg.Connection, statement: str, *parameters: Any) -> Any:
    """The only value of the only row."""
    ((value,),) = connection.execute(statement, parameters).fetchall()
    return value
