"""Callers over Django's database connections, of PostgreSQL and of SQLite, whichever driver they use.

A connection of Django's belongs to a thread, and `django.db.connection` is another one in each. Django allows it in
no thread with an event loop; so under `await` everything happens in the thread that `sync_to_async` uses, where the
application has opened its `transaction.atomic`.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from dovecote.errors import UnsupportedConnection
from dovecote.stores.borrowed import OverDriver, as_connection
from dovecote.stores.callers import drive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from dovecote.stores.enqueue_statements import Query, Rows, Steps

T = TypeVar("T")


def is_djangos(connection: object) -> bool:
    """Whether it is a connection of Django's, or `django.db.connection`, which stands for one."""
    base = sys.modules.get("django.db.backends.base.base")
    utils = sys.modules.get("django.db.utils")
    if base is None or utils is None:
        return False
    # Not by its attributes: asking the stand-in for one would make the connection of this thread. Caches have such
    # stand-ins as well, of another kind of handler.
    kind = type(connection)
    if (kind.__module__, kind.__name__) == ("django.utils.connection", "ConnectionProxy"):
        return isinstance(vars(connection)["_connections"], utils.ConnectionHandler)
    return issubclass(kind, base.BaseDatabaseWrapper)


class DjangoCaller:
    """A database connection of Django's, in its own thread."""

    def __init__(self, connection: Any) -> None:
        """Take the connection. Raises UnsupportedConnection outside of `transaction.atomic`."""
        if not connection.in_atomic_block and connection.get_autocommit():
            raise UnsupportedConnection(
                f'the Django connection "{connection.alias}" is not in a transaction, so each statement would commit by'
                " itself: write `with transaction.atomic():` around; in async code, in a function that sync_to_async"
                " calls."
            )
        self._connection = connection
        self.dialect: str = connection.vendor
        # The driver's, since Django's own may lead elsewhere later, as in its tests. sqlite3's takes no weak reference.
        self.origin: object | None = None if connection.vendor == "sqlite" else connection.connection

    def run_blocking(self, steps: Steps[T]) -> T:
        """See `BlockingCaller.run_blocking`."""
        with self._connection.cursor() as cursor:

            def execute(query: Query) -> Rows:
                cursor.execute(query.statement.formatted, query.parameters)
                return cursor.fetchall() if cursor.description else ()

            return drive(steps, execute)

    def call_blocking(self, function: Callable[[Connection], T]) -> T:
        """See `BlockingCaller.call_blocking`."""
        return function(as_connection(OverDriver(self.dialect, self._fetch, self.run_blocking)))

    def _fetch(self, sql: str, arguments: Sequence[Any]) -> Rows:
        formatted = sql.replace("%", "%%")
        parameters: Any = list(arguments)
        if self.dialect == "sqlite":
            formatted = formatted.replace("?", "%s")
        else:
            # One parameter may stand in several places.
            formatted = re.sub(r"\$(\d+)", r"%(p\1)s", formatted)
            parameters = {f"p{number}": argument for number, argument in enumerate(arguments, start=1)}
        with self._connection.cursor() as cursor:
            cursor.execute(formatted, parameters)
            return cursor.fetchall() if cursor.description else ()


class AwaitedDjangoCaller:
    """The same under `await`."""

    def __init__(self, caller: DjangoCaller) -> None:
        """Take the connection as it is in Django's thread."""
        self._caller = caller
        self.dialect = caller.dialect
        self.origin = caller.origin

    @classmethod
    async def of(cls, connection: Any) -> AwaitedDjangoCaller:
        """Take the connection. Raises UnsupportedConnection outside of `transaction.atomic`."""
        from asgiref.sync import sync_to_async  # noqa: PLC0415 (Django brings it along)

        return cls(await sync_to_async(DjangoCaller)(connection))

    async def run(self, steps: Steps[T]) -> T:
        """See `Caller.run`."""
        from asgiref.sync import sync_to_async  # noqa: PLC0415 (Django brings it along)

        answer: T = await sync_to_async(self._caller.run_blocking)(steps)
        return answer

    async def call(self, function: Callable[[Connection], T]) -> T:
        """See `Caller.call`."""
        from asgiref.sync import sync_to_async  # noqa: PLC0415 (Django brings it along)

        answer: T = await sync_to_async(self._caller.call_blocking)(function)
        return answer
