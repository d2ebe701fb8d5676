"""What SQLite alone can do to an outbox: another writer, a full disk, a killed process, a file that is none."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import LEASE, Outbox, at, delivered
from sqlalchemy import make_url

from dovecote.errors import InvalidConfiguration, NotMigrated, StoreUnavailable
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.sqlite import SQLiteOutbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.parametrize("outbox_database", ["sqlite"], indirect=True)

TABLES = ("bot", "notification", "history", "attempt")


async def everything(outbox: Outbox) -> list[Any]:
    return [await outbox.rows(table) for table in TABLES]


def sqlite_store(outbox: Outbox) -> SQLiteOutbox:
    assert isinstance(outbox.store, SQLiteOutbox)
    return outbox.store


async def test_another_writer_makes_it_unavailable_and_nothing_has_happened(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()
    before = await everything(outbox)
    store = SQLiteOutbox(outbox.database.url, clock=outbox._microseconds, patience=timedelta())
    with closing(sqlite3.connect(str(outbox.database.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable, match=r"x\.db cannot be used just now: database is locked"):
            await store.cycle([delivered(claimed)], claim=10, lease=LEASE)

    assert await everything(outbox) == before
    assert (await store.cycle([delivered(claimed)], claim=10, lease=LEASE)).lost == ()
    await store.close()


async def test_a_full_disk_makes_it_unavailable_and_nothing_has_happened(outbox: Outbox) -> None:
    store = sqlite_store(outbox)
    await outbox.put_rows([{"id": id_, "params": {"text": "x" * 2000}} for id_ in range(1, 101)])
    claimed = await outbox.claim(100)
    before = await everything(outbox)
    await store._in_thread(lambda: store._connected().execute("PRAGMA max_page_count = 1").fetchall())

    with pytest.raises(StoreUnavailable, match="database or disk is full"):
        await store.cycle([*map(delivered, claimed)], claim=100, lease=LEASE)

    assert await everything(outbox) == before
    # The next cycle has a connection of its own, without the limit.
    assert (await store.cycle([*map(delivered, claimed)], claim=100, lease=LEASE)).lost == ()
    assert len(await outbox.rows("history")) == 100


KILLED = """
import asyncio, os, signal, sys
from datetime import timedelta
from dovecote.model import Delivered, Failed, Settlement
from dovecote.stores.database import outbox_url
from dovecote.stores.sqlite import SQLiteOutbox

url, statement = sys.argv[1:]

def kill(sql):
    if sql.strip().startswith(statement):
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store = SQLiteOutbox(outbox_url(url))
    claimed = (await store.cycle([], claim=50, lease=timedelta(seconds=60))).claimed
    print(len(claimed), flush=True)
    await store._in_thread(lambda: store._connected().set_trace_callback(kill))
    settlements = [Settlement(each, Delivered((1,))) for each in claimed[:25]]
    settlements += [Settlement(each, Failed("refused"), timedelta(seconds=1)) for each in claimed[25:]]
    await store.cycle(settlements, claim=50, lease=timedelta(seconds=60))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO dovecote_history",
        "DELETE FROM dovecote_notification",
        "UPDATE dovecote_notification",
        "UPDATE dovecote_bot",
        "INSERT INTO dovecote_attempt",
        "COMMIT",
    ],
)
async def test_a_process_that_is_killed_in_mid_cycle_has_done_nothing(outbox: Outbox, statement: str) -> None:
    await outbox.put_rows([{"id": id_} for id_ in range(1, 101)])

    url = outbox.database.url.render_as_string()
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, url, statement, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output = await asyncio.wait_for(killed.communicate(), 60)

    assert (killed.returncode, *output) == (-signal.SIGKILL, b"50\n", b"")
    rows = await outbox.rows("notification")
    assert [(row.id, row.attempts, row.lease_token is None) for row in rows] == [
        *((id_, 1, False) for id_ in range(1, 51)),
        *((id_, 0, True) for id_ in range(51, 101)),
    ]
    assert [await outbox.rows("history"), await outbox.rows("attempt")] == [[], []]
    assert [(bot.version, bot.slots_given) for bot in await outbox.rows("bot")] == [(1, 50)]
    assert len(await outbox.claim(100)) >= 50


async def test_a_database_without_a_schema_says_how_to_make_one(outbox: Outbox, tmp_path: Path) -> None:
    store = SQLiteOutbox(outbox_url(f"sqlite:///{tmp_path}/empty.db"))
    with pytest.raises(NotMigrated, match=r"empty\.db has no Dovecote schema.*run `dovecote migrate`"):
        await store.cycle([], claim=10, lease=LEASE)
    await store.close()
    await outbox.put(1)
    await outbox.sql("ALTER TABLE dovecote_notification DROP COLUMN weight")
    with pytest.raises(NotMigrated, match="no such column"):
        await outbox.claim()


async def test_a_file_that_may_only_be_read_makes_it_unavailable(outbox: Outbox) -> None:
    await outbox.put(1)
    path = outbox.database.url.database
    store = SQLiteOutbox(make_url(f"sqlite:///file:{path}?mode=ro&uri=true"))

    with pytest.raises(StoreUnavailable, match="readonly"):
        await store.cycle([], claim=10, lease=LEASE)

    await store.close()


async def test_a_folder_that_is_not_there_makes_it_unavailable(outbox: Outbox, tmp_path: Path) -> None:
    await outbox.put(1)
    store = SQLiteOutbox(outbox_url(f"sqlite:///{tmp_path}/nowhere/x.db"))

    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        await store.cycle([], claim=10, lease=LEASE)

    await store.close()


async def test_a_file_that_is_no_database_is_called_that(outbox: Outbox, tmp_path: Path) -> None:
    await outbox.put(1)
    (tmp_path / "letter.db").write_text("Dear Sir or Madam, " * 100)
    url = outbox_url(f"sqlite:///{tmp_path}/letter.db")
    store, database = SQLiteOutbox(url), Database(url)

    with pytest.raises(StoreUnavailable, match=r"letter\.db: the file .* is no SQLite database"):
        await store.cycle([], claim=10, lease=LEASE)
    with pytest.raises(StoreUnavailable, match="is no SQLite database, or a broken one"):
        await database.check_migrated()
    with pytest.raises(StoreUnavailable, match="is no SQLite database, or a broken one"):
        await database.migrate()

    await store.close()
    await database.close()


def test_an_old_library_is_refused_by_name(outbox_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    message = "the SQLite library of this Python is 3.34.1; 3.35 or later is needed: use a newer Python, or PostgreSQL."
    with pytest.raises(InvalidConfiguration, match=re.escape(message)):
        SQLiteOutbox(outbox_url(outbox_database))


async def test_what_goes_in_comes_out_whatever_it_holds(outbox: Outbox) -> None:
    text = 'it\'s "quoted" \\ \u2028 \U0001f54a \x00 end'
    await outbox.put(1, params={"text": text}, chat="@o'chat")
    claimed = await outbox.claim_one()

    await outbox.deliver(claimed)

    row = await outbox.settled(1)
    assert (row.params, row.chat, row.settled_at) == ({"text": text}, "@o'chat", at(0))
