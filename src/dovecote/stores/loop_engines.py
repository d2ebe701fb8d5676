"""PostgreSQL's engines, one for each event loop, with connections of their own or without any.

An application may work from many threads with a loop in each, and an engine's first connection waits on a lock of the
loop that it was first used in. Mostly there is no pool: nothing has to be given back when a loop ends.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from sqlalchemy import URL


class LoopEngines:
    """The engines of one database. With `pool_size` each loop keeps so many connections until it releases them.

    `keeps_statements` is whether what was prepared is used again: not behind a pooler that gives each transaction
    another connection of the server.
    """

    def __init__(self, url: URL, *, pool_size: int, keeps_statements: bool) -> None:
        self._url = url
        self._pool_size = pool_size
        self._keeps_statements = keeps_statements
        self._engines: dict[AbstractEventLoop, AsyncEngine] = {}
        self._lock = threading.Lock()

    def engine(self) -> AsyncEngine:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            engine = self._engines.get(loop)
            if engine is None:
                # What a loop has left behind that has ended cannot be closed in it any more, only let go.
                for ended in [each for each in self._engines if each.is_closed()]:
                    del self._engines[ended]
                engine = self._engines[loop] = self._made()
            return engine

    def _made(self) -> AsyncEngine:
        pool: dict[str, Any] = {"poolclass": NullPool}
        if self._pool_size:
            pool = {"pool_size": self._pool_size, "max_overflow": 0, "pool_pre_ping": True, "pool_use_lifo": True}
        engine: AsyncEngine

        def connect() -> Any:
            how: dict[str, Any] = {}
            if not self._keeps_statements:
                # A name that no other process gives: the server's connection may be another's next.
                how = {
                    "prepared_statement_cache_size": 0,
                    "prepared_statement_name_func": lambda: f"dovecote_{uuid4().hex}",
                }
            dialect: Any = engine.sync_engine.dialect
            return dialect.dbapi.connect(async_creator_fn=self._connect, **how)

        url = self._url.set(drivername="postgresql+asyncpg", query={})
        engine = create_async_engine(url, creator=connect, hide_parameters=True, **pool)
        return engine

    async def _connect(self) -> Any:
        # The driver reads the URL itself, as it does for a worker: it knows libpq's parameters, such as sslmode, and
        # SQLAlchemy would not.
        import asyncpg  # noqa: PLC0415 (an extra)

        kept = {} if self._keeps_statements else {"statement_cache_size": 0}
        return await asyncpg.connect(self._url.render_as_string(hide_password=False), **kept)

    async def release(self) -> None:
        """Give back the connections of the running loop."""
        with self._lock:
            engine = self._engines.pop(asyncio.get_running_loop(), None)
        if engine is not None:
            await engine.dispose()

    async def close(self) -> None:
        """Give back every connection; those of other loops that run are closed in those."""
        await self.release()
        with self._lock:
            others, self._engines = self._engines, {}
        for loop, engine in others.items():
            if self._pool_size and loop.is_running():
                asyncio.run_coroutine_threadsafe(engine.dispose(), loop)
