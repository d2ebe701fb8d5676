"""Contents on their way into a store: hashed, looked at and counted before a byte is uploaded, in bounded memory.

The key of a content is its hash, so a stream has to be read to its end first. It waits in a temporary file meanwhile,
in memory when it is small. A file that is named by its path is read twice instead, and hashed again as it is uploaded:
one that changes in between is refused.

Hashing and disks are waited for in threads: the loop is never blocked by them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import inspect
import os
import stat
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from dovecote.errors import FileDamaged, FileTooLarge, StorageUnavailable
from dovecote.files.content_types import HEAD, content_type_of

if TYPE_CHECKING:
    from collections.abc import Callable

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | AsyncIterable[bytes] | Iterable[bytes] | IO[bytes]
"""What can be put: bytes, the path of a file, an open file, or chunks of bytes, awaited or not."""

CHUNK: Final = 1024 * 1024
"""Bytes that are read, hashed and written at a time, and up to which a stream waits in memory."""


class Content(Protocol):
    """A content that can be read again. `size` is in bytes, `sha256` in hexadecimal."""

    size: int
    sha256: str
    content_type: str
    whole: bytes | None
    """All of it, where it is in memory."""

    def chunks(self) -> AsyncIterator[bytes]:
        """It, from its beginning. Raises FileDamaged where it is not what it was."""


@asynccontextmanager
async def taken_in(source: Source, *, max_size: int | None = None) -> AsyncIterator[Content]:
    """Read a source to its end, and keep what cannot be read again until the block is left.

    Raises FileTooLarge for more than `max_size` bytes, TypeError for what cannot be read, FileNotFoundError and its kin
    for a path, StorageUnavailable where the temporary folder does not take it.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        _check_size(memoryview(source).nbytes, max_size)
        yield await asyncio.to_thread(_InMemory, bytes(source))
    elif isinstance(source, str | os.PathLike):
        file = await asyncio.to_thread(_opened, Path(source))
        try:
            yield await _OnDisk.read(file, max_size)
        finally:
            await asyncio.to_thread(file.close)
    else:
        spool = _Spool()
        try:
            async for chunk in _chunks_of(source):
                _check_size(spool.size + len(chunk), max_size)
                await spool.add(chunk)
            yield await spool.end()
        finally:
            await asyncio.to_thread(spool.close)


def _opened(path: Path) -> IO[bytes]:
    """Open a regular file; a pipe would be waited for, and could not be read twice."""
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (a Path takes no opener; the caller closes)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no regular file: open it, and put the open file", str(path))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_size(size: int, max_size: int | None) -> None:
    if max_size is not None and size > max_size:
        raise FileTooLarge(f"it has more than {max_size:,} bytes, which is the limit that was set for it.")


async def _chunks_of(source: Any) -> AsyncIterator[bytes]:
    if isinstance(source, AsyncIterable):
        async for chunk in source:
            yield chunk
    elif callable(getattr(source, "read", None)):
        while chunk := await _read(source.read):
            yield chunk
    elif isinstance(source, Iterable):
        for chunk in source:
            yield chunk
    else:
        kind = type(source).__name__
        raise TypeError(f"a {kind} cannot be put: give bytes, a path, an open file, or an iterator of bytes.")


async def _read(read: Callable[[int], Any]) -> bytes:
    """The next chunk of an open file, of one that is awaited as well."""
    if inspect.iscoroutinefunction(read):
        chunk = await read(CHUNK)
    else:
        chunk = await asyncio.to_thread(read, CHUNK)
        if inspect.isawaitable(chunk):
            chunk = await chunk
    if not isinstance(chunk, bytes):
        raise TypeError(f"an open file gave {type(chunk).__name__} in place of bytes: open it in binary mode.")
    return chunk


class _InMemory:
    """A content that is small, or that the caller has in memory already."""

    def __init__(self, content: bytes) -> None:
        self.whole: bytes | None = content
        self.size = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.content_type = content_type_of(content[:HEAD])

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, self.size, CHUNK):
            yield (self.whole or b"")[start : start + CHUNK]


class _OnDisk:
    """A content in an open file. It is hashed again whenever it is read, since others may write to it."""

    def __init__(self, file: IO[bytes], size: int, sha256: str, content_type: str) -> None:
        self._file = file
        self.whole: bytes | None = None
        self.size = size
        self.sha256 = sha256
        self.content_type = content_type

    @classmethod
    async def read(cls, file: IO[bytes], max_size: int | None) -> _OnDisk:
        """Look at it all."""
        digest, size, head = hashlib.sha256(), 0, b""
        while chunk := await asyncio.to_thread(_hashed, file, digest, size):
            head = head or chunk[:HEAD]
            size += len(chunk)
            _check_size(size, max_size)
        return cls(file, size, digest.hexdigest(), content_type_of(head))

    async def chunks(self) -> AsyncIterator[bytes]:
        digest, size = hashlib.sha256(), 0
        while chunk := await asyncio.to_thread(_hashed, self._file, digest, size):
            size += len(chunk)
            # The end is held back until it is known that the whole is right.
            if size >= self.size and (size != self.size or digest.hexdigest() != self.sha256):
                break
            yield chunk
        if size != self.size or digest.hexdigest() != self.sha256:
            raise FileDamaged("the file was changed while it was being put: put it again once nobody writes to it.")


def _hashed(file: IO[bytes], digest: Any, offset: int) -> bytes:
    chunk = os.pread(file.fileno(), CHUNK, offset)
    digest.update(chunk)
    return chunk


class _Spool:
    """Takes a stream in: hashed as it comes, in memory as long as it is small."""

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._head = b""
        self._file: IO[bytes] | None = None

    async def add(self, chunk: bytes) -> None:
        self._buffer += chunk
        self.size += len(chunk)
        if len(self._buffer) > CHUNK:
            await asyncio.to_thread(self._flush)

    async def end(self) -> Content:
        if self._file is None:
            return await asyncio.to_thread(_InMemory, bytes(self._buffer))
        await asyncio.to_thread(self._flush)
        return _OnDisk(self._file, self.size, self._digest.hexdigest(), content_type_of(self._head))

    def close(self) -> None:
        if self._file is not None:
            # What could not be written is told already, and is not to be written at the end either.
            with contextlib.suppress(OSError):
                self._file.close()

    def _flush(self) -> None:
        self._digest.update(self._buffer)
        try:
            if self._file is None:
                self._head = bytes(self._buffer[:HEAD])
                self._file = tempfile.TemporaryFile(prefix="dovecote-")  # noqa: SIM115 - it lives as long as the spool
            self._file.write(self._buffer)
            self._file.flush()
        except OSError as error:
            raise _does_not_take(error) from error
        self._buffer.clear()


def _does_not_take(error: OSError) -> StorageUnavailable:
    """What to tell where the temporary folder does not take a stream; there may be none at all."""
    where = tempfile.tempdir or "for streams"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageUnavailable(
            f"the temporary folder {where} is full: free some space, or name another with TMPDIR."
        )
    if error.errno == errno.EFBIG:
        return StorageUnavailable(
            f"a file in the temporary folder {where} cannot be so large ({error.strerror}): raise the limit of the"
            " process or of the file system, or name another folder with TMPDIR."
        )
    return StorageUnavailable(
        f"the temporary folder {where} cannot be written to ({error.strerror or error}): mend it, or name another with"
        " TMPDIR."
    )
