"""Uploads parts to S3 and is then stuck, until it is killed: python stuck_upload.py BUCKET ENDPOINT PREFIX."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from dovecote.storage import S3Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PART = 8 * 1024 * 1024


async def source() -> AsyncIterator[bytes]:
    for _ in range(4):
        yield bytes(PART)
    sys.stdout.write("stuck\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def main() -> None:
    bucket, endpoint, prefix = sys.argv[1:]
    await S3Storage(bucket, endpoint, prefix=prefix).upload(source(), "a b/ü.bin")


if __name__ == "__main__":
    asyncio.run(main())
