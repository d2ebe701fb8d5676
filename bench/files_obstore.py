"""Bare obstore: nothing hashed, nothing checked; parts of the size that Dovecote takes, all else by its defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

from bench.file_work import PART_SIZE, measured_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ObstoreClient:
    """As its documentation has it."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def put(self, key: str, content: bytes) -> None:
        """Store."""
        await obstore.put_async(self._store, key, content)

    async def get(self, key: str) -> bytes:
        """Read."""
        return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def put_stream(self, key: str, source: AsyncIterator[bytes]) -> None:
        """Store in parts."""
        await obstore.put_async(self._store, key, source, chunk_size=PART_SIZE)

    async def get_stream(self, key: str) -> AsyncIterator[bytes]:
        """Read as it comes."""
        async for chunk in await obstore.get_async(self._store, key):
            yield chunk

    async def close(self) -> None:
        """Nothing is to be closed."""


async def connect(endpoint: str, bucket: str, key: str, secret: str) -> ObstoreClient:
    """A client of the bucket."""
    return ObstoreClient(
        S3Store(
            bucket,
            endpoint=endpoint,
            region="us-east-1",
            access_key_id=key,
            secret_access_key=secret,
            client_options={"allow_http": True},
        )
    )


if __name__ == "__main__":
    measured_files(connect)
