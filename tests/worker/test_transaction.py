"""`Dovecote.transaction()`: what becomes of it when whoever asked for it is cut off."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from migrated import migrate

from dovecote import Dovecote
from dovecote.stores import own_transaction
from dovecote.stores.database import to_the_end

if TYPE_CHECKING:
    from pathlib import Path


async def test_whoever_is_cut_off_while_it_begins_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    migrate(url)
    opened: list[sqlite3.Connection] = []
    begin = own_transaction._begun

    def kept(path: str) -> sqlite3.Connection:
        # Somebody still knows it: it is not closed for the reason that nobody does.
        opened.append(begin(path))
        return opened[-1]

    monkeypatch.setattr(own_transaction, "_begun", kept)
    writer = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    async with Dovecote(url) as made:
        beginning = asyncio.create_task(_begin(made))
        await asyncio.sleep(0.1)  # it is in its thread then, and waits for the writer
        beginning.cancel()
        await asyncio.sleep(0)
        beginning.cancel()
        await asyncio.sleep(0)
        assert not beginning.done()
        writer.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await beginning

        (connection,) = opened
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
        writer.execute("PRAGMA busy_timeout = 0")
        writer.execute("BEGIN IMMEDIATE")
        writer.close()


async def _begin(made: Dovecote) -> Any:
    async with made.transaction():
        raise AssertionError("it was cut off before")


async def test_what_fails_while_it_is_cut_off_is_still_a_cancellation() -> None:
    go_on = threading.Event()

    def fail() -> None:
        go_on.wait(10)
        raise OSError("too late to be told")

    work = asyncio.create_task(to_the_end(fail))
    await asyncio.sleep(0)
    work.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await work
