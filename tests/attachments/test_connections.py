"""What many different files cost: a few connections for all of them, and so many statements for each. Counted."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from attaching import png
from databases import connect
from deliveries import delivery
from sqlalchemy import event, select, text

from dovecote import Dovecote
from dovecote.app import FILE_CONNECTIONS
from dovecote.config import Settings
from dovecote.errors import StoreUnavailable
from dovecote.model import Attachment, Notification
from dovecote.stores.database import Database, outbox_url, translated
from dovecote.stores.held import HeldConnection

if TYPE_CHECKING:
    from pathlib import Path

    from attaching import Attaching
    from databases import PostgresDatabases

MANY = 40


def pool_of(database: Database) -> Any:
    engine: Any = database._engine if database.async_engine is None else database.async_engine.sync_engine
    return engine


def sessions(url: str) -> int:
    """How many connections others have to this database just now."""
    with connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert found is not None
    return int(found[0])


async def test_many_different_files_are_put_and_sent_over_a_few_connections(parts: Attaching) -> None:
    opened: list[object] = []
    event.listen(pool_of(parts.dovecote._file_database), "connect", lambda *given: opened.append(given[0]))

    files = await asyncio.gather(*(parts.put(png(number)) for number in range(MANY)))
    await parts.parts.enqueue(
        *(
            Notification(bot="shop", chat_id=n, method="sendPhoto", params={"photo": Attachment(file)})
            for n, file in enumerate(files, start=1)
        )
    )
    await parts.dovecote.worker().run(until_empty=True)

    assert (await parts.dovecote.stats()).delivered == MANY
    assert 1 <= len(opened) <= FILE_CONNECTIONS


async def test_a_new_content_takes_three_transactions_and_a_known_one_a_single_one(
    postgres: PostgresDatabases, postgresql_outbox_url: str, tmp_path: Path
) -> None:
    async with delivery(postgresql_outbox_url, files=tmp_path / "files") as parts:
        await parts.dovecote.files.put(b"the first one makes the store known")
        seen: list[str] = []
        event.listen(pool_of(parts.dovecote._file_database), "commit", lambda _: seen.append("commit"))
        postgres.forget_statements(postgresql_outbox_url)

        await parts.dovecote.files.put(b"new")
        of_new, statements = len(seen), postgres.statements(postgresql_outbox_url)
        seen.clear()
        await parts.dovecote.files.put(b"new")

    assert (of_new, len(seen)) == (3, 1)
    assert sum(count for statement, count in statements.items() if "dovecote." in statement) <= 15


async def test_closing_gives_back_every_connection(postgresql_outbox_url: str, tmp_path: Path) -> None:
    async with delivery(postgresql_outbox_url, files=tmp_path / "files") as parts:
        await asyncio.gather(*(parts.dovecote.files.put(b"%d" % number) for number in range(MANY)))
        held = await asyncio.to_thread(sessions, postgresql_outbox_url)

    assert 1 <= held <= FILE_CONNECTIONS + 1
    async with asyncio.timeout(10):
        # The server notices a moment later.
        while await asyncio.to_thread(sessions, postgresql_outbox_url):
            continue


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_an_event_loop_that_has_ended_holds_nothing_up(postgresql_outbox_url: str) -> None:
    database = Database(outbox_url(postgresql_outbox_url), pool_size=2)

    def in_another_loop() -> int:
        async def once() -> int:
            answer: int = await database.run(lambda connection: connection.execute(select(text("1"))).scalar_one())
            return answer

        return asyncio.run(once())

    answers = [await asyncio.to_thread(in_another_loop) for _ in range(3)]
    await database.run(lambda connection: connection.execute(select(text("1"))).scalar_one())
    loops = len(database._engines._engines)
    await database.close()
    # What was left open in loops that nobody closed is let go here, and not in another test.
    gc.collect()

    assert answers == [1, 1, 1]
    assert loops == 1


async def test_nothing_is_left_prepared_for_a_connection_that_may_be_another_next(
    postgresql_outbox_url: str, tmp_path: Path
) -> None:
    """As behind a pooler that gives each transaction any connection of the server's."""
    async with delivery(postgresql_outbox_url, files=tmp_path / "files") as parts:
        database = parts.dovecote._file_database
        names = text("SELECT name FROM pg_prepared_statements")
        await parts.dovecote.files.put(b"one")
        for _ in range(3):
            left = await database.run(lambda connection: connection.execute(names).scalars().all())

        # The statement itself, and the one before, which is closed with the next.
        assert all(name.startswith("dovecote_") for name in left)
        assert len(set(left)) <= 2


async def test_who_does_not_listen_prepares_nothing_under_a_name_that_another_process_gives(
    postgresql_outbox_url: str,
) -> None:
    """Behind a transaction pooler a held connection is any of the server's, and so is that of every other process."""
    settings = Settings.model_validate({"database": {"url": postgresql_outbox_url}, "worker": {"listen": False}})
    names = text("SELECT name FROM pg_prepared_statements")
    async with Dovecote(settings=settings) as dovecote:
        held = HeldConnection(dovecote.database, timedelta(seconds=10))
        for _ in range(3):
            left = await held.run(lambda connection: connection.execute(names).scalars().all())
        await held.close()

    assert left
    assert all(name.startswith("dovecote_") for name in left)


async def test_a_server_without_a_free_connection_is_unavailable_and_no_fault_of_ours(
    postgresql_outbox_url: str,
) -> None:
    crowded = psycopg.errors.TooManyConnections("sorry, too many clients already")
    url = outbox_url(postgresql_outbox_url)

    error = translated(crowded, url)

    assert isinstance(error, StoreUnavailable)
    assert "too many clients already" in str(error)


async def test_who_waits_for_a_connection_in_vain_is_told_that_the_database_is_busy(
    postgresql_outbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(outbox_url(postgresql_outbox_url), pool_size=1)
    async with database.transaction():
        monkeypatch.setattr(pool_of(database).pool, "_timeout", 0.01)

        with pytest.raises(StoreUnavailable, match="cannot be used just now"):
            await database.run(lambda connection: connection.execute(select(text("1"))).scalar_one())
    await database.close()
