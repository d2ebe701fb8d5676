"""`S3Storage` as the engine uses it: everything hashed on its way in, and compared on its way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.file_work import measured_files
from dovecote.digests import Digest, checked, download_checked
from dovecote.storage.s3 import S3Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READ_SIZE = 1024 * 1024


class DovecoteClient:
    """Remembers the digests, as the database would."""

    def __init__(self, storage: S3Storage) -> None:
        self._storage = storage
        self._digests: dict[str, Digest] = {}

    async def put(self, key: str, content: bytes) -> None:
        """Store and hash."""
        digest = self._digests[key] = Digest()
        await digest.add(content)
        await self._storage.upload(content, key)

    async def get(self, key: str) -> bytes:
        """Read and compare."""
        digest = self._digests[key]
        return await download_checked(self._storage, key, sha256=digest.sha256, size=digest.size)

    async def put_stream(self, key: str, source: AsyncIterator[bytes]) -> None:
        """Store and hash on the way."""
        digest = self._digests[key] = Digest()
        await self._storage.upload(digest.over(source), key)

    async def get_stream(self, key: str) -> AsyncIterator[bytes]:
        """Read and compare on the way."""
        digest = self._digests[key]
        chunks = self._storage.stream(key, chunk_size=READ_SIZE)
        async for chunk in checked(chunks, name=key, sha256=digest.sha256, size=digest.size):
            yield chunk

    async def close(self) -> None:
        """Close the storage."""
        await self._storage.close()


async def connect(endpoint: str, bucket: str, key: str, secret: str) -> DovecoteClient:
    """A client of the bucket."""
    return DovecoteClient(S3Storage(bucket, endpoint, access_key_id=key, secret_access_key=secret))


if __name__ == "__main__":
    measured_files(connect)
