"""Schedules in the application's own transaction, over every kind of connection that enqueue takes."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from timetables import enqueued, every, fire_due, schedule, with_text

from dovecote.errors import InvalidSchedule, UnknownBot, UnknownSchedule, UnsupportedConnection, WrongDatabase
from dovecote.model import Missed, Notification

if TYPE_CHECKING:
    from applications import Application
    from outboxes import Outbox

# Every way to run a statement; the other kinds differ from these by how their driver is awaited.
WAYS = [
    *("postgresql-AsyncSession-asyncpg", "postgresql-Session-psycopg", "postgresql-asyncpg"),
    *("sqlite-AsyncSession-aiosqlite", "sqlite-sqlite3"),
]
POSTGRESQL = ["postgresql-asyncpg"]
SQLITE = ["sqlite-sqlite3"]


async def names(outbox: Outbox) -> list[str]:
    return [record.schedule.name for record in await outbox.schedules.list()]


class TestAdd:
    async def test_a_commit_keeps_it_and_it_fires(self, outbox: Outbox, application: Application) -> None:
        record = await outbox.schedules.within(application.connection).add(schedule(recurrence=every(60)))
        seen = await outbox.schedules.within(application.connection).get("digest")
        await application.commit()

        assert seen == record == await outbox.schedules.get("digest")
        await outbox.advance(60)
        await fire_due(outbox)
        assert [chat for chat, _ in await enqueued(outbox)] == ["7"]

    async def test_a_rollback_leaves_nothing(self, outbox: Outbox, application: Application) -> None:
        await outbox.schedules.within(application.connection).add(schedule(recurrence=every(60)))
        await application.rollback()

        await outbox.advance(60)
        await fire_due(outbox)

        assert await names(outbox) == []
        assert await enqueued(outbox) == []

    @pytest.mark.parametrize("kind", WAYS, indirect=True)
    async def test_a_savepoint_takes_back_only_what_came_after_it(
        self, outbox: Outbox, application: Application
    ) -> None:
        within = outbox.schedules.within(application.connection)
        await within.add(schedule("before"))
        await application.savepoint()
        await within.add(schedule("after"))
        await application.go_back()
        await application.commit()

        assert await names(outbox) == ["before"]

    @pytest.mark.parametrize("kind", WAYS, indirect=True)
    async def test_a_name_that_is_taken_is_refused_and_the_transaction_goes_on(
        self, outbox: Outbox, application: Application
    ) -> None:
        within = outbox.schedules.within(application.connection)
        await within.add(schedule())
        with pytest.raises(InvalidSchedule, match='named "digest" already'):
            await within.add(schedule())
        with pytest.raises(UnknownBot, match='there are: "shop"'):
            await within.add(replace(schedule("other"), notification=Notification(bot="shpo", text="x")))
        await within.add(schedule("other"))
        await application.commit()

        assert await names(outbox) == ["digest", "other"]


class TestChange:
    @pytest.mark.parametrize("kind", WAYS, indirect=True)
    async def test_all_that_is_done_by_hand_is_kept_by_the_commit(
        self, outbox: Outbox, application: Application
    ) -> None:
        for name in ("edited", "paused", "resumed", "deleted", "triggered"):
            await outbox.schedules.add(schedule(name, recurrence=every(60)))
        await outbox.schedules.pause("resumed")

        await _change_everything(outbox, application)
        await application.commit()

        records = {record.schedule.name: record for record in await outbox.schedules.list()}
        assert sorted(records) == ["edited", "paused", "resumed", "triggered"]
        assert records["edited"].schedule.notification.text == "Good evening"
        assert records["paused"].paused_at is not None
        assert records["resumed"].paused_at is None
        assert [each.part for each in await outbox.schedules.occurrences("triggered")] == ["trigger"]
        assert [chat for chat, _ in await enqueued(outbox)] == ["7"]

    @pytest.mark.parametrize("kind", WAYS, indirect=True)
    async def test_and_by_a_rollback_nothing_of_it(self, outbox: Outbox, application: Application) -> None:
        for name in ("edited", "paused", "resumed", "deleted", "triggered"):
            await outbox.schedules.add(schedule(name, recurrence=every(60)))
        await outbox.schedules.pause("resumed")
        before = await outbox.schedules.list()

        await _change_everything(outbox, application)
        await application.rollback()

        assert await outbox.schedules.list() == before
        assert await outbox.schedules.occurrences("triggered") == []
        assert await enqueued(outbox) == []

    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_what_is_being_changed_does_not_fire_meanwhile(
        self, outbox: Outbox, application: Application
    ) -> None:
        await outbox.schedules.add(schedule(recurrence=every(60)))
        record = await outbox.schedules.get("digest")
        await outbox.advance(60)

        await outbox.schedules.within(application.connection).edit(with_text(record, "new"))
        meanwhile = await fire_due(outbox)
        await application.commit()
        await fire_due(outbox)

        assert meanwhile.occurrences == []
        assert [text for _, text in await enqueued(outbox)] == ["new"]


async def _change_everything(outbox: Outbox, application: Application) -> None:
    within = outbox.schedules.within(application.connection)
    await within.edit(with_text(await within.get("edited"), "Good evening"))
    await within.pause("paused")
    await within.resume("resumed", missed=Missed.SKIP)
    await within.delete("deleted")
    await within.trigger("triggered")
    with pytest.raises(UnknownSchedule):
        await within.get("deleted")


@pytest.mark.parametrize("kind", [*POSTGRESQL, *SQLITE], indirect=True)
class TestEverything:
    async def test_by_local_time_and_for_all(self, outbox: Outbox, application: Application) -> None:
        await outbox.tell("7", zone="Asia/Tokyo")
        everybody = schedule(recurrence="0 9 * * *", local_time=True, to=None)
        within = outbox.schedules.within(application.connection)

        record = await within.add(everybody)
        preview = await within.preview("digest", count=2)
        await application.commit()

        assert record.next_fire_at is not None
        assert record.next_fire_at.isoformat() == "2026-01-06T00:00:00+00:00"
        assert (preview.recipients, [each.zone for each in preview.fires]) == (1, ["Asia/Tokyo"] * 2)

    async def test_backfill_pages_and_occurrences(self, outbox: Outbox, application: Application) -> None:
        within = outbox.schedules.within(application.connection)
        record = await within.add(schedule(recurrence=every(60)))
        begun = record.cursor.at

        fired = await within.backfill("digest", begun - timedelta(seconds=150), begun)
        again = await within.backfill("digest", begun - timedelta(seconds=150), begun)
        found = await within.occurrences("digest")
        page = await within.list(after_name="a")
        await application.commit()

        assert (fired, again) == (3, 0)
        assert [each.happened for each in found] == ["fired"] * 3
        assert [each.schedule.name for each in page] == ["digest"]
        assert list(found) == list(await outbox.schedules.occurrences("digest"))


class TestRefused:
    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_a_connection_outside_a_transaction(self, outbox: Outbox) -> None:
        url = outbox.database.url.render_as_string(hide_password=False)
        connection = await asyncpg.connect(url)
        with pytest.raises(UnsupportedConnection, match="not in a transaction"):
            await outbox.schedules.within(connection).add(schedule())
        await connection.close()
        engine = create_async_engine(
            outbox.database.url.set(drivername="postgresql+asyncpg"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        async with engine.connect() as other:
            with pytest.raises(UnsupportedConnection, match="AUTOCOMMIT"):
                await outbox.schedules.within(other).add(schedule())
        with pytest.raises(UnsupportedConnection, match="take a connection of this one"):
            await outbox.schedules.within(engine).pause("digest")

        assert await names(outbox) == []

    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    async def test_another_database(self, outbox: Outbox) -> None:
        with (
            contextlib.closing(sqlite3.connect(":memory:")) as connection,
            pytest.raises(WrongDatabase, match="leads to another database"),
        ):
            await outbox.schedules.within(connection).add(schedule())


class TestApplicationsOwnSettings:
    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_codecs_of_an_asyncpg_application(self, outbox: Outbox) -> None:
        connection = await asyncpg.connect(outbox.database.url.render_as_string(hide_password=False))
        for name in ("json", "timestamptz", "bool"):
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=lambda _: "spoilt", decoder=lambda _: None
            )
        await connection.execute("SET TIME ZONE 'Asia/Kolkata'")
        async with connection.transaction():
            record = await outbox.schedules.within(connection).add(schedule())
            await outbox.schedules.within(connection).trigger("digest")
        await connection.close()

        assert await outbox.schedules.get("digest") == record

    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    async def test_factories_of_a_sqlite3_application(self, outbox: Outbox) -> None:
        with contextlib.closing(sqlite3.connect(str(outbox.database.url.database))) as connection:
            connection.row_factory = lambda *_: None
            connection.text_factory = bytes
            record = await outbox.schedules.within(connection).add(schedule())
            await outbox.schedules.within(connection).trigger("digest")
            connection.commit()

        assert await outbox.schedules.get("digest") == record

    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_a_connection_that_streams_its_results(self, outbox: Outbox) -> None:
        engine = create_engine(outbox.database.url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
        with engine.connect().execution_options(stream_results=True) as connection:
            await outbox.schedules.within(connection).add(schedule())
            await outbox.schedules.within(connection).trigger("digest")
            connection.commit()
        engine.dispose()

        assert await names(outbox) == ["digest"]
