"""A process is killed between the store and the database, and the other way round: nothing is lost, nothing stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import killed_files
import pytest
import pytest_asyncio
from file_world import FileWorld

from dovecote.files import Files, Storages
from dovecote.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outboxes import Outbox


class Place:
    """A folder of files, and this process's view of it, on the clock of the test."""

    def __init__(self, outbox: Outbox, database: str, folder: Path) -> None:
        self.outbox = outbox
        self.database = database
        self.folder = folder
        self.world = FileWorld(outbox)
        storages = Storages(self.world.moves, folder.as_uri(), lambda _: LocalStorage(folder))
        self.storages = storages
        self.files = Files(self.world.catalogue, self.world.sweeper, storages, uploads=self.world.uploads)

    def kill(self, moment: str) -> None:
        """Run the process that dies at that moment."""
        program = [sys.executable, str(Path(killed_files.__file__)), self.database, self.folder.as_uri(), moment]
        died = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
        assert died.returncode == -signal.SIGKILL, died.stderr

    def objects(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]

    async def two_days_later(self) -> None:
        self.outbox.now = max(self.outbox.now, datetime.now(UTC)) + timedelta(days=2)
        await self.outbox.stop_clock()


@pytest_asyncio.fixture
async def place(outbox: Outbox, outbox_database: str, tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(outbox, outbox_database, tmp_path / "files")
    yield place
    await place.storages.close()


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("announced, not uploaded", 0),
        ("uploaded, not committed", 1),
        ("removed from the database, not from the store", 1),
        ("removed from the store, not forgotten", 0),
    ],
)
async def test_there_is_no_file_and_what_was_left_is_removed(place: Place, moment: str, left: int) -> None:
    place.kill(moment)

    assert await place.files.list() == []
    assert len(place.objects()) == left
    assert (await place.files.verify()).found == ()
    again = await place.files.put(killed_files.CONTENT, keep=True)
    await place.two_days_later()
    assert (await place.files.collect()).objects == 1
    assert len(place.objects()) == 1
    assert await place.world.rows("loose_object") == []
    assert await place.files.get(again.id) == killed_files.CONTENT
    assert (await place.files.verify()).found == ()


async def test_what_was_committed_is_there_though_nobody_was_told(place: Place) -> None:
    place.kill("committed, not answered")

    (file,) = await place.files.list()
    assert await place.files.get(file.id) == killed_files.CONTENT
    assert (await place.files.put(killed_files.CONTENT, keep=True)).id == file.id
    await place.two_days_later()
    await place.files.collect()
    assert await place.files.get(file.id) == killed_files.CONTENT
    assert len(place.objects()) == 1
