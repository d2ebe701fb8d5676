"""Puts and reads 50 MB as a process of its own: python large_put.py DATABASE FOLDER, a migrated and an empty one.

Prints JSON: by how much memory grew at most, in MB, and for how long the loop was held up at most, in milliseconds,
less what the machine spent on other processes meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from large_contents import LoopWatch, peak, source

from dovecote import Dovecote
from dovecote.config import Settings


async def main(watch: LoopWatch, database: str, folder: str) -> dict[str, Any]:
    settings = Settings.model_validate({"database": {"url": database}, "storage": {"url": folder}})
    async with Dovecote(settings=settings) as dovecote:
        warm = await dovecote.files.put(b"warm")
        await dovecote.files.get(warm.id)
        base, watch.longest = peak(), 0.0
        file = await dovecote.files.put(source(), name="large")
        size = 0
        async for chunk in dovecote.files.stream(file.id):
            size += len(chunk)
        await dovecote.files.save(file.id, "saved")
        again = await dovecote.files.put("saved")
        assert again.id == file.id
    return {"size": size, "grown_mb": peak() - base, "held_up_ms": watch.longest * 1000}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(LoopWatch(), *sys.argv[1:]))))
