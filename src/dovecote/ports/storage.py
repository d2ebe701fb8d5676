"""Where the contents of files are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from datetime import timedelta

    from dovecote.model import ObjectInfo, SignedUpload


class FileStorage(Protocol):
    """Contents by key. Every backend takes the same keys: one normaliser stands before them all."""

    async def upload(
        self, file: bytes | AsyncIterable[bytes], key: str, *, content_type: str | None = None, size: int | None = None
    ) -> str:
        """Store it whole or not at all, in place of what the key held, and answer a URL to read it by.

        `size`, in bytes, is what a stream promises to hold; one that holds something else raises FileDamaged. Raises
        InvalidKey, StorageUnavailable, StorageRefused, and what the stream raises. Cancelled, it leaves nothing behind.
        """

    async def download(self, key: str) -> bytes:
        """The whole content. Raises InvalidKey, FileMissing, FileDamaged, StorageUnavailable, StorageRefused."""

    def stream(self, key: str, *, chunk_size: int = 256 * 1024) -> AsyncIterator[bytes]:
        """The content in chunks of at most `chunk_size` bytes. Raises what `download` does, as it goes."""

    async def delete(self, key: str) -> bool:
        """Remove it, and answer whether there was something.

        Of several at one moment exactly one answers True in a folder; an S3-compatible store cannot tell, and each may.
        """

    async def exists(self, key: str) -> bool:
        """Whether there is a content of this key."""

    async def info(self, key: str) -> ObjectInfo:
        """Size in bytes, instant of the last change, content type where the store keeps one. Raises FileMissing."""

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        """A URL to read it by: under the public base URL where one is set, else signed and good for `expires_in`."""

    def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Every key that begins with `prefix`, in no promised order, page by page."""


class StorageUpkeep(Protocol):
    """What a file storage needs besides its contents: to be looked at when a program starts, swept, and closed."""

    async def check(self, *, writes: bool = True) -> None:
        """Raise StorageRefused or StorageUnavailable, in words, if it could not be worked with.

        With `writes` it stores something small and removes it again.
        """

    async def sweep(self, *, older_than: timedelta) -> int:
        """Remove what uploads of killed processes have left behind for so long, and answer how many it was."""

    async def signed_upload(
        self, key: str, *, content_type: str, largest: int, size: int | None = None, expires_in: timedelta
    ) -> SignedUpload:
        """Let somebody else upload this key, and this type, past us: `largest` bytes at most, or exactly `size`.

        Raises InvalidKey, ValueError for limits that cannot be, StorageRefused where the store cannot do it.
        """

    async def close(self) -> None:
        """Give back every connection and thread. May be called again."""


class ManagedStorage(FileStorage, StorageUpkeep, Protocol):
    """Both: what a Dovecote keeps its files in."""
