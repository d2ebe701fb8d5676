"""SQLAlchemy Core over the transaction that an application has open, whichever connection it has.

What is written as a function over a `Connection` runs over the application's connection as well: over SQLAlchemy's own
as it is, over sqlite3 and asyncpg by compiling each statement for them. As in `enqueue_statements`, no codec and no
factory of the application's comes between: on asyncpg every parameter and every answer is text, the answer as JSON.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from sqlalchemy import Boolean
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from dovecote.stores.column_types import Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Dialect, Executable, Result
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.types import TypeEngine

    from dovecote.stores.enqueue_statements import Rows, Steps

T = TypeVar("T")

# The dialect writes each parameter with its type: $1::BIGINT.
_TYPED = re.compile(r"\$(\d+)::")
_AS_JSON = "WITH answered AS (%s) SELECT CAST(to_json(answered) AS text) FROM answered"


def is_answered(sql: str) -> bool:
    """Whether a statement that `OverDriver` fetches on PostgreSQL answers rows."""
    return sql.startswith(_AS_JSON[: _AS_JSON.index("%")])


class Borrowed(Protocol):
    """A connection of the application's, as far as our functions use one: `cast` it to a Connection for them."""

    def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]:
        """See `Connection.execute`."""

    def run(self, steps: Steps[T]) -> T:
        """Run steps of `enqueue_statements`."""


def as_connection(borrowed: Borrowed) -> Connection:
    """The same, for a function over a Connection that does nothing else with it than `execute`."""
    return cast("Connection", borrowed)


class OverSQLAlchemy:
    """SQLAlchemy's own connection. `run` is what runs steps over it."""

    def __init__(self, connection: Connection, run: Callable[[Connection, Steps[Any]], Any]) -> None:
        self._connection = connection
        self._run = run

    def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]:
        """See `Borrowed.execute`. A cursor on the server, which the application may have chosen, cannot write."""
        return self._connection.execute(statement, parameters, execution_options={"stream_results": False})

    def run(self, steps: Steps[T]) -> T:
        """See `Borrowed.run`."""
        answer: T = self._run(self._connection, steps)
        return answer


class OverDriver:
    """A driver's own connection: `fetch` executes SQL with positional parameters, `run` runs steps."""

    def __init__(
        self, dialect: str, fetch: Callable[[str, Sequence[Any]], Rows], run: Callable[[Steps[Any]], Any]
    ) -> None:
        self._is_postgresql = dialect == "postgresql"
        dialects: tuple[Any, Any] = (SQLiteDialect_pysqlite, PGDialect_asyncpg)
        self._dialect: Dialect = dialects[self._is_postgresql]()
        self._fetch = fetch
        self._run = run

    def run(self, steps: Steps[T]) -> T:
        """See `Borrowed.run`."""
        answer: T = self._run(steps)
        return answer

    def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]:
        """See `Borrowed.execute`."""
        statement_: Any = statement
        columns = list(statement_.exported_columns)
        each_alone = parameters if isinstance(parameters, list) else [parameters]
        rows: list[Sequence[Any]] = []
        for given in each_alone:
            rows += self._rows(statement_, given, answers=bool(columns))
        types = [column.type for column in columns]
        read = [tuple(self._value(type_, value) for type_, value in zip(types, row, strict=True)) for row in rows]
        return IteratorResult(SimpleResultMetaData([column.key for column in columns]), iter(read))

    def _rows(self, statement: Any, given: Mapping[str, Any] | None, *, answers: bool) -> Sequence[Sequence[Any]]:
        compiled: SQLCompiler = statement.compile(
            dialect=self._dialect,
            column_keys=None if given is None else list(given),
            compile_kwargs={"render_postcompile": True},
        )
        values = compiled.construct_params(given)
        names = compiled.positiontup or []
        if not self._is_postgresql:
            arguments = [self._bound(compiled, name, values[name]) for name in names]
            rows = self._fetch(compiled.string, arguments)
            return [tuple(map(_text, row)) for row in rows] if answers else []
        sql = _TYPED.sub(r"$\1::text::", compiled.string)
        arguments = [_written(self._bound(compiled, name, values[name])) for name in names]
        if not answers:
            self._fetch(sql, arguments)
            return []
        found = self._fetch(_AS_JSON % sql, arguments)
        return [tuple(value for _, value in json.loads(row[0], object_pairs_hook=tuple)) for row in found]

    def _bound(self, compiled: SQLCompiler, name: str, value: Any) -> Any:
        """The value as its type has the driver take it: an instant on SQLite is a number."""
        type_: TypeEngine[Any] = compiled.binds[name].type if name in compiled.binds else cast("Any", None)
        if isinstance(value, datetime) or isinstance(type_, Instant):
            return Instant().process_bind_param(value, self._dialect)
        return value

    def _value(self, type_: TypeEngine[Any], value: Any) -> Any:
        if value is None:
            return None
        if isinstance(type_, Instant):
            given = datetime.fromisoformat(value) if self._is_postgresql else value
            return type_.process_result_value(given, self._dialect)
        return bool(value) if isinstance(type_, Boolean) else value


def _text(value: Any) -> Any:
    # An application may have told its sqlite3 connection to answer bytes; no column that is asked for has any.
    return value.decode() if isinstance(value, bytes) else value


def _written(value: Any) -> str | None:
    """A parameter as the text that PostgreSQL reads it from."""
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
