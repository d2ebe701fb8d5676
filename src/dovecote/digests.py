"""SHA-256 of contents: taken while they are stored, compared while they are read. It is the same over every storage.

A store may damage what it holds or cut it short, and no client of S3 compares more than a length. Whoever knows what
a content must be reads it through `checked` or `download_checked`: what differs is FileDamaged, and never comes whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable
from contextlib import aclosing
from io import BytesIO
from typing import TYPE_CHECKING, Final

from dovecote.errors import FileDamaged

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from dovecote.ports import FileStorage

RESTORE: Final = "Restore it; a stored file is deleted first, and then put anew."

_INLINE: Final = 64 * 1024
"""Bytes that are hashed faster than a thread is reached."""


class Digest:
    """The size, in bytes, and the SHA-256 of what has gone by so far."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """In hexadecimal, 64 characters."""
        return self._hash.hexdigest()

    async def add(self, chunk: bytes) -> None:
        """Take in a chunk; a large one off the loop."""
        self.size += len(chunk)
        if len(chunk) <= _INLINE:
            self._hash.update(chunk)
        else:
            await asyncio.to_thread(self._hash.update, chunk)

    async def over(self, source: bytes | AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """The source as it is, taken in on its way: `await storage.upload(digest.over(stream), key)`.

        It is taken in while whoever reads it is still busy with it. A source given as bytes comes in pieces.
        """
        adding: asyncio.Task[None] | None = None
        try:
            async for chunk in source if isinstance(source, AsyncIterable) else _pieces(source):
                if adding is not None:
                    await adding
                if len(chunk) <= _INLINE:
                    await self.add(chunk)
                    adding = None
                else:
                    adding = asyncio.ensure_future(self.add(chunk))
                yield chunk
        finally:
            if adding is not None:
                await adding
            await _close(source)


async def checked(
    chunks: AsyncIterable[bytes], *, name: str, sha256: str, size: int | None = None
) -> AsyncIterator[bytes]:
    """The chunks of the content `name`, of which the last is held back until all is known to be right.

    Raises FileDamaged in its place if the SHA-256 (in hexadecimal) or the size is another one.
    """
    digest = Digest()
    held: bytes | None = None
    async with aclosing(digest.over(chunks)) as taken_in:
        async for chunk in taken_in:
            if size is not None and digest.size > size:
                break
            if held is not None:
                yield held
            held = chunk
    _compare(name, digest, sha256, size)
    if held is not None:
        yield held


async def download_checked(storage: FileStorage, key: str, *, sha256: str, size: int | None = None) -> bytes:
    """The whole content. Raises FileDamaged if it is another one, and what `FileStorage.download` raises."""
    content = await storage.download(key)
    digest = Digest()
    await digest.add(content)
    _compare(key, digest, sha256, size)
    return content


def _compare(name: str, digest: Digest, sha256: str, size: int | None) -> None:
    if size is not None and digest.size != size:
        more = "more than " if digest.size > size else ""
        raise FileDamaged(
            f'the storage holds another content as "{name}" than was put there: it has {more}'
            f"{size if more else digest.size} bytes instead of {size}. {RESTORE}"
        )
    if digest.sha256 != sha256.lower():
        raise FileDamaged(
            f'the storage holds another content as "{name}" than was put there: its SHA-256 is {digest.sha256} '
            f"instead of {sha256}. {RESTORE}"
        )


async def _pieces(source: bytes) -> AsyncIterator[bytes]:
    whole = BytesIO(source)
    while piece := whole.read(1024 * 1024):
        yield piece


async def _close(source: object) -> None:
    """End a generator that was left early, so that what it holds is given back now."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
