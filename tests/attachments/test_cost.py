"""What attachments cost: bounded memory, a loop that is never blocked, and nothing at all where there are none."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
from attaching import digest, png
from deliveries import delivery
from pyreqwest.client import ClientBuilder

from dovecote.emulator import EmulatorProcess
from dovecote.model import Attachment, Notification

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from databases import PostgresDatabases

MEGABYTE = 1024 * 1024
LARGE = 50 * MEGABYTE


class Watched:
    """The most that was seen: bytes of memory above the beginning, seconds of processor time between two turns."""

    memory = 0
    blocked = 0.0


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    """Watch this process and its loop. Processor time, for on a busy machine the clock would measure the others."""
    # As `Service` does: what the test session has left behind is not to be walked through meanwhile.
    gc.collect()
    gc.freeze()
    seen, process = Watched(), psutil.Process()
    base = process.memory_info().rss

    async def watch() -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            seen.blocked = max(seen.blocked, now - before)
            seen.memory = max(seen.memory, process.memory_info().rss - base)
            before = time.thread_time()

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        gc.unfreeze()


async def test_fifty_megabytes_go_out_within_bounded_memory_and_never_block_the_loop(
    outbox_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "large.bin"
    content = os.urandom(LARGE)
    path.write_bytes(content)
    sha256 = digest(content)
    del content
    with EmulatorProcess() as emulator:
        async with delivery(outbox_url, emulator.url, files=tmp_path / "files") as parts:
            async with watched() as putting:
                file = await parts.dovecote.files.put(path)
            document = {"document": Attachment(file)}
            await parts.enqueue(
                *(Notification(bot="shop", chat_id=n, method="sendDocument", params=document) for n in range(1, 4))
            )
            async with watched() as sending:
                await parts.dovecote.worker().run(until_empty=True)

            assert (await parts.dovecote.stats()).delivered == 3
            async with ClientBuilder().build() as client:
                uploads = await (await client.get(f"{emulator.url}/emulator/uploads").build().send()).json()

    assert uploads["uploads"] == [{"sha256": sha256, "size": LARGE, "count": 1, "bots": {"4242": 1}}]
    assert putting.memory < 100 * MEGABYTE
    assert sending.memory < 100 * MEGABYTE
    assert max(putting.blocked, sending.blocked) < 0.05


async def test_texts_cost_no_statement_and_no_look_at_a_file(
    postgres: PostgresDatabases, postgresql_outbox_url: str, tmp_path: Path
) -> None:
    with EmulatorProcess() as emulator:
        async with delivery(postgresql_outbox_url, emulator.url, files=tmp_path / "files") as parts:
            await parts.backlog(10)
            await parts.enqueue(
                *(
                    Notification(bot="shop", chat_id=n, method="sendPhoto", params={"photo": "https://a.example/x.png"})
                    for n in range(11, 21)
                )
            )
            await parts.dovecote.worker().run(until_empty=True)

            about_files = [
                statement
                for statement in postgres.statements(postgresql_outbox_url)
                if any(f"dovecote.{table} " in statement for table in ("file", "file_id", "file_name", "attachment"))
            ]

    assert about_files == []


async def test_a_batch_of_files_is_looked_up_in_one_statement(
    postgres: PostgresDatabases, postgresql_outbox_url: str, tmp_path: Path
) -> None:
    with EmulatorProcess() as emulator:
        settings = {"worker": {"batch_size": 20}, "files": tmp_path / "files"}
        async with delivery(postgresql_outbox_url, emulator.url, **settings) as parts:
            files = [await parts.dovecote.files.put(png(number)) for number in range(40)]
            photos = [{"photo": Attachment(file)} for file in files]
            for first in (1, 1001):
                await parts.enqueue(
                    *(
                        Notification(bot="shop", chat_id=first + n, method="sendPhoto", params=params)
                        for n, params in enumerate(photos)
                    )
                )
                parts.dovecote._knowledge._files.clear()
                parts.dovecote._knowledge._file_ids.clear()
                postgres.forget_statements(postgresql_outbox_url)
                await parts.dovecote.worker().run(until_empty=True)
            counted = postgres.statements(postgresql_outbox_url)

            assert (await parts.dovecote.stats()).delivered == 80
            looked_up = sum(count for text, count in counted.items() if "dovecote.file_id" in text)
            read = sum(count for text, count in counted.items() if "dovecote.file_copy" in text)

    # Forty in batches of twenty, all known by then: no upload, no content read, nothing for each by itself.
    assert 2 <= looked_up <= 4
    assert read == 0
