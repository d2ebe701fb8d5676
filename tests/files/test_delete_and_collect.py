"""Removing files: never one that is needed, everything that is not, whatever happens at the same moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from file_world import GRACE, FileWorld
from outboxes import delivered, ids, settlement

from dovecote.errors import FileInUse, StorageUnavailable, UnknownFile
from dovecote.files.library import WINDOW
from dovecote.model import Collection, Dead, Retention

if TYPE_CHECKING:
    from dovecote.model import StoredFile

HOUR = GRACE.total_seconds()


async def old_file(world: FileWorld, content: bytes = b"content") -> StoredFile:
    """A file whose grace period is over."""
    file = await world.files.put(content)
    await world.outbox.advance(HOUR + 1)
    return file


class TestDeleting:
    async def test_a_deleted_file_is_gone_from_the_database_and_the_store(self, world: FileWorld) -> None:
        file = await world.files.put(b"x", name="a")

        assert await world.files.delete(file.id) is True

        with pytest.raises(UnknownFile):
            await world.files.info(file.id)
        with pytest.raises(UnknownFile):
            await world.files.delete(file.id)
        assert world.primary.objects == {}
        for table in ("file", "file_name", "file_copy", "loose_object"):
            assert await world.rows(table) == []

    async def test_the_content_goes_with_its_last_name(self, world: FileWorld) -> None:
        file = await world.files.put(b"x", name="a")
        await world.files.put(b"x", name="b")

        assert await world.files.delete(file.id, name="a") is False
        with pytest.raises(UnknownFile, match=f'file {file.id} has no name "a"'):
            await world.files.delete(file.id, name="a")
        assert await world.files.get(file.id) == b"x"

        assert await world.files.delete(file.id, name="b") is True
        assert world.primary.objects == {}

    async def test_a_file_that_a_notification_in_the_outbox_needs_cannot_be_deleted(self, world: FileWorld) -> None:
        file = await world.files.put(b"x", name="a")
        await world.outbox.put(17)
        await world.attach(file, 17)

        for name in (None, "a"):
            with pytest.raises(FileInUse, match=f"file {file.id} is needed by notification 17") as refusal:
                await world.files.delete(file.id, name=name)
        assert (refusal.value.file_id, refusal.value.notification_id) == (file.id, 17)
        assert (await world.files.info(file.id)).names == ("a",)

        await world.outbox.deliver(await world.outbox.claim_one())
        assert await world.files.delete(file.id) is True

    async def test_a_store_that_does_not_answer_does_not_hold_a_deletion_up(self, world: FileWorld) -> None:
        file = await world.files.put(b"x")
        world.primary.failure = StorageUnavailable("gone for a while")

        assert await world.files.delete(file.id) is True
        assert await world.files.list() == []
        world.primary.failure = None

        assert await world.collect() == Collection(objects=1)
        assert world.primary.objects == {}

    async def test_what_was_deleted_can_be_put_again_under_another_key(self, world: FileWorld) -> None:
        first = await world.files.put(b"x")
        await world.files.delete(first.id)

        second = await world.files.put(b"x")

        assert second.id != first.id
        assert second.copies != first.copies
        assert await world.files.get(second.id) == b"x"

    async def test_a_late_deletion_of_the_old_content_does_not_touch_the_new_one(self, world: FileWorld) -> None:
        first = await world.files.put(b"x")
        frozen, woken = asyncio.Event(), asyncio.Event()

        async def freeze(name: str, _key: str) -> None:
            if name == "delete":
                frozen.set()
                await woken.wait()

        world.primary.before = freeze
        deleting = asyncio.create_task(world.files.delete(first.id))
        await frozen.wait()
        second = await world.another().files.put(b"x")
        woken.set()
        await deleting

        assert await world.files.get(second.id) == b"x"
        await world.is_consistent()


class TestCollecting:
    async def test_what_nobody_needs_is_collected_after_the_grace_period(self, world: FileWorld) -> None:
        old = await world.files.put(b"old!")
        await world.outbox.advance(HOUR - 1)
        await world.files.put(b"new")
        assert await world.collect() == Collection()

        await world.outbox.advance(1)

        assert await world.collect() == Collection(files=1, size=4, objects=1)
        assert [file.size for file in await world.files.list()] == [3]
        with pytest.raises(UnknownFile):
            await world.files.info(old.id)
        await world.is_consistent()

    async def test_putting_it_again_begins_the_grace_period_anew(self, world: FileWorld) -> None:
        file = await old_file(world)
        await world.files.put(b"content")

        assert await world.collect() == Collection()
        assert await world.files.get(file.id) == b"content"

    async def test_what_is_kept_stays_until_it_is_not(self, world: FileWorld) -> None:
        file = await world.files.put(b"x", keep=True)
        await world.files.put(b"x")
        await world.outbox.advance(HOUR * 1000)
        assert await world.collect() == Collection()

        assert not (await world.files.keep(file.id, keep=False)).kept
        assert await world.collect() == Collection()
        await world.outbox.advance(HOUR)
        assert (await world.collect()).files == 1
        with pytest.raises(UnknownFile):
            await world.files.keep(file.id)

    async def test_what_the_outbox_needs_stays_and_goes_a_grace_period_after_its_delivery(
        self, world: FileWorld
    ) -> None:
        file = await world.files.put(b"x")
        await world.outbox.put(17)
        await world.attach(file, 17)
        await world.outbox.advance(HOUR * 3)
        assert await world.collect() == Collection()

        (claimed,) = await world.outbox.claim()
        await world.outbox.settle(delivered(claimed))
        assert await world.collect() == Collection()
        assert await world.rows("attachment") == []
        assert (await world.files.info(file.id)).needed_at == world.outbox.now

        await world.outbox.advance(HOUR)
        assert (await world.collect()).files == 1

    async def test_what_a_dead_letter_would_need_for_its_replay_stays(self, world: FileWorld) -> None:
        file = await world.files.put(b"x")
        await world.outbox.put(17)
        await world.attach(file, 17)
        await world.outbox.settle(settlement(await world.outbox.claim_one(), Dead("refused", 400)))
        for _ in range(3):
            await world.outbox.advance(HOUR * 2)
            assert await world.collect() == Collection()

        await world.outbox.history.replay([17])
        assert len(await world.rows("attachment")) == 1
        with pytest.raises(FileInUse):
            await world.files.delete(file.id)

    async def test_it_goes_a_grace_period_after_the_dead_letter_has_lost_its_payload(self, world: FileWorld) -> None:
        file = await world.files.put(b"x")
        await world.outbox.put(17)
        await world.attach(file, 17)
        await world.outbox.settle(settlement(await world.outbox.claim_one(), Dead("refused", 400)))
        await world.outbox.advance(HOUR * 2)

        pruned = await world.outbox.pruning.prune(Retention(dead_payload=timedelta(seconds=HOUR)))
        assert (pruned.dead, pruned.payloads) == (0, 1)
        assert await world.collect() == Collection()
        assert await world.rows("attachment") == []

        await world.outbox.advance(HOUR)
        assert (await world.collect()).files == 1
        await world.is_consistent()

    async def test_many_attachments_are_gone_through_in_bounded_pages(self, world: FileWorld) -> None:
        file = await world.files.put(b"x")
        count = 450  # more than two batches
        await world.outbox.put_rows([{"id": id_} for id_ in range(1, count + 1)])
        await world.attach(file, *range(1, count + 1))
        claimed = await world.outbox.claim(count)
        assert ids(claimed[:1]) == [claimed[0].id]
        await world.outbox.deliver(*claimed[1:])

        assert await world.collect() == Collection()

        assert [row[0] for row in await world.rows("attachment")] == [claimed[0].id]

    async def test_more_than_a_batch_is_collected_in_one_go(
        self, world: FileWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dovecote.files.collector.BATCH", 5)
        for number in range(11):
            await world.files.put(b"%d" % number)
        await world.outbox.advance(HOUR)

        done = await world.collect()

        assert (done.files, done.objects) == (11, 11)
        assert world.primary.objects == {}

    async def test_a_store_that_does_not_answer_is_asked_again_an_hour_later(self, world: FileWorld) -> None:
        await old_file(world)
        world.primary.failure = StorageUnavailable("gone for a while")
        assert await world.collect() == Collection(files=1, size=7, failed_objects=1)
        world.primary.failure = None
        assert await world.collect() == Collection()

        await world.outbox.advance(3600)

        assert await world.collect() == Collection(objects=1)
        assert world.primary.objects == {}

    async def test_an_upload_that_never_became_a_file_is_removed_after_its_window(self, world: FileWorld) -> None:
        async def die(_name: str, _key: str) -> None:
            raise asyncio.CancelledError

        async def store_and_die(name: str, key: str) -> None:
            if name == "upload":
                world.primary.objects[key] = b"half"
                await die(name, key)

        world.primary.before = store_and_die
        with pytest.raises(asyncio.CancelledError):
            await world.files.put(b"x")
        world.primary.before = None
        assert len(world.primary.objects) == 1
        await world.is_consistent()

        await world.outbox.advance(WINDOW.total_seconds() - 1)
        assert await world.collect() == Collection()
        await world.outbox.advance(1)
        assert await world.collect() == Collection(objects=1)
        assert world.primary.objects == {}
        assert await world.rows("loose_object") == []


class TestAtTheSameMoment:
    async def test_an_upload_that_outlives_its_window_makes_no_file_of_what_is_being_removed(
        self, world: FileWorld
    ) -> None:
        slow = True

        async def be_slow(name: str, _key: str) -> None:
            nonlocal slow
            if name == "upload" and slow:
                slow = False
                await world.outbox.advance(WINDOW.total_seconds())
                await world.another().collect()

        world.primary.before = be_slow

        file = await world.files.put(b"x")

        assert world.primary.uploads == 2
        assert await world.files.get(file.id) == b"x"
        assert len(world.primary.objects) == 1
        await world.is_consistent()

    async def test_a_put_between_the_look_and_the_removal_saves_the_file(self, world: FileWorld) -> None:
        """The collection finds it, another process puts it again, and only then the collection locks it."""
        file = await old_file(world)
        await world.another().files.put(b"content")

        assert await world.collect() == Collection()
        assert await world.files.get(file.id) == b"content"

    async def test_the_same_content_is_put_while_the_collection_removes_it(self, world: FileWorld) -> None:
        """The row is gone and the object is about to go: the put makes another file, under another key."""
        old = await old_file(world)
        new: list[StoredFile] = []

        async def put(name: str, _key: str) -> None:
            if name == "delete" and not new:
                world.primary.before = None
                new.append(await world.another().files.put(b"content"))

        world.primary.before = put

        assert (await world.collect()).files == 1

        assert new[0].id != old.id
        assert await world.files.get(new[0].id) == b"content"
        await world.is_consistent()

    async def test_two_collections_at_a_time_remove_everything_once(self, world: FileWorld) -> None:
        for number in range(10):
            await world.files.put(b"%d" % number)
        await world.outbox.advance(HOUR)

        first, second = await asyncio.gather(world.collect(), world.another().collect())

        assert first.files + second.files == 10
        assert world.primary.objects == {}
        assert await world.rows("loose_object") == []

    async def test_the_grace_period_may_be_nothing(self, world: FileWorld) -> None:
        await world.files.put(b"x")

        done, more = await world.sweeper.collect(grace=timedelta(0), limit=10)

        assert (done.files, more) == (1, False)
