"""Stored files that schedules send: checked when the schedule is made, kept as long as it may send them."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from attaching import png
from timetables import every, fan_out, fire_due, schedule

from dovecote.errors import FileInUse, FileTooLarge, InvalidNotification, InvalidSchedule, UnknownFile
from dovecote.model import Attachment, Notification
from dovecote.stores.schedules import SchedulesBook

if TYPE_CHECKING:
    from file_world import FileWorld
    from outboxes import Outbox

    from dovecote.model import Schedule, StoredFile

LONG = 7200
"""Seconds; longer than the grace period of these tests."""


def with_photo(made: Schedule, photo: StoredFile | Attachment | int) -> Schedule:
    """The same, sending a picture."""
    attachment = photo if isinstance(photo, Attachment) else Attachment(photo)
    return replace(made, notification=Notification(bot="shop", method="sendPhoto", params={"photo": attachment}))


async def attached(outbox: Outbox) -> list[tuple[str, int, str]]:
    """Chat, file and field of what the notifications in the outbox send."""
    tables = outbox.database.tables
    chats = {row.id: row.chat for row in await outbox.rows("notification")}
    rows: list[Any] = await outbox.database.run(lambda c: list(c.execute(tables.files.attachment.select())))
    return sorted((chats[row.notification_id], row.file_id, row.field) for row in rows)


async def test_every_occurrence_sends_the_file(world: FileWorld, outbox: Outbox) -> None:
    file = await world.files.put(png(), name="chart.png")
    named = Attachment(file.id, name="today.png", cache=False)
    await outbox.schedules.add(with_photo(schedule(recurrence=every(60), to=(7, 8)), named))

    await outbox.advance(60)
    await fire_due(outbox)

    assert await attached(outbox) == [("7", file.id, "photo"), ("8", file.id, "photo")]
    assert {row.params["photo"] for row in await outbox.rows("notification")} == {"attach://file1!/today.png"}
    assert (await outbox.schedules.get("digest")).schedule.notification.params == {"photo": named}


async def test_what_cannot_be_sent_is_refused_when_it_is_planned(world: FileWorld, outbox: Outbox) -> None:
    text = await world.files.put(b"no picture", name="a.txt")
    picture = await world.files.put(png(), name="a.png")
    with pytest.raises(UnknownFile, match="17"):
        await outbox.schedules.add(with_photo(schedule(), 17))
    with pytest.raises(InvalidNotification, match="no picture: send it as a document"):
        await outbox.schedules.add(with_photo(schedule(), text))
    guessed = Notification(bot="shop", method="sendPhoto", params={"photo": "attach://file2"})
    with pytest.raises(InvalidNotification, match="pass an Attachment of that file"):
        await outbox.schedules.add(replace(schedule(), notification=guessed))
    small = SchedulesBook(outbox.database, largest_upload=10, clock=outbox._microseconds)
    outbox.schedules._book = small
    with pytest.raises(FileTooLarge, match="Telegram takes 10 for a photo"):
        await outbox.schedules.add(with_photo(schedule(), picture))
    assert await outbox.schedules.list() == []

    await outbox.schedules.add(schedule())
    with pytest.raises(UnknownFile, match="17"):
        await outbox.schedules.edit(with_photo(schedule(), 17))

    assert (await outbox.schedules.get("digest")).version == 1


async def test_a_file_that_a_schedule_sends_is_neither_deleted_nor_collected(world: FileWorld, outbox: Outbox) -> None:
    file = await world.files.put(png())
    await outbox.schedules.add(with_photo(schedule(recurrence="@yearly"), file))

    await outbox.advance(LONG)
    assert (await world.collect()).files == 0
    with pytest.raises(FileInUse, match='sent by the schedule "digest": delete that one or let it') as told:
        await world.files.delete(file.id)
    await outbox.schedules.pause("digest")
    await outbox.schedules.resume("digest")
    await outbox.advance(LONG)
    assert (await world.collect()).files == 0
    with pytest.raises(FileInUse):
        await world.files.delete(file.id)

    assert told.value.schedule == "digest"


@pytest.mark.parametrize("end", ["edit", "delete"])
async def test_when_no_schedule_sends_it_any_more_its_grace_period_begins(
    world: FileWorld, outbox: Outbox, end: str
) -> None:
    file = await world.files.put(png())
    await outbox.schedules.add(with_photo(schedule(recurrence="@yearly"), file))
    await outbox.advance(LONG)

    if end == "edit":
        await outbox.schedules.edit(schedule(recurrence="@yearly"))
    else:
        await outbox.schedules.delete("digest")
    at_once = await world.collect()
    await outbox.advance(LONG)
    later = await world.collect()

    assert (at_once.files, later.files) == (0, 1)
    await world.is_consistent()


async def test_an_occurrence_that_has_begun_ends_with_the_file_it_began_with(world: FileWorld, outbox: Outbox) -> None:
    old, new = await world.files.put(png(1)), await world.files.put(png(2))
    many = schedule(recurrence=every(60), to=range(1, 602))
    await outbox.schedules.add(with_photo(many, old))
    await outbox.advance(60)
    await fire_due(outbox)

    await outbox.schedules.edit(with_photo(many, new))
    with pytest.raises(FileInUse, match="digest"):
        await world.files.delete(old.id)
    await fan_out(outbox, limit=300)
    with pytest.raises(FileInUse, match="notification"):
        await world.files.delete(old.id)
    await outbox.database.run(lambda c: c.execute(outbox.database.tables.notification.delete()), write=True)
    await world.files.delete(old.id)

    with pytest.raises(FileInUse):
        await world.files.delete(new.id)


async def test_a_fan_out_whose_file_is_lost_ends_and_says_so(world: FileWorld, outbox: Outbox) -> None:
    file = await world.files.put(png())
    await outbox.schedules.add(with_photo(schedule(recurrence=every(60), to=range(1, 602)), file))
    await outbox.advance(60)
    await fire_due(outbox)
    # Nobody can take it away but by hand.
    await outbox.database.run(lambda c: c.execute(outbox.database.tables.files.file.delete()), write=True)

    assert await fan_out(outbox, limit=300) == [0]

    (occurrence,) = await outbox.schedules.occurrences("digest")
    assert (occurrence.happened, occurrence.open) == ("failed", False)
    assert occurrence.reason == str(UnknownFile(file.id))


@pytest.mark.parametrize("outbox_database", ["postgresql"], indirect=True)
async def test_whoever_deletes_waits_for_the_schedule_that_is_being_made(
    world: FileWorld, outbox: Outbox, outbox_database: str
) -> None:
    file = await world.files.put(png())
    connection = await asyncpg.connect(outbox_database)
    transaction = connection.transaction()
    await transaction.start()
    await outbox.schedules.within(connection).add(with_photo(schedule(), file))

    deleting = asyncio.create_task(world.files.delete(file.id))
    watching = await asyncpg.connect(outbox_database)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while not await watching.fetchval(waits):  # noqa: ASYNC110 (nobody tells who waits)
            await asyncio.sleep(0.01)
    await transaction.commit()
    with pytest.raises(FileInUse, match="digest"):
        await deleting
    await connection.close()
    await watching.close()

    assert await world.files.get(file.id) == png()


@pytest.mark.parametrize("outbox_database", ["sqlite"], indirect=True)
async def test_a_rollback_keeps_no_file(world: FileWorld, outbox: Outbox) -> None:
    file = await world.files.put(png())
    connection = sqlite3.connect(str(outbox.database.url.database))
    within = outbox.schedules.within(connection)
    await within.add(with_photo(schedule(), file))
    with pytest.raises(InvalidSchedule, match="already"):
        await within.add(with_photo(schedule(), file))
    connection.rollback()
    connection.close()

    await world.files.delete(file.id)

    assert await outbox.schedules.list() == []
