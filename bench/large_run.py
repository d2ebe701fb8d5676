"""The measured process of `bench.large`: puts a stream, sends it as a document, and watches its memory and its loop."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from bench.file_work import pieces
from bench.processes import ROOT
from bench.work import TOKEN, stopwatch

sys.path.insert(0, str(ROOT / "tests"))

from large_contents import LoopWatch, peak
from pyreqwest.client import ClientBuilder

from dovecote import Attachment, Dovecote, methods
from dovecote.config import Settings
from dovecote.vault import generate_key

if TYPE_CHECKING:
    from dovecote.model import StoredFile

SECONDS = "900s"
"""How long an upload may take: on a slow machine the emulator needs a while for 2 GB."""


async def run(watch: LoopWatch, *, database: str, storage: dict[str, str], telegram: str, size: int) -> dict[str, Any]:
    """Send a small file first, which loads everything that is needed; then the large one."""
    settings = Settings.model_validate(
        {
            "database": {"url": database},
            "storage": storage,
            "telegram": {"base_url": telegram, "largest_upload": 2000, "upload_timeout": SECONDS},
            "encryption": {"keys": [generate_key()]},
        }
    )
    async with Dovecote(settings=settings) as dovecote:
        await dovecote.migrate()
        await dovecote.add_bot("bench", token=TOKEN, pace=None)
        await _send(dovecote, await dovecote.files.put(b"warm"))
        base, watch.longest = peak(), 0.0
        with stopwatch() as put:
            file = await dovecote.files.put(pieces(size), name="large.bin")
        with stopwatch() as sent:
            await _send(dovecote, file)
        grown, block = peak() - base, watch.longest
        if (await dovecote.stats()).delivered != 2:
            raise RuntimeError("the file was not delivered")
    if [file.sha256, size] not in await _arrived(telegram):
        raise RuntimeError("the emulator has not got the file as it was put")
    return {
        "size": size,
        "base_mb": base,
        "rss_over_base_mb": grown,
        "longest_block_ms": block * 1000,
        "put_seconds": put.seconds,
        "send_seconds": sent.seconds,
        "cpu_seconds": put.cpu_seconds + sent.cpu_seconds,
    }


async def _send(dovecote: Dovecote, file: StoredFile) -> None:
    async with dovecote.transaction() as connection:
        await dovecote.enqueue(connection, methods.document("bench", 42, Attachment(file)))
    await dovecote.worker().run(until_empty=True)


async def _arrived(telegram: str) -> list[list[Any]]:
    async with ClientBuilder().build() as client:
        answer = await (await client.get(f"{telegram}/emulator/uploads").build().send()).json()
    return [[each["sha256"], each["size"]] for each in answer["uploads"]]


if __name__ == "__main__":
    # The standard loop: its callbacks can be timed one by one.
    sys.stdout.write(json.dumps(asyncio.run(run(LoopWatch(), **json.loads(sys.argv[1])))) + "\n")
