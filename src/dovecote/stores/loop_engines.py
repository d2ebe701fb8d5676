"""PostgreSQL's engines, one for each event loop, with connections of their own or without any.

An application may work from many threads with a loop in each, and an engine's first connection waits on a lock of the
loop that it was first used in. Mostly there is no pool: nothing has to be given back when a loop ends. Where there is
one, a loop that ends gives it back: whatever runs a loop to its end (`asyncio.run`, a `Runner`, asgiref) closes the
asynchronous generators that are open in it, and one of ours waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncGenerator

    from sqlalchemy import URL

LAST_WORD = 2.0
"""Seconds that giving back connections may take as a loop ends."""


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
        self._guards: dict[AbstractEventLoop, AsyncGenerator[None]] = {}
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
                    self._guards.pop(ended, None)
                engine = self._engines[loop] = self._made()
                if self._pool_size:
                    self._guards[loop] = _begun(self._given_back(loop, engine))
            return engine

    async def _given_back(self, loop: AbstractEventLoop, engine: AsyncEngine) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._lock:
                if self._engines.get(loop) is engine:
                    del self._engines[loop]
                    self._guards.pop(loop, None)
            with contextlib.suppress(TimeoutError, SQLAlchemyError, OSError):  # a server that is gone needs no goodbye
                async with asyncio.timeout(LAST_WORD):
                    await engine.dispose()

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
        loop = asyncio.get_running_loop()
        with self._lock:
            engine, guard = self._engines.pop(loop, None), self._guards.pop(loop, None)
        if guard is not None:
            await guard.aclose()
        elif engine is not None:
            await engine.dispose()

    async def close(self) -> None:
        """Give back every connection; those of other loops that run are closed in those."""
        await self.release()
        with self._lock:
            others, self._engines = self._engines, {}
            guards, self._guards = self._guards, {}
        for loop in others:
            if loop in guards and loop.is_running():
                asyncio.run_coroutine_threadsafe(guards[loop].aclose(), loop)


def _begun(guard: AsyncGenerator[None]) -> AsyncGenerator[None]:
    """The generator, run as far as it waits: from then on the loop knows of it."""
    try:
        guard.__anext__().send(None)
    except StopIteration:
        return guard
    raise RuntimeError("the guard of an engine has nothing to wait for")
