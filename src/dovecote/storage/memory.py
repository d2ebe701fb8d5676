"""Contents in memory: for tests, those of applications included. What it holds ends with it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dovecote.errors import FileMissing, InvalidKey
from dovecote.model import ObjectInfo, SignedUpload
from dovecote.storage.keys import normalised, normalised_prefix, shown
from dovecote.storage.signatures import quoted
from dovecote.storage.sources import blocks, refuse_empty_chunks, refuse_impossible_limits, refuse_odd_type, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

BLOCK: Final = 1024 * 1024


class MemoryStorage:
    """Files in memory, as strict as a folder is: no key beneath another key.

    A URL begins with `public_url`; nothing serves it. `clock` says what time it is.
    """

    def __init__(
        self, *, public_url: str = "memory://files", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.public_url = public_url.rstrip("/")
        self._clock = clock
        self._contents: dict[str, tuple[bytes, ObjectInfo]] = {}

    def __repr__(self) -> str:
        return f"MemoryStorage({len(self._contents)} contents)"

    async def upload(
        self, file: bytes | AsyncIterable[bytes], key: str, *, content_type: str | None = None, size: int | None = None
    ) -> str:
        """Store it whole or not at all, and answer a URL. See `FileStorage`."""
        key = normalised(key)
        refuse_odd_type(content_type)
        content = whole(file, key, size)
        if content is None:
            async with blocks(file, key, block=BLOCK, size=size) as cut:  # type: ignore[arg-type] # it is a stream
                content = b"".join([block async for block in cut])
        self._refuse_folders(key)
        self._contents[key] = content, ObjectInfo(key, len(content), self._clock(), content_type)
        return f"{self.public_url}/{quoted(key)}"

    async def download(self, key: str) -> bytes:
        """The whole content."""
        return self._found(key)[0]

    async def stream(self, key: str, *, chunk_size: int = 256 * 1024) -> AsyncIterator[bytes]:
        """The content in chunks of at most `chunk_size` bytes: that of the moment when it began."""
        refuse_empty_chunks(chunk_size)
        content = self._found(key)[0]
        for place in range(0, len(content), chunk_size):
            yield content[place : place + chunk_size]
            await asyncio.sleep(0)

    async def delete(self, key: str) -> bool:
        """Remove it, and answer whether there was something."""
        return self._contents.pop(normalised(key), None) is not None

    async def exists(self, key: str) -> bool:
        """Whether there is a content of this key."""
        return normalised(key) in self._contents

    async def info(self, key: str) -> ObjectInfo:
        """Size, instant of the last change, content type. Raises FileMissing."""
        return self._found(key)[1]

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        """Under `public_url`; nothing serves it."""
        del expires_in
        return f"{self.public_url}/{quoted(normalised(key))}"

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Every key that begins with `prefix`."""
        prefix = normalised_prefix(prefix)
        for key in [key for key in self._contents if key.startswith(prefix)]:
            yield key

    async def check(self, *, writes: bool = True) -> None:
        """Nothing can be wrong."""

    async def sweep(self, *, older_than: timedelta = timedelta(0)) -> int:
        """Answer 0: a killed process leaves no memory behind."""
        del older_than
        return 0

    async def signed_upload(
        self, key: str, *, content_type: str, largest: int, size: int | None = None, expires_in: timedelta
    ) -> SignedUpload:
        """What a store would answer; nothing takes the upload, so a test calls `upload` in its place."""
        refuse_impossible_limits(largest, size)
        refuse_odd_type(content_type)
        return SignedUpload(
            "PUT",
            f"{self.public_url}/{quoted(normalised(key))}",
            self._clock() + expires_in,
            headers={"Content-Type": content_type},
        )

    async def close(self) -> None:
        """Do nothing: the contents stay as long as the object."""

    def _found(self, key: str) -> tuple[bytes, ObjectInfo]:
        key = normalised(key)
        if key not in self._contents:
            raise FileMissing(f"there is no content under the key {shown(key)} in memory.")
        return self._contents[key]

    def _refuse_folders(self, key: str) -> None:
        for other in self._contents:
            if other.startswith(f"{key}/"):
                raise InvalidKey(f"the key {shown(key)} cannot be stored here: there are keys beneath {shown(key)}/.")
            if key.startswith(f"{other}/"):
                raise InvalidKey(f"the key {shown(key)} cannot be here: {shown(other)} is a content itself, no folder.")
