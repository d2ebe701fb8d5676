"""The work that every client of the S3 store does: small objects many at a time, and large ones as streams.

A client is a module that gives `measured_files` how it stores and reads; what it must do beyond that, it does itself.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Protocol

from bench.work import Stopwatch, measured_process, result_of, stopwatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SMALL_SIZE = 1024
CONCURRENCY = 32
LARGE_SIZE = 64 * 1024 * 1024
PART_SIZE = 8 * 1024 * 1024
PIECE = hashlib.shake_256(b"files").digest(1024 * 1024)


class Client(Protocol):
    """How one of the measured clients stores and reads. Keys are used once."""

    async def put(self, key: str, content: bytes) -> None:
        """Store a small content."""

    async def get(self, key: str) -> bytes:
        """Read a small content."""

    async def put_stream(self, key: str, source: AsyncIterator[bytes]) -> None:
        """Store a large content without holding it."""

    def get_stream(self, key: str) -> AsyncIterator[bytes]:
        """Read a large content without holding it."""

    async def close(self) -> None:
        """Give back its connections."""


async def pieces(size: int) -> AsyncIterator[bytes]:
    """A content of `size` bytes, a multiple of a piece's."""
    for _ in range(size // len(PIECE)):
        yield PIECE


async def small(client: Client, folder: str, objects: int) -> dict[str, Any]:
    """Store `objects` contents of 1 KiB, then read them."""
    contents = {f"{folder}/small/{number}": number.to_bytes(8, "big") * (SMALL_SIZE // 8) for number in range(objects)}

    async def puts(keys: Iterator[str]) -> None:
        for key in keys:
            await client.put(key, contents[key])

    async def gets(keys: Iterator[str]) -> None:
        for key in keys:
            if await client.get(key) != contents[key]:
                raise RuntimeError(f"{key} came back as something else")

    with stopwatch() as put:
        keys = iter(contents)
        await asyncio.gather(*(puts(keys) for _ in range(CONCURRENCY)))
    with stopwatch() as get:
        keys = iter(contents)
        await asyncio.gather(*(gets(keys) for _ in range(CONCURRENCY)))
    rates = {"put_rate": objects / put.seconds, "get_rate": objects / get.seconds}
    return result_of(_both(put, get), 2 * objects, **rates)


async def stream(client: Client, folder: str, objects: int, size: int) -> dict[str, Any]:
    """Store `objects` contents of `size` bytes one after another, then read them."""
    megabytes = objects * size / 1024 / 1024
    with stopwatch() as up:
        for number in range(objects):
            await client.put_stream(f"{folder}/large/{number}", pieces(size))
    with stopwatch() as down:
        for number in range(objects):
            came = 0
            async for chunk in client.get_stream(f"{folder}/large/{number}"):
                came += len(chunk)
            if came != size:
                raise RuntimeError(f"{folder}/large/{number} came back with {came} bytes")
    rates = {"up_mb_per_s": megabytes / up.seconds, "down_mb_per_s": megabytes / down.seconds}
    return result_of(_both(up, down), 2 * objects, **rates)


def _both(one: Stopwatch, other: Stopwatch) -> Stopwatch:
    return Stopwatch(one.seconds + other.seconds, one.cpu_seconds + other.cpu_seconds)


def measured_files(make: Any) -> None:
    """Be the measured process of a client; `make(endpoint, bucket, key, secret)` connects it."""

    async def run(action: str, folder: str, objects: int, size: int = LARGE_SIZE, **where: str) -> dict[str, Any]:
        client = await make(**where)
        try:
            if action == "small":
                return await small(client, folder, objects)
            return await stream(client, folder, objects, size)
        finally:
            await client.close()

    measured_process(run)
