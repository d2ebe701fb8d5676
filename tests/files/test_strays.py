"""Removing what nobody owns, and nothing else: in the stores that are used, and in the one that a move has left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from file_world import PRIMARY, FileWorld, MemoryObjects
from migrated import migrate
from outboxes import START

from dovecote import Dovecote
from dovecote.config import Settings
from dovecote.errors import StorageUnavailable, StoresDiffer
from dovecote.files import Storages
from dovecote.files.keys import fresh_key, incoming_key
from dovecote.files.strays import Strays
from dovecote.model import ObjectPlace, Removal

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

TARGET = "memory:target"
WEEK = timedelta(days=7)


def strays(world: FileWorld, *, now: datetime = START + WEEK) -> Strays:
    return Strays(world.catalogue, world.storages, now=lambda: now)


async def test_a_stray_goes_and_files_uploads_and_what_is_not_ours_stay(world: FileWorld) -> None:
    file = await world.files.put(b"a file")
    announced, stray, incoming = fresh_key("a" * 64), fresh_key("b" * 64), incoming_key()
    await world.catalogue.announce(announced, window=timedelta(days=1))
    foreign = ["sha256/notes.txt", "incoming/other", "sha256/aa/bb/" + "c" * 64 + "-" + "0" * 16, "invoices/1.pdf"]
    world.primary.objects |= dict.fromkeys([announced, stray, incoming, *foreign], b"12345")

    done = await strays(world).remove(grace=WEEK)

    assert done == Removal(objects=2, size=10)
    assert set(world.primary.objects) == {file.copies[0].key, announced, *foreign}
    assert await world.files.get(file.id) == b"a file"


async def test_a_stray_stays_for_the_grace_period(world: FileWorld) -> None:
    await world.files.put(b"a file")
    world.primary.objects[fresh_key("b" * 64)] = b"x"

    done = await strays(world, now=START + WEEK - timedelta(seconds=1)).remove(grace=WEEK)

    assert done == Removal(young=1)
    assert len(world.primary.objects) == 2


async def test_what_the_store_does_not_remove_is_counted_and_the_rest_goes_on(world: FileWorld) -> None:
    await world.files.put(b"a file")
    stuck, other = fresh_key("b" * 64), fresh_key("c" * 64)
    world.primary.objects |= {stuck: b"x", other: b"y"}

    async def fail(name: str, key: str) -> None:
        if (name, key) == ("delete", stuck):
            raise StorageUnavailable("away")

    world.primary.before = fail

    assert await strays(world).remove(grace=WEEK) == Removal(objects=1, size=1, failed=1)
    assert stuck in world.primary.objects
    assert other not in world.primary.objects


async def test_what_a_move_has_left_is_removed_and_every_file_is_there(world: FileWorld) -> None:
    files = [await world.files.put(b"content %d" % number) for number in range(3)]
    await world.files.move(TARGET)
    assert len(world.primary.objects) == 3

    # However new: it was the operator's word.
    done = await strays(world, now=START).remove_old(PRIMARY)

    assert done == Removal(objects=3, size=27)
    assert world.primary.objects == {}
    assert [await world.files.get(file.id) for file in files] == [b"content 0", b"content 1", b"content 2"]
    assert (await world.files.verify()).found == ()


async def test_a_copy_that_is_the_only_one_stays_in_the_old_store(world: FileWorld) -> None:
    await world.files.put(b"moved")
    await world.files.move(TARGET)
    kept = await world.files.put(b"here alone")
    copy = world.outbox.database.tables.files.file_copy
    old = next(store.id for store in await world.moves.stores() if store.url == PRIMARY)
    world.primary.objects[kept.copies[0].key] = b"here alone"
    await world.outbox.database.run(
        lambda c: c.execute(copy.update().where(copy.c.file_id == kept.id).values(store_id=old)), write=True
    )

    with pytest.raises(StoresDiffer, match=f"{TARGET} lacks 1 files"):
        await world.files.remove_old(PRIMARY)

    assert kept.copies[0].key in world.primary.objects


async def test_a_store_that_is_used_or_was_never_left_is_refused(world: FileWorld) -> None:
    await world.files.put(b"x")
    with pytest.raises(StoresDiffer, match="were not moved out of it"):
        await world.files.remove_old(PRIMARY)
    await world.files.move(TARGET)
    with pytest.raises(StoresDiffer, match="were not moved out of it"):
        await world.files.remove_old(TARGET)
    with pytest.raises(StoresDiffer, match=f"the stores that they have left are {PRIMARY}"):
        await world.files.remove_old("memory:other")

    assert len(world.primary.objects) == len(world.store(TARGET).objects) == 1


async def test_one_store_under_two_urls_is_found_out_before_anything_is_removed(world: FileWorld) -> None:
    """As `http://127.0.0.1` and `http://localhost` are."""
    shared = MemoryObjects(PRIMARY)
    world.stores |= {PRIMARY: shared, TARGET: shared}
    file = await world.files.put(b"x")
    await world.files.move(TARGET)

    with pytest.raises(StoresDiffer, match="are one store under two URLs"):
        await world.files.remove_old(PRIMARY)

    assert await world.files.get(file.id) == b"x"
    assert not [key for key in shared.objects if key.startswith("incoming/")]


async def test_in_the_middle_of_a_move_the_copies_of_either_store_are_no_strays(world: FileWorld) -> None:
    """Even where both are one store, which nobody has noticed."""
    shared = MemoryObjects(PRIMARY)
    world.stores |= {PRIMARY: shared, TARGET: shared}
    file = await world.files.put(b"x")
    mirror = await world.moves.mirror(TARGET)
    copy = fresh_key(file.sha256)
    await world.catalogue.announce(copy, window=WEEK, stores=[mirror])
    shared.objects[copy] = b"x"
    assert await world.moves.copied(file.id, ObjectPlace(mirror.id, copy))

    assert await strays(world).remove(grace=WEEK) == Removal()
    assert set(shared.objects) == {file.copies[0].key, copy}


def marking(world: FileWorld, name: str) -> FileWorld:
    """Let this world be an installation of that name."""

    async def installation() -> str:
        return name

    world.storages = Storages(world.moves, PRIMARY, world.store, installation=installation)
    return world


async def test_where_another_installation_keeps_files_nothing_is_removed(world: FileWorld) -> None:
    await world.files.put(b"a file")
    theirs = fresh_key("b" * 64)
    world.primary.objects |= {theirs: b"x", "installations/other": b""}

    with pytest.raises(StoresDiffer, match=r"installations/other.*nothing was removed.*a prefix of its own"):
        await strays(marking(world, "one")).remove(grace=WEEK)

    assert theirs in world.primary.objects
    del world.primary.objects["installations/other"]
    assert await strays(world).remove(grace=WEEK) == Removal(objects=1, size=1)


async def test_a_collection_leaves_the_mark_once_files_are_there(world: FileWorld) -> None:
    marking(world, "one")
    await world.collect()
    assert world.primary.objects == {}

    await world.files.put(b"a file")
    await world.collect()
    await world.collect()

    assert "installations/one" in world.primary.objects
    assert world.primary.uploads == 2


async def test_the_old_store_is_emptied_with_the_mark_and_not_while_another_installation_keeps_files_there(
    world: FileWorld,
) -> None:
    await world.files.put(b"a file")
    await marking(world, "one").collect()
    await world.files.move(TARGET)
    world.primary.objects["installations/other"] = b""

    with pytest.raises(StoresDiffer, match="installations/other"):
        await strays(world).remove_old(PRIMARY)

    del world.primary.objects["installations/other"]
    assert await strays(world).remove_old(PRIMARY) == Removal(objects=1, size=6)
    assert world.primary.objects == {}


async def test_two_installations_under_one_prefix_do_not_remove_each_others_files(tmp_path: Path) -> None:
    settings = Settings.model_validate({"storage": {"url": (tmp_path / "files").as_uri()}})
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other")]
    for url in urls:
        migrate(url)
    async with Dovecote(urls[0], settings=settings) as one, Dovecote(urls[1], settings=settings) as other:
        file = await other.files.put(b"the other's")
        await other.files.collect()
        await one.files.put(b"a file")

        with pytest.raises(StoresDiffer, match="another installation keeps files in"):
            await one.files.remove_strays(grace=timedelta(0))

        assert await other.files.get(file.id) == b"the other's"
