"""The folder: never outside of its root, never a torn content, and clear words when the system refuses."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from folder_programs import NEW, PROGRAM, STEPS
from scripted_socket import soon

from dovecote.errors import FileDamaged, FileMissing, InvalidKey, StorageRefused, StorageUnavailable
from dovecote.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

OLD = b"the old content"
HOUR = timedelta(hours=1)
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"not yours")
    return folder


def partials(root: Path) -> list[Path]:
    return list((root / ".dovecote-partial").iterdir())


def make(path: Path, content: bytes | None = None) -> None:
    """A file, or a folder without a content."""
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)


def is_there(path: Path) -> bool:
    return path.exists()


async def keys_of(files: LocalStorage) -> list[str]:
    return sorted([key async for key in files.keys()])  # noqa: SIM118 - it is no mapping


def run(root: Path, *how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, PROGRAM, root, *how], capture_output=True, text=True, check=False)


async def stream_of(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


class TestKilled:
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_killed_upload_leaves_the_old_content_or_the_new_and_is_swept(self, root: Path, step: str) -> None:
        await LocalStorage(root).upload(OLD, "folder/k")

        done = await asyncio.to_thread(run, root, "killed", step)

        assert done.returncode == -signal.SIGKILL, done.stderr
        is_new = step in {"renamed", "folder fsync", "folder fsynced"}
        after = LocalStorage(root)
        assert await after.download("folder/k") == (NEW if is_new else OLD)
        assert await keys_of(after) == ["folder/k"]
        assert len(partials(root)) == (0 if is_new else 1)
        await after.upload(b"another", "other")
        assert partials(root) == [], "the first upload of a process sweeps"

    @pytest.mark.parametrize("as_stream", [False, True])
    async def test_the_content_is_on_the_disk_before_its_name_is(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, *, as_stream: bool
    ) -> None:
        """A kill leaves the system's memory; a power cut does not, and then the order counts."""
        files = LocalStorage(root)
        await files.upload(OLD, "folder/k")
        done: list[str] = []
        for name in ("write", "fsync", "rename"):
            monkeypatch.setattr(os, name, _recorded(name, getattr(os, name), done))

        await files.upload(stream_of(NEW) if as_stream else NEW, "folder/k")

        assert list(dict.fromkeys(done)) == ["write file", "fsync file", "rename", "fsync folder"]
        assert done[-3:] == ["fsync file", "rename", "fsync folder"]

    async def test_a_new_folder_is_on_the_disk_as_well(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = LocalStorage(root)
        await files.upload(OLD, "k")
        done: list[str] = []
        for name in ("mkdir", "fsync", "rename"):
            monkeypatch.setattr(os, name, _recorded(name, getattr(os, name), done))

        await files.upload(NEW, "a/b/k")

        folder = ["mkdir", "fsync folder"]
        assert done == ["fsync file", *folder, *folder, "rename", "fsync folder"]


def _recorded(name: str, real: Callable[..., Any], done: list[str]) -> Callable[..., Any]:
    def call(first: Any, *arguments: Any, **named: Any) -> Any:
        answer = real(first, *arguments, **named)
        if isinstance(first, int):
            kind = "folder" if stat.S_ISDIR(os.fstat(first).st_mode) else "file"
            done.append(f"{name} {kind}")
        else:
            done.append(name)
        return answer

    return call


class TestSweep:
    async def test_what_is_being_written_stays(self, root: Path) -> None:
        stuck, on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield NEW
            stuck.set()
            await on.wait()
            yield b"end"

        upload = asyncio.create_task(LocalStorage(root).upload(slow(), "k"))
        await soon(stuck.wait())
        assert await LocalStorage(root).sweep() == 0
        assert len(partials(root)) == 1
        on.set()
        await soon(upload)

        assert await LocalStorage(root).download("k") == NEW + b"end"
        assert partials(root) == []

    async def test_what_is_left_behind_goes_when_it_is_old_enough(self, root: Path) -> None:
        files = LocalStorage(root)
        await files.upload(OLD, "k")
        left = root / ".dovecote-partial" / "left"
        left.write_bytes(b"x")

        assert await files.sweep(older_than=HOUR) == 0
        os.utime(left, (0, 0))
        assert await files.sweep(older_than=HOUR) == 1
        assert await files.download("k") == OLD


class TestLinks:
    @pytest.fixture
    async def files(self, root: Path) -> LocalStorage:
        files = LocalStorage(root)
        await files.upload(OLD, "folder/k")
        return files

    async def test_a_link_as_a_folder_is_not_followed(self, files: LocalStorage, outside: Path) -> None:
        (files.root / "link").symlink_to(outside)

        await _refused_by_every_call(files, "link/secret")

        assert sorted(os.listdir(outside)) == ["secret"]  # noqa: PTH208
        assert (outside / "secret").read_bytes() == b"not yours"
        assert await keys_of(files) == ["folder/k"]
        with pytest.raises(StorageRefused, match="symbolic link"):
            _ = [key async for key in files.keys("link/")]

    async def test_a_link_as_a_leaf_is_not_followed(self, files: LocalStorage, outside: Path) -> None:
        (files.root / "leaf").symlink_to(outside / "secret")
        (files.root / "dangling").symlink_to(outside / "new")

        await _refused_by_every_call(files, "leaf")
        await _refused_by_every_call(files, "dangling")

        assert (outside / "secret").read_bytes() == b"not yours"
        assert not (outside / "new").exists()
        assert await keys_of(files) == ["folder/k"]

    async def test_a_link_in_place_of_the_partial_files_is_not_followed(self, root: Path, outside: Path) -> None:
        make(root)
        (root / ".dovecote-partial").symlink_to(outside)

        with pytest.raises(StorageRefused, match="symbolic link"):
            await LocalStorage(root).upload(b"x", "k")

        assert sorted(os.listdir(outside)) == ["secret"]  # noqa: PTH208

    async def test_the_root_itself_may_be_a_link(self, tmp_path: Path, root: Path) -> None:
        make(root)
        (tmp_path / "link").symlink_to(root)

        await LocalStorage(tmp_path / "link").upload(b"x", "a/k")

        assert (root / "a" / "k").read_bytes() == b"x"

    async def test_a_link_that_is_swapped_in_at_any_moment_leads_nowhere(
        self, files: LocalStorage, outside: Path
    ) -> None:
        (files.root / "swapped").mkdir()
        (files.root / "swapped" / "secret").write_bytes(b"yours")
        (files.root / "link").symlink_to(outside)
        done = threading.Event()

        def swap() -> None:
            library = ctypes.CDLL(None, use_errno=True)
            names = bytes(files.root / "swapped"), bytes(files.root / "link")
            while not done.is_set():
                assert library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0

        swapping = asyncio.create_task(asyncio.to_thread(swap))
        read: set[bytes] = set()
        expected = (StorageRefused, FileMissing, InvalidKey, StorageUnavailable)
        for number in range(300):
            with contextlib.suppress(*expected):
                read.add(await files.download("swapped/secret"))
            with contextlib.suppress(*expected):
                await files.upload(b"x", f"swapped/new-{number}")
            with contextlib.suppress(*expected):
                await files.delete(f"swapped/new-{number - 1}")
        done.set()
        await swapping

        assert read <= {b"yours"}
        assert sorted(os.listdir(outside)) == ["secret"]  # noqa: PTH208
        assert (outside / "secret").read_bytes() == b"not yours"


async def _refused_by_every_call(files: LocalStorage, key: str) -> None:
    for call in (
        files.upload(b"x", key),
        files.upload(stream_of(b"x"), key),
        files.download(key),
        files.info(key),
        files.exists(key),
        files.delete(key),
        anext(files.stream(key)),
    ):
        with pytest.raises(StorageRefused, match="symbolic link"):
            await call


class TestDiskFull:
    @pytest.mark.parametrize("as_stream", [False, True])
    @pytest.mark.parametrize(
        ("name", "number"), [("write", errno.ENOSPC), ("write", errno.EDQUOT), ("fsync", errno.ENOSPC)]
    )
    async def test_a_full_disk_is_told_and_the_old_content_is_whole(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, *, as_stream: bool
    ) -> None:
        """The system's call fails as on a full disk; a real one cannot be had without root."""
        files = LocalStorage(root)
        await files.upload(OLD, "k")

        def full(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, name, full)
        with pytest.raises(StorageUnavailable, match=r"the disk of .* is full .* Make room"):
            await files.upload(stream_of(NEW) if as_stream else NEW, "k")
        monkeypatch.undo()

        assert await files.download("k") == OLD
        assert partials(root) == [], "what was written makes room again"

    async def test_half_a_write_is_no_write(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.write
        monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:70_000]))

        await LocalStorage(root).upload(NEW, "k")

        assert await LocalStorage(root).download("k") == NEW

    async def test_a_limit_of_the_system_is_told_and_the_old_content_is_whole(self, root: Path) -> None:
        await LocalStorage(root).upload(OLD, "folder/k")

        done = await asyncio.to_thread(run, root, "limited")

        assert done.returncode == 0, done.stderr
        first, second, content = done.stdout.splitlines()
        assert first.startswith("StorageUnavailable a file in")
        assert "cannot be so large" in second
        assert content == OLD.decode()
        assert partials(root) == []


class TestRefused:
    async def test_a_folder_that_may_only_be_read_is_told(self, root: Path) -> None:
        await LocalStorage(root).upload(OLD, "folder/k")
        for folder in (root / ".dovecote-partial", root / "folder", root):
            folder.chmod(0o555)
        try:
            done = await asyncio.to_thread(run, root, "kept-out")
        finally:
            for folder in (root, root / "folder", root / ".dovecote-partial"):
                folder.chmod(0o755)

        assert done.returncode == 0, done.stderr
        *refusals, content = done.stdout.splitlines()
        assert len(refusals) == 4
        for refusal in refusals:
            assert refusal.startswith("StorageRefused the folder")
            assert "does not let this process in" in refusal
        assert content == OLD.decode()

    async def test_a_root_that_is_a_file_is_told(self, root: Path) -> None:
        make(root, b"x")

        with pytest.raises(StorageRefused, match="is no folder"):
            await LocalStorage(root).upload(b"x", "k")
        with pytest.raises(StorageRefused, match="is no folder"):
            await LocalStorage(root).check()

    async def test_a_root_that_is_not_there_yet_is_empty(self, root: Path) -> None:
        files = LocalStorage(root)

        assert await files.exists("k") is False
        assert await keys_of(files) == []
        await files.check(writes=False)
        assert not is_there(root)

    async def test_what_is_no_file_is_not_waited_for(self, root: Path) -> None:
        files = LocalStorage(root)
        await files.upload(OLD, "k")
        os.mkfifo(root / "pipe")

        with pytest.raises(StorageRefused, match="neither a file nor a folder"):
            await soon(files.download("pipe"))
        with pytest.raises(StorageRefused, match="neither a file nor a folder"):
            await files.upload(b"x", "pipe")

    async def test_a_file_that_is_cut_while_it_is_read_is_damaged(self, root: Path) -> None:
        files = LocalStorage(root)
        await files.upload(NEW, "k")
        stream = files.stream("k", chunk_size=1024)
        await anext(stream)

        os.truncate(root / "k", 2048)

        with pytest.raises(FileDamaged, match="2048 of 3145728"):
            _ = [chunk async for chunk in stream]

    async def test_a_content_that_is_replaced_while_it_is_read_stays_the_old_one(self, root: Path) -> None:
        files = LocalStorage(root)
        await files.upload(b"a" * 5000, "k")
        stream = files.stream("k", chunk_size=1000)
        first = await anext(stream)

        await files.upload(b"b" * 5000, "k")
        rest = b"".join([chunk async for chunk in stream])

        assert first + rest == b"a" * 5000


class TestFoldedCase:
    async def test_a_twin_is_refused_where_the_file_system_takes_them_for_one(self, root: Path) -> None:
        files = LocalStorage(root)
        await files.upload(OLD, "Folder/Name")
        files._folder._folds_case = True  # no such file system is at hand; the names are compared all the same

        for twin in ("Folder/name", "folder/other", "folder/Name"):
            with pytest.raises(InvalidKey, match="in case alone"):
                await files.upload(b"x", twin)
            with pytest.raises(FileMissing):
                await files.download(twin)
            assert await files.exists(twin) is False
            assert await files.delete(twin) is False
        await files.upload(b"new", "Folder/Name")
        assert await files.download("Folder/Name") == b"new"

    async def test_this_file_system_is_found_out_once_something_is_stored(self, root: Path) -> None:
        files = LocalStorage(root)
        await files.exists("k")
        assert files._folder._folds_case is None

        await files.upload(b"x", "k")
        (root / "CASE").touch()

        assert files._folder._folds_case is (root / "case").exists()


class TestURLs:
    async def test_a_url_is_a_file_of_this_machine_or_under_the_public_one(self, root: Path) -> None:
        assert await LocalStorage(root).upload(b"x", "a b/k") == f"file://{root}/a%20b/k"
        public = LocalStorage(root, public_url="https://files.example.com/")
        assert await public.url("a b/k", expires_in=HOUR) == "https://files.example.com/a%20b/k"


async def test_the_threads_end_with_it(root: Path) -> None:
    files = LocalStorage(root)
    await files.upload(b"x", "k")
    await files.close()
    await files.close()

    assert await files.download("k") == b"x", "and begin again"
    await files.close()
