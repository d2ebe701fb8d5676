"""Stores and reads 50 MB as a process of its own: python large_user.py URL, an empty storage's URL.

Prints JSON: by how much memory grew at most, in MB, and for how long the loop was held up at most, in milliseconds,
less what the machine spent on other processes meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from large_contents import SIZE, LoopWatch, peak, source

from dovecote.digests import Digest, checked, download_checked
from dovecote.storage.addresses import opened


async def main(watch: LoopWatch) -> dict[str, Any]:
    storage = opened(sys.argv[1])
    await storage.upload(b"warm", "warm")
    await storage.download("warm")
    base = peak()
    watch.longest = 0.0
    digest = Digest()
    await storage.upload(digest.over(source()), "streamed", size=SIZE)
    size = 0
    async for chunk in checked(storage.stream("streamed"), name="streamed", sha256=digest.sha256, size=SIZE):
        size += len(chunk)
    grown = peak() - base
    content = await download_checked(storage, "streamed", sha256=digest.sha256)
    await storage.upload(content, "at once")
    await storage.close()
    return {"size": size, "grown_mb": grown, "held_up_ms": watch.longest * 1000}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(LoopWatch()))))
