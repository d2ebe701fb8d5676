"""Moving from one store to another while everything goes on: nothing is lost, nothing is read from the wrong place."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from dovecote.errors import FileDamaged, FileMissing, StorageRefused, StorageUnavailable, StoresDiffer
from dovecote.files import mover
from dovecote.model import Move

if TYPE_CHECKING:
    from file_world import FileWorld

TARGET = "memory:target"


async def roles(world: FileWorld) -> dict[str, str]:
    return {store.url: store.role for store in await world.moves.stores()}


async def test_everything_is_in_the_target_afterwards_and_is_read_there(world: FileWorld) -> None:
    files = [await world.files.put(b"content %d" % number, name="x") for number in range(5)]
    told: list[tuple[int, int]] = []

    moved = await world.files.move(TARGET, on_progress=lambda state: told.append((state.lacking, state.files)))

    assert moved == Move("memory:primary", TARGET, 5, 0, switched=True)
    assert told == [(5, 5), (0, 5)]
    assert await roles(world) == {TARGET: "primary", "memory:primary": "retired"}
    old = dict(world.primary.objects)
    world.primary.objects.clear()
    for number, file in enumerate(files):
        assert await world.files.get(file.id) == b"content %d" % number
    assert len(old) == 5, "the old store is left as it was"
    assert set(world.store(TARGET).objects.values()) == set(old.values())


async def test_what_is_put_while_it_moves_goes_to_both_stores(world: FileWorld) -> None:
    await world.files.put(b"before")
    other = world.another()
    put: list[int] = []

    async def put_meanwhile(name: str, _key: str) -> None:
        if name == "upload" and not put:
            put.append(0)
            put[0] = (await other.files.put(b"meanwhile")).id

    world.store(TARGET).before = put_meanwhile

    await world.files.move(TARGET)

    assert sorted(world.store(TARGET).objects.values()) == [b"before", b"meanwhile"]
    assert sorted(world.primary.objects.values()) == [b"before", b"meanwhile"]
    world.primary.objects.clear()
    assert await other.files.get(put[0]) == b"meanwhile"


async def test_until_the_switch_the_primary_answers(world: FileWorld) -> None:
    file = await world.files.put(b"x")
    await world.moves.mirror(TARGET)
    both = await world.files.put(b"y")

    world.store(TARGET).failure = StorageUnavailable("must not be asked")

    assert await world.files.get(file.id) == b"x"
    assert await world.files.get(both.id) == b"y"


async def test_every_process_follows_the_switch(world: FileWorld, caplog: pytest.LogCaptureFixture) -> None:
    other = world.another()
    old = await other.files.put(b"old")

    await world.files.move(TARGET)
    new = await other.files.put(b"new")

    assert len(world.primary.objects) == 1
    assert len(world.store(TARGET).objects) == 2
    world.primary.objects.clear()
    for process in (world, other, world.another(url=TARGET)):
        assert await process.files.get(old.id) == b"old"
        assert await process.files.get(new.id) == b"new"
    caplog.set_level(logging.WARNING)
    late = world.another()
    await late.files.put(b"late")
    words = (
        'moved out of the configured store ("memory:primary") to memory:target, which is used: set storage.url to it'
    )
    assert words in caplog.text
    assert len(world.store(TARGET).objects) == 3


async def test_a_put_that_began_before_the_switch_ends_in_the_target(world: FileWorld) -> None:
    """It was to write the old store alone, and is recorded when that one is retired already."""
    await world.storages.primary()
    moved = False

    async def move(name: str, _key: str) -> None:
        nonlocal moved
        if name == "upload" and not moved:
            moved = True
            await world.another().files.move(TARGET)

    world.primary.before = move

    file = await world.files.put(b"x")

    assert list(world.store(TARGET).objects) == [copy.key for copy in file.copies]
    assert await world.files.get(file.id) == b"x"


async def test_a_move_that_was_killed_goes_on_where_it_was(world: FileWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mover, "AT_A_TIME", 1)
    for number in range(6):
        await world.files.put(b"%d" % number)
    target = world.store(TARGET)

    async def die(name: str, _key: str) -> None:
        if name == "upload" and target.uploads == 3:
            moving.cancel()
            await asyncio.sleep(0)

    target.before = die
    moving = asyncio.create_task(world.files.move(TARGET))
    with pytest.raises(asyncio.CancelledError):
        await moving
    target.before = None
    assert await roles(world) == {"memory:primary": "primary", TARGET: "mirror"}

    moved = await world.another().files.move(TARGET)

    assert moved.switched
    assert target.uploads == 6
    assert await roles(world) == {"memory:primary": "retired", TARGET: "primary"}
    world.primary.objects.clear()
    assert [await world.files.get(file.id) for file in (await world.files.list())[::-1]] == [
        b"%d" % number for number in range(6)
    ]


async def test_two_moves_to_one_target_help_each_other(world: FileWorld) -> None:
    for number in range(20):
        await world.files.put(b"%d" % number)

    first, second = await asyncio.gather(
        world.files.move(TARGET), world.another().files.move(TARGET), return_exceptions=True
    )

    # Whoever comes second to the switch finds the files moved already.
    assert isinstance(first, Move) or isinstance(second, Move)
    assert await roles(world) == {"memory:primary": "retired", TARGET: "primary"}
    world.primary.objects.clear()
    for file in await world.files.list():
        assert await world.files.get(file.id)


async def test_a_file_that_is_deleted_while_it_moves_leaves_nothing_behind(world: FileWorld) -> None:
    doomed = await world.files.put(b"doomed")
    await world.files.put(b"stays")
    other = world.another()
    deleted = False

    async def delete(name: str, key: str) -> None:
        nonlocal deleted
        if name == "upload" and doomed.sha256 in key and not deleted:
            deleted = True
            await other.files.delete(doomed.id)

    world.store(TARGET).before = delete

    await world.files.move(TARGET)
    await world.files.collect()

    assert list(world.store(TARGET).objects.values()) == [b"stays"]


async def test_a_mirror_that_fails_holds_no_put_up_and_is_filled_later(world: FileWorld) -> None:
    await world.storages.primary()
    await world.moves.mirror(TARGET)
    world.store(TARGET).failure = StorageUnavailable("away")
    file = await world.files.put(b"x")
    assert [copy.store_id for copy in file.copies] == [1]
    world.store(TARGET).failure = None

    await world.files.move(TARGET)

    assert list(world.store(TARGET).objects.values()) == [b"x"]


async def test_what_cannot_be_copied_is_named_and_the_rest_is_copied(world: FileWorld) -> None:
    damaged = await world.files.put(b"damaged")
    await world.files.put(b"whole")
    world.primary.objects[damaged.copies[0].key] = b"changed"

    with pytest.raises(FileDamaged, match=f"could not be copied.*\nfile {damaged.id}: "):
        await world.files.move(TARGET)

    assert await roles(world) == {"memory:primary": "primary", TARGET: "mirror"}
    assert list(world.store(TARGET).objects.values()) == [b"whole"]
    await world.files.delete(damaged.id)
    assert (await world.files.move(TARGET)).switched


async def test_a_store_that_was_away_is_no_damage_and_the_move_is_begun_again(world: FileWorld) -> None:
    file = await world.files.put(b"x")
    target = world.store(TARGET)

    async def away(name: str, key: str) -> None:
        if name == "upload" and key.startswith("sha256/"):
            raise StorageUnavailable("it does not answer in time")

    target.before = away
    with pytest.raises(StorageUnavailable, match=f"Begin the move again.*\nfile {file.id}: it does not answer"):
        await world.files.move(TARGET)

    target.before = None
    assert (await world.files.move(TARGET)).switched


async def test_a_target_that_swallows_what_is_put_is_noticed_before_the_switch(world: FileWorld) -> None:
    await world.files.put(b"x")
    target = world.store(TARGET)

    async def swallow(name: str, key: str) -> None:
        if name == "stream":
            target.objects[key] = b"y"

    target.before = swallow
    with pytest.raises(FileDamaged, match="could not be copied"):
        await world.files.move(TARGET)
    assert (await roles(world))["memory:primary"] == "primary"


async def test_what_was_mirrored_and_is_not_there_is_noticed_before_the_switch(world: FileWorld) -> None:
    await world.storages.primary()
    await world.moves.mirror(TARGET)
    file = await world.files.put(b"x")
    world.store(TARGET).objects.clear()

    with pytest.raises(FileDamaged, match=f"file {file.id} is missing in the store that the files move to"):
        await world.files.move(TARGET)


async def test_a_target_that_cannot_be_used_is_told_before_anything_is_mirrored(world: FileWorld) -> None:
    await world.files.put(b"x")
    world.store(TARGET).failure = StorageRefused("no such bucket")

    with pytest.raises(StorageRefused, match="no such bucket"):
        await world.files.move(TARGET)
    assert await roles(world) == {"memory:primary": "primary"}
    with pytest.raises(StoresDiffer, match="the files are in memory:primary already"):
        await world.files.move("memory:primary")


async def test_a_move_can_be_given_up_before_the_switch_and_begun_again(world: FileWorld) -> None:
    assert await world.files.abandon_move() is None
    await world.files.put(b"a")
    await world.moves.mirror(TARGET)
    file = await world.files.put(b"b")
    with pytest.raises(StoresDiffer, match="the files are being moved to memory:target already"):
        await world.files.move("memory:third")

    assert await world.files.abandon_move() == TARGET

    assert await roles(world) == {"memory:primary": "primary", TARGET: "retired"}
    assert [copy.store_id for copy in (await world.files.info(file.id)).copies] == [1]
    await world.files.put(b"c")
    assert len(world.store(TARGET).objects) == 1
    assert (await world.files.move(TARGET)).switched
    assert await world.files.get(file.id) == b"b"


async def test_it_can_move_back(world: FileWorld) -> None:
    file = await world.files.put(b"x")
    await world.files.move(TARGET)
    world.primary.objects.clear()

    await world.files.move("memory:primary")

    world.store(TARGET).objects.clear()
    assert await world.another().files.get(file.id) == b"x"


async def test_many_files_are_copied_in_pages(world: FileWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mover, "PAGE", 2)
    for number in range(5):
        await world.files.put(b"%d" % number)
    told: list[int] = []

    await world.files.move(TARGET, on_progress=lambda state: told.append(state.lacking))

    assert told == [5, 3, 1, 0]


async def test_a_collection_after_a_move_removes_from_the_new_store_alone(world: FileWorld) -> None:
    file = await world.files.put(b"x")
    await world.files.move(TARGET)

    await world.files.delete(file.id)

    assert world.store(TARGET).objects == {}
    assert len(world.primary.objects) == 1
    with pytest.raises(FileMissing):
        await world.store(TARGET).download("x")
