"""Attaching a file while it is collected or deleted, on PostgreSQL, with every step of both sides made to wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import func

from dovecote.errors import FileInUse, UnknownFile
from dovecote.stores import file_collection
from dovecote.stores.file_collection import collectable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from file_world import FileWorld

    from dovecote.model import StoredFile

pytestmark = pytest.mark.parametrize("outbox_database", ["postgresql"], indirect=True)

LOCK = "SELECT id FROM dovecote.file WHERE id = $1 FOR KEY SHARE"
ATTACH = "INSERT INTO dovecote.attachment (notification_id, position, file_id, field) VALUES (17, 0, $1, 'document')"
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest_asyncio.fixture
async def application(outbox_database: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The application's own connection."""
    connection = await asyncpg.connect(outbox_database)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def file(world: FileWorld) -> StoredFile:
    """A file whose grace period is over, and a notification that is about to need it."""
    file = await world.files.put(b"content", name="x")
    await world.outbox.put(17)
    await world.outbox.advance(7200)
    return file


async def waiting(outbox_database: str) -> None:
    """Return when somebody waits for a lock."""
    connection = await asyncpg.connect(outbox_database)
    async with asyncio.timeout(10):
        while not await connection.fetchval(WAITS):  # noqa: ASYNC110 - nobody tells who waits
            await asyncio.sleep(0.01)
    await connection.close()


async def test_a_file_that_is_being_attached_is_passed_over(
    world: FileWorld, application: asyncpg.Connection[Any], file: StoredFile
) -> None:
    async with application.transaction():
        await application.fetch(LOCK, file.id)
        assert (await world.collect()).files == 0
        await application.execute(ATTACH, file.id)
        assert (await world.collect()).files == 0

    assert (await world.collect()).files == 0
    assert await world.files.get(file.id) == b"content"


async def test_what_was_committed_between_the_lock_and_the_look_is_seen(
    world: FileWorld,
    application: asyncpg.Connection[Any],
    file: StoredFile,
    outbox_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The collection's locking statement has its picture before the attachment is committed, and its lock after it.

    Nothing in the file's row has changed then, so the lock is had; only a statement that begins later sees.
    """
    await application.execute(
        """CREATE FUNCTION dovecote.pause() RETURNS boolean LANGUAGE sql VOLATILE
           AS 'SELECT pg_advisory_xact_lock_shared(4711); SELECT true'"""
    )
    monkeypatch.setattr(
        file_collection, "collectable", lambda tables, limit: collectable(tables, limit).where(func.dovecote.pause())
    )
    blocker = await asyncpg.connect(outbox_database)
    await blocker.execute("SELECT pg_advisory_lock(4711)")
    collecting = asyncio.create_task(world.sweeper.collect(grace=timedelta(hours=1), limit=10))
    await waiting(outbox_database)

    async with application.transaction():
        await application.fetch(LOCK, file.id)
        await application.execute(ATTACH, file.id)
    await blocker.execute("SELECT pg_advisory_unlock(4711)")

    assert (await collecting)[0].files == 0
    await blocker.close()
    found = await world.files.info(file.id)
    assert found.needed_at == world.outbox.now, "it was locked, and found in use"


async def test_a_deletion_waits_for_whoever_attaches_and_is_then_refused(
    world: FileWorld, application: asyncpg.Connection[Any], file: StoredFile, outbox_database: str
) -> None:
    transaction = application.transaction()
    await transaction.start()
    await application.fetch(LOCK, file.id)
    deleting = asyncio.create_task(world.files.delete(file.id))
    await waiting(outbox_database)
    await application.execute(ATTACH, file.id)
    await transaction.commit()

    with pytest.raises(FileInUse, match="needed by notification 17"):
        await deleting


async def test_a_deletion_goes_on_when_the_application_rolls_back(
    world: FileWorld, application: asyncpg.Connection[Any], file: StoredFile, outbox_database: str
) -> None:
    transaction = application.transaction()
    await transaction.start()
    await application.fetch(LOCK, file.id)
    await application.execute(ATTACH, file.id)
    deleting = asyncio.create_task(world.files.delete(file.id))
    await waiting(outbox_database)
    await transaction.rollback()

    assert await deleting is True


async def test_whoever_attaches_what_is_being_removed_waits_and_finds_nothing(
    world: FileWorld, application: asyncpg.Connection[Any], file: StoredFile
) -> None:
    attaching: list[asyncio.Task[Any]] = []
    remove = world.outbox.database.run

    async def remove_slowly(function: Any, *, write: bool = False) -> Any:
        def work(connection: Any) -> Any:
            answer = function(connection)
            if not attaching:
                attaching.append(asyncio.get_running_loop().create_task(application.fetch(LOCK, file.id)))
            return answer

        return await remove(work, write=write)

    world.outbox.database.run = remove_slowly  # type: ignore[method-assign]
    assert await world.files.delete(file.id) is True
    world.outbox.database.run = remove  # type: ignore[method-assign]

    assert await attaching[0] == []
    with pytest.raises(UnknownFile):
        await world.files.info(file.id)


async def test_applications_that_attach_the_same_file_do_not_wait_for_each_other(
    world: FileWorld, application: asyncpg.Connection[Any], file: StoredFile, outbox_database: str
) -> None:
    other = await asyncpg.connect(outbox_database)
    async with application.transaction():
        await application.fetch(LOCK, file.id)
        async with other.transaction():
            await asyncio.wait_for(other.fetch(LOCK, file.id), 5)
        # Nor do they hold up whoever puts the content again.
        await asyncio.wait_for(world.files.put(b"content", name="y"), 5)
    await other.close()
