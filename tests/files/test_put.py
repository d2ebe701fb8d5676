"""Putting and reading files: one content is stored once, and what comes out is what went in."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import START

from dovecote.errors import FileDamaged, FileMissing, FileTooLarge, StorageUnavailable, StoresDiffer, UnknownFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from file_world import FileWorld

    from dovecote.model import StoredFile

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


async def test_a_file_is_told_by_its_bytes(world: FileWorld) -> None:
    file = await world.files.put(PNG, name="dove.png")

    assert file.size == 16
    assert file.sha256 == hashlib.sha256(PNG).hexdigest()
    assert file.content_type == "image/png"
    assert file.name == "dove.png"
    assert (file.created_at, file.needed_at, file.kept) == (START, START, False)
    assert await world.files.info(file.id) == file
    assert await world.files.get(file.id) == PNG


async def test_its_key_begins_with_its_hash(world: FileWorld) -> None:
    file = await world.files.put(b"hello")

    (key,) = world.primary.objects
    assert key.startswith("sha256/2c/f2/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824-")
    assert [copy.key for copy in file.copies] == [key]
    assert world.primary.content_types[key] == "text/plain"


async def test_the_same_content_is_stored_once_and_has_many_names(world: FileWorld) -> None:
    first = await world.files.put(b"same", name="a.txt")
    await world.outbox.advance(60)

    second = await world.files.put(b"same", name="b.txt")

    assert second.id == first.id
    assert second.names == ("b.txt", "a.txt")
    assert (second.created_at, second.needed_at) == (first.created_at, world.outbox.now)
    assert world.primary.uploads == 1
    await world.is_consistent()


async def test_two_that_put_the_same_at_the_same_time_get_one_file(world: FileWorld) -> None:
    meeting = asyncio.Barrier(2)

    async def meet(name: str, _key: str) -> None:
        if name == "upload":
            await meeting.wait()

    world.primary.before = meet
    other = world.another()

    first, second = await asyncio.gather(
        world.files.put(b"same", name="a"), other.files.put(b"same", name="b", keep=True)
    )

    assert first.id == second.id
    assert world.primary.uploads == 2
    assert len(world.primary.objects) == 1
    assert await world.files.get(first.id) == b"same"
    found = await world.files.info(first.id)
    assert set(found.names) == {"a", "b"}
    assert found.kept
    assert await world.rows("loose_object") == []
    await world.is_consistent()


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Awaited:
    """An open file whose reading is awaited, such as aiofiles'."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    async def read(self, size: int) -> bytes:
        return self._file.read(size)


LARGE = bytes(range(256)) * 10_000


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "open file", "awaited file", "stream", "list"])
async def test_it_takes_whatever_holds_bytes(world: FileWorld, content: bytes, kind: str) -> None:
    halves = content[: len(content) // 2], content[len(content) // 2 :]
    sources: dict[str, Any] = {
        "bytes": content,
        "bytearray": bytearray(content),
        "memoryview": memoryview(content),
        "open file": io.BytesIO(content),
        "awaited file": Awaited(content),
        "stream": chunks(*halves),
        "list": list(halves),
    }

    file = await world.files.put(sources[kind])

    assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert await world.files.get(file.id) == content


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "small", "large"])
async def test_it_takes_a_path_and_its_name(world: FileWorld, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.bin"
    path.write_bytes(content)

    file = await world.files.put(path)

    assert file.name == "report.bin"
    assert await world.files.get((await world.files.put(str(path), name="other")).id) == content
    assert world.primary.uploads == 1


async def test_a_text_file_and_anything_else_are_refused_in_words(world: FileWorld, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="gave str in place of bytes: open it in binary mode"):
        await world.files.put(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a int cannot be put: give bytes, a path"):
        await world.files.put(17)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        await world.files.put(tmp_path / "missing")
    assert world.primary.objects == {}


async def test_a_file_that_changes_while_it_is_put_is_refused(world: FileWorld, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(LARGE)

    async def change(name: str, _key: str) -> None:
        if name == "upload":
            path.write_bytes(LARGE[::-1])

    world.primary.before = change

    with pytest.raises(FileDamaged, match="was changed while it was being put"):
        await world.files.put(path)
    assert world.primary.objects == {}
    assert await world.files.list() == []


@pytest.mark.parametrize("source", ["bytes", "path", "stream"])
async def test_more_than_the_limit_is_refused_before_it_is_uploaded(
    world: FileWorld, tmp_path: Path, source: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(LARGE)
    sources: dict[str, Any] = {"bytes": LARGE, "path": path, "stream": chunks(LARGE[:5], LARGE[5:])}

    with pytest.raises(FileTooLarge, match="more than 2,559,999 bytes"):
        await world.files.put(sources[source], max_size=2_559_999)
    assert world.primary.uploads == 0

    assert (await world.files.put(LARGE, max_size=2_560_000)).size == 2_560_000


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "line\nbreak", "nul\0", "é" * 128, "\ud800"])
async def test_a_name_that_no_file_can_have_is_refused(world: FileWorld, name: str) -> None:
    with pytest.raises(ValueError, match="file's name"):
        await world.files.put(b"x", name=name)


async def test_a_store_that_fails_leaves_no_file_and_the_next_try_makes_one(world: FileWorld) -> None:
    world.primary.failure = StorageUnavailable("the disk is full")

    with pytest.raises(StorageUnavailable, match="the disk is full"):
        await world.files.put(b"x")
    assert await world.files.list() == []
    world.primary.failure = None

    assert await world.files.get((await world.files.put(b"x")).id) == b"x"


async def test_a_damaged_content_is_an_error_and_its_end_is_never_given_out(world: FileWorld) -> None:
    file = await world.files.put(LARGE)
    (key,) = world.primary.objects
    for damaged in (LARGE[:-1] + b"x", LARGE[:-1], LARGE + b"x", b""):
        world.primary.objects[key] = damaged

        with pytest.raises(FileDamaged, match=f'another content as "file {file.id}"'):
            await world.files.get(file.id)
        given: list[bytes] = []
        with pytest.raises(FileDamaged):
            given.extend([chunk async for chunk in world.files.stream(file.id)])
        assert len(b"".join(given)) < len(LARGE)


async def test_a_content_that_is_gone_is_missing_and_a_file_that_never_was_is_unknown(world: FileWorld) -> None:
    file = await world.files.put(b"x")
    world.primary.objects.clear()

    with pytest.raises(FileMissing):
        await world.files.get(file.id)
    for id_ in (file.id + 1, 0, -1, 2**63):
        with pytest.raises(UnknownFile, match=f"no file has the id {id_}"):
            await world.files.info(id_)


async def test_it_is_saved_whole_or_not_at_all(world: FileWorld, tmp_path: Path) -> None:
    file = await world.files.put(LARGE)
    target = tmp_path / "out" / "target"
    target.parent.mkdir()
    target.write_bytes(b"old")

    (key,) = world.primary.objects
    world.primary.objects[key] = LARGE[:-1]
    with pytest.raises(FileDamaged):
        await world.files.save(file.id, target)
    assert target.read_bytes() == b"old"

    world.primary.objects[key] = LARGE
    assert await world.files.save(file.id, target) == file
    assert target.read_bytes() == LARGE
    assert names_in(target.parent) == ["target"]


async def test_files_are_listed_the_newest_first_a_page_at_a_time(world: FileWorld) -> None:
    made = [await world.files.put(b"%d" % number, name="same" if number % 2 else "other") for number in range(5)]

    page = await world.files.list(limit=2)
    rest = await world.files.list(before_id=page[-1].id)

    assert [*page, *rest] == made[::-1]
    assert await world.files.list(name="same") == [made[3], made[1]]
    assert await world.files.list(name="nobody's") == []


async def test_a_url_is_made_when_it_is_asked_for(world: FileWorld) -> None:
    file = await world.files.put(b"x")
    (key,) = world.primary.objects

    assert await world.files.url(file.id) == f"memory:primary/{key}?for=3600"


async def test_in_a_store_that_the_files_never_were_in_nothing_is_written_and_they_are_read_where_they_are(
    world: FileWorld,
) -> None:
    file = await world.files.put(b"x")
    other = world.another(url="memory:other?a=1&b=2")

    assert await other.files.get(file.id) == b"x"
    assert [each.id for each in await other.files.list()] == [file.id]
    refusals: list[Callable[[], Awaitable[object]]] = [
        lambda: other.files.put(b"y"),
        other.files.verify,
        other.files.collect,
        lambda: other.files.upload_url("y", "text/plain", max_size=9),
        lambda: other.files.move("memory:third"),
    ]
    for refused in refusals:
        with pytest.raises(StoresDiffer) as caught:
            await refused()
        assert str(caught.value) == (
            'the configured store is "memory:other?a=1&b=2", and that of the files is "memory:primary": configure that'
            " one again; `dovecote file move 'memory:other?a=1&b=2'` then moves them."
        )
    assert await other.files.get(file.id) == b"x"


async def test_where_no_store_is_configured_any_more_none_is_named_to_move_to(world: FileWorld) -> None:
    await world.files.put(b"x")

    with pytest.raises(StoresDiffer, match=r'"memory:primary": configure that one again\.$'):
        await world.another(url="beside the database: dovecote-files").files.put(b"y")


async def test_while_there_is_no_file_another_store_may_be_configured(world: FileWorld) -> None:
    await world.storages.primary()
    other = world.another(url="memory:other")

    file: StoredFile = await other.files.put(b"y")

    assert list(world.stores["memory:other"].objects) == [copy.key for copy in file.copies]


@pytest.mark.parametrize("file_id", ["1", 1.0, None, True, 2**63, -1])
async def test_what_is_no_id_is_an_unknown_file_at_once(world: FileWorld, file_id: Any) -> None:
    await world.files.put(PNG, name="dove.png")

    for call in (world.files.info, world.files.get, world.files.keep, world.files.delete):
        with pytest.raises(UnknownFile):
            await asyncio.wait_for(call(file_id), 10)


async def test_a_pipe_is_refused_and_not_waited_for(world: FileWorld, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="no regular file"):
        await asyncio.wait_for(world.files.put(tmp_path / "pipe"), 10)
