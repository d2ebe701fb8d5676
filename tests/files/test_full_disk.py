"""A disk that takes no more of a file, for real: the process may write files of two megabytes and none larger."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from dovecote.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from file_world import FileWorld

MEGABYTE = 1024 * 1024


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def stream(megabytes: int) -> AsyncIterator[bytes]:
    for number in range(megabytes):
        yield bytes([number]) * MEGABYTE


async def test_a_stream_that_the_temporary_folder_does_not_take_is_told_in_words_and_makes_no_file(
    world: FileWorld,
) -> None:
    with no_file_over(2 * MEGABYTE), pytest.raises(StorageUnavailable) as told:
        await world.files.put(stream(4), name="large.bin")

    assert "temporary folder" in str(told.value)
    assert "TMPDIR" in str(told.value)
    assert await world.files.list() == []
    assert world.primary.objects == {}


async def test_a_file_that_cannot_be_saved_leaves_the_old_one_and_nothing_beside_it(
    world: FileWorld, tmp_path: Path
) -> None:
    file = await world.files.put(stream(4), name="large.bin")
    (tmp_path / "saved").mkdir()
    target = tmp_path / "saved" / "large.bin"
    target.write_bytes(b"what was there")

    with no_file_over(2 * MEGABYTE), pytest.raises(StorageUnavailable) as told:
        await world.files.save(file.id, target)

    assert f"the disk of {target.parent} does not take the file" in str(told.value)
    assert [path.name for path in target.parent.iterdir()] == ["large.bin"]
    assert target.read_bytes() == b"what was there"


@pytest.mark.parametrize("name", [".", ".."])
async def test_the_name_of_a_folder_is_none_of_a_file(world: FileWorld, name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be a file's name: it is a folder's"):
        await world.files.put(b"x", name=name)
