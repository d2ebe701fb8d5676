"""Uploads parts to S3 and is then stuck, until it is killed: python stuck_upload.py BUCKET ENDPOINT PREFIX [leave].

With `leave` the loop ends while the upload is going on.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from dovecote.storage import S3Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PART = 8 * 1024 * 1024
stuck = asyncio.Event()


async def source() -> AsyncIterator[bytes]:
    for _ in range(4):
        yield bytes(PART)
    sys.stdout.write("stuck\n")
    sys.stdout.flush()
    stuck.set()
    await asyncio.Event().wait()


async def main() -> None:
    bucket, endpoint, prefix, *leave = sys.argv[1:]
    upload = asyncio.create_task(S3Storage(bucket, endpoint, prefix=prefix).upload(source(), "a b/ü.bin"))
    if leave:
        await stuck.wait()
    else:
        await upload


if __name__ == "__main__":
    asyncio.run(main())
