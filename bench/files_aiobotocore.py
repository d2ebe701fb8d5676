"""aiobotocore, the usual client: as many connections as there are calls, parts by hand, four at a time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from bench.file_work import CONCURRENCY, PART_SIZE, measured_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARTS_AT_A_TIME = 4
READ_SIZE = 1024 * 1024


class AiobotocoreClient:
    """As its documentation has it."""

    def __init__(self, client: Any, bucket: str, stack: AsyncExitStack) -> None:
        self._client = client
        self._bucket = bucket
        self._stack = stack

    async def put(self, key: str, content: bytes) -> None:
        """Store."""
        await self._client.put_object(Bucket=self._bucket, Key=key, Body=content)

    async def get(self, key: str) -> bytes:
        """Read."""
        answer = await self._client.get_object(Bucket=self._bucket, Key=key)
        async with answer["Body"] as body:
            return bytes(await body.read())

    async def put_stream(self, key: str, source: AsyncIterator[bytes]) -> None:
        """Store in parts."""
        where = {"Bucket": self._bucket, "Key": key}
        upload = (await self._client.create_multipart_upload(**where))["UploadId"]
        room = asyncio.Semaphore(PARTS_AT_A_TIME)
        parts: list[asyncio.Future[dict[str, Any]]] = []

        async def send(number: int, content: bytes) -> dict[str, Any]:
            try:
                answer = await self._client.upload_part(**where, UploadId=upload, PartNumber=number, Body=content)
            finally:
                room.release()
            return {"PartNumber": number, "ETag": answer["ETag"]}

        held = bytearray()
        async for piece in source:
            held += piece
            if len(held) >= PART_SIZE:
                await room.acquire()
                parts.append(asyncio.ensure_future(send(len(parts) + 1, bytes(held))))
                held.clear()
        done = await asyncio.gather(*parts)
        await self._client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": done})

    async def get_stream(self, key: str) -> AsyncIterator[bytes]:
        """Read as it comes."""
        answer = await self._client.get_object(Bucket=self._bucket, Key=key)
        async with answer["Body"] as body:
            while chunk := await body.read(READ_SIZE):
                yield chunk

    async def close(self) -> None:
        """Close the client."""
        await self._stack.aclose()


async def connect(endpoint: str, bucket: str, key: str, secret: str) -> AiobotocoreClient:
    """A client of the bucket."""
    stack = AsyncExitStack()
    client = await stack.enter_async_context(
        get_session().create_client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=AioConfig(max_pool_connections=CONCURRENCY, s3={"addressing_style": "path"}),
        )
    )
    return AiobotocoreClient(client, bucket, stack)


if __name__ == "__main__":
    measured_files(connect)
