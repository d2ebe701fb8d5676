"""Comparing database and store: what is missing, damaged or stray is named, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from file_world import PRIMARY

from dovecote.errors import StorageUnavailable
from dovecote.model import Discrepancy, Verification

if TYPE_CHECKING:
    from file_world import FileWorld


async def test_what_agrees_is_counted(world: FileWorld) -> None:
    for number in range(3):
        await world.files.put(b"%d" % number)
    told: list[tuple[int, int]] = []

    verification = await world.files.verify(on_progress=lambda done, total: told.append((done, total)))

    assert verification == Verification(3, 3, ())
    assert told == [(1, 3), (2, 3), (3, 3)]


async def test_what_is_missing_damaged_or_stray_is_named(world: FileWorld) -> None:
    missing, cut, changed, whole = [await world.files.put(b"content %d" % number) for number in range(4)]
    objects = world.primary.objects
    del objects[missing.copies[0].key]
    objects[cut.copies[0].key] = b"content"
    objects[changed.copies[0].key] = b"CONTENT 2"
    objects["sha256/00/00/stray"] = b"?"
    objects["incoming/stray"] = b"?"
    objects["somebody else's"] = b"?"

    verification = await world.files.verify()

    found = {(one.problem, one.file_id, one.key) for one in verification.found}
    assert found == {
        ("missing", missing.id, missing.copies[0].key),
        ("damaged", cut.id, cut.copies[0].key),
        ("damaged", changed.id, changed.copies[0].key),
        ("stray", None, "sha256/00/00/stray"),
        ("stray", None, "incoming/stray"),
    }
    assert {one.store for one in verification.found} == {PRIMARY}
    assert (verification.files, verification.objects) == (4, 5)
    (quick,) = [one for one in (await world.files.verify(quick=True)).found if one.problem == "damaged"]
    assert quick == Discrepancy("damaged", PRIMARY, cut.copies[0].key, cut.id, "it has 7 bytes instead of 9")
    assert await world.files.get(whole.id) == b"content 3"


async def test_what_comes_and_goes_meanwhile_is_no_disagreement(world: FileWorld) -> None:
    gone = await world.files.put(b"gone")
    await world.files.put(b"stays")
    other = world.another()
    done = False

    async def work(name: str, key: str) -> None:
        nonlocal done
        if name == "info" and key == gone.copies[0].key and not done:
            done = True
            await other.files.delete(gone.id)
            await other.files.put(b"new")

    world.primary.before = work

    assert (await world.files.verify()).found == ()


async def test_an_upload_that_is_under_way_is_no_stray(world: FileWorld) -> None:
    found: list[Verification] = []

    async def verify_meanwhile(name: str, key: str) -> None:
        if name == "upload":
            world.primary.before = None
            world.primary.objects[key] = b"half"
            found.append(await world.another().files.verify())

    world.primary.before = verify_meanwhile
    await world.files.put(b"x")

    assert found == [Verification(0, 1, ())]


async def test_a_copy_in_a_mirror_is_compared_as_well(world: FileWorld) -> None:
    await world.storages.primary()
    await world.moves.mirror("memory:target")
    file = await world.files.put(b"x")
    world.store("memory:target").objects.clear()

    (found,) = (await world.files.verify()).found

    assert (found.problem, found.store, found.file_id) == ("missing", "memory:target", file.id)


async def test_a_store_that_does_not_answer_leaves_its_contents_unreadable(world: FileWorld) -> None:
    file = await world.files.put(b"x")

    async def fail(name: str, _key: str) -> None:
        if name == "info":
            raise StorageUnavailable("away")

    world.primary.before = fail

    (found,) = (await world.files.verify()).found
    assert (found.problem, found.file_id, found.detail) == ("unreadable", file.id, "away")
