"""Contents in a folder of this machine: the embedded default, with no service to start.

The folder may be a network file system that several instances share, as long as it has atomic renames. How it stays
whole is in folder.py; here blocking calls are taken off the loop. A cancelled call returns when its thread has ended,
so that nothing is still at work behind its back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from dovecote.errors import FileDamaged, FileMissing, StorageRefused
from dovecote.model import ObjectInfo
from dovecote.storage.folder import Folder, Partial
from dovecote.storage.keys import normalised, normalised_prefix, shown
from dovecote.storage.signatures import quoted
from dovecote.storage.sources import blocks, refuse_empty_chunks, refuse_odd_type, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator

    from dovecote.model import SignedUpload

Answer = TypeVar("Answer")

BLOCK: Final = 1024 * 1024
_THREADS: Final = 8
_PAGE: Final = 500


class LocalStorage:
    """Files under `root`, which is made when the first one is stored.

    `public_url` is where a web server shows the folder; without it a URL is a `file:` one, for this machine alone.
    """

    def __init__(self, root: str | os.PathLike[str], *, public_url: str | None = None) -> None:
        """Nothing is opened before it is needed. Raises StorageRefused where the system lacks what is needed."""
        if os.open not in os.supports_dir_fd:
            raise StorageRefused(
                "LocalStorage needs a system on which files are opened relative to a folder, and this one is none. "
                "Use an S3-compatible store."
            )
        # Absolute now: the working directory may change.
        self.root = Path(root).expanduser().absolute()
        self.public_url = public_url.rstrip("/") if public_url else None
        self._folder = Folder(self.root)
        self._threads: ThreadPoolExecutor | None = None
        self._swept = False

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.root)!r})"

    async def upload(
        self, file: bytes | AsyncIterable[bytes], key: str, *, content_type: str | None = None, size: int | None = None
    ) -> str:
        """Store it whole or not at all, and answer a URL. A folder keeps no content type. See `FileStorage`."""
        key = normalised(key)
        refuse_odd_type(content_type)
        content = whole(file, key, size)
        if content is not None:
            await self._run(self._store, key, content)
        else:
            await self._receive(file, key, size)  # type: ignore[arg-type] # it is a stream
        return self._url(key)

    async def download(self, key: str) -> bytes:
        """The whole content."""
        return await self._run(self._read, normalised(key))

    async def stream(self, key: str, *, chunk_size: int = 256 * 1024) -> AsyncIterator[bytes]:
        """The content in chunks of at most `chunk_size` bytes: that of the moment when it began."""
        key = normalised(key)
        refuse_empty_chunks(chunk_size)
        opened: list[int] = []
        try:
            size = await self._run(self._open, key, opened)
            place = 0
            while place < size:
                chunk = await self._run(self._folder.read, opened[0], min(chunk_size, size - place), place)
                if not chunk:
                    raise _short(key, place, size)
                place += len(chunk)
                yield chunk
        finally:
            for descriptor in opened:
                os.close(descriptor)

    async def delete(self, key: str) -> bool:
        """Remove it, and answer whether there was something."""
        try:
            await self._run(self._folder.delete, normalised(key))
        except FileMissing:
            return False
        return True

    async def exists(self, key: str) -> bool:
        """Whether there is a content of this key."""
        try:
            await self._run(self._folder.find, normalised(key))
        except FileMissing:
            return False
        return True

    async def info(self, key: str) -> ObjectInfo:
        """Size and instant of the last change. Raises FileMissing."""
        key = normalised(key)
        found = await self._run(self._folder.find, key)
        return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        """Under the public URL where one is set, else a `file:` URL, which does not expire."""
        del expires_in
        return self._url(normalised(key))

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Every key that begins with `prefix`. Files that no key leads to are passed over."""
        found = self._folder.keys(normalised_prefix(prefix))
        try:
            while page := await self._run(_page, found):
                for key in page:
                    yield key
        finally:
            await self._run(found.close)  # type: ignore[attr-defined] # a generator

    async def check(self, *, writes: bool = True) -> None:
        """Raise StorageRefused or StorageUnavailable, in words, if the folder could not be worked with."""
        await self._run(partial(self._folder.look, writes=writes))

    async def sweep(self, *, older_than: timedelta = timedelta(0)) -> int:
        """Remove what uploads of killed processes have left behind, and answer how many it was.

        What another process is writing is locked, and stays.
        """
        return await self._run(self._folder.sweep, older_than.total_seconds())

    async def signed_upload(
        self, key: str, *, content_type: str, largest: int, size: int | None = None, expires_in: timedelta
    ) -> SignedUpload:
        """Raise StorageRefused: nobody uploads into a folder past us."""
        del content_type, largest, size, expires_in
        raise StorageRefused(
            f"{shown(normalised(key))} cannot be uploaded past Dovecote: a folder takes no signed uploads. Upload it "
            "through Dovecote, or keep files in an S3-compatible store."
        )

    async def close(self) -> None:
        """End the threads. May be called again; the next call of another kind starts new ones."""
        if self._threads is not None:
            threads, self._threads = self._threads, None
            threads.shutdown(wait=False)

    def _url(self, key: str) -> str:
        return f"{self.public_url}/{quoted(key)}" if self.public_url else (self.root / key).as_uri()

    async def _receive(self, source: AsyncIterable[bytes], key: str, size: int | None) -> None:
        begun = Partial()
        try:
            await self._run(self._begin, begun)
            async with blocks(source, key, block=BLOCK, size=size) as cut:
                async for block in cut:
                    await self._run(self._folder.write, begun, block)
            await self._run(self._folder.commit, begun, key)
        finally:
            await self._run(self._folder.discard, begun)

    def _store(self, key: str, content: bytes) -> None:
        begun = Partial()
        try:
            self._begin(begun)
            self._folder.write(begun, content)
            self._folder.commit(begun, key)
        finally:
            self._folder.discard(begun)

    def _begin(self, begun: Partial) -> None:
        if not self._swept:
            self._folder.sweep(0.0)
            self._swept = True
        self._folder.begin(begun)

    def _open(self, key: str, opened: list[int]) -> int:
        descriptor, found = self._folder.open(key)
        opened.append(descriptor)
        return found.st_size

    def _read(self, key: str) -> bytes:
        descriptor, found = self._folder.open(key)
        try:
            parts: list[bytes] = []
            place = 0
            while place < found.st_size:
                part = self._folder.read(descriptor, found.st_size - place, place)
                if not part:
                    raise _short(key, place, found.st_size)
                parts.append(part)
                place += len(part)
        finally:
            os.close(descriptor)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _run(self, work: Callable[..., Answer], *arguments: object) -> Answer:
        """Run it in a thread. Cancelled, wait for its end all the same."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dovecote-files")
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({future})
            # Its own failure has no one left to hear it.
            if not future.cancelled():
                future.exception()
            raise


def _page(keys: Iterator[str]) -> list[str]:
    return list(islice(keys, _PAGE))


def _short(key: str, place: int, size: int) -> FileDamaged:
    return FileDamaged(f"{shown(key)} ends after {place} of {size} bytes: somebody else has cut the file.")
