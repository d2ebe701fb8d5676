"""The store's time for ordinary statements: the database's own on PostgreSQL, an injected one on SQLite."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from dovecote.stores.tables import EPOCH, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from dovecote.stores.database import Database


def real_microseconds() -> int:
    """Microseconds since the epoch by this machine's clock, or by the one that stands in for it."""
    return time.time_ns() // 1000 if _stand_in is None else _stand_in()


_stand_in: Callable[[], int] | None = None


@contextmanager
def time_from(microseconds: Callable[[], int]) -> Iterator[None]:
    """Let every store on SQLite in this process have this time meanwhile, those that are there already included.

    For an application's own tests: whatever Dovecote it has made for itself must agree with the test's.
    """
    global _stand_in  # noqa: PLW0603 (the machine's clock is one for the process, and so is what stands in for it)
    before, _stand_in = _stand_in, microseconds
    try:
        yield
    finally:
        _stand_in = before


class StoreClock:
    """What time it is in a store. PostgreSQL asks `dovecote.clock()` and never looks at `microseconds`."""

    def __init__(self, database: Database, microseconds: Callable[[], int]) -> None:
        self._is_postgresql = database.is_postgresql
        self._microseconds = microseconds

    def now(self, connection: Connection) -> datetime:
        """The store's time now, as an aware datetime in UTC."""
        if self._is_postgresql:
            now: datetime = connection.execute(select(func.dovecote.clock(type_=Instant()))).scalar_one()
            return now
        return EPOCH + timedelta(microseconds=self._microseconds())
