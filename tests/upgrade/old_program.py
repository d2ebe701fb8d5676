"""A program of an older version, which runs while somebody migrates. Started with that version on PYTHONPATH.

Its one argument is JSON: `url`, `base_url`, `key`. What it has done before and after the migration it tells on its
standard output, a line of JSON each; when it has told what was before, it waits for a line of input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import dovecote as package
from dovecote import Dovecote, Notification
from dovecote.broadcast import Broadcast
from dovecote.config import Settings
from dovecote.errors import NotMigrated
from dovecote.service import Service

TOKEN = "4242:" + "A" * 35
BOUND = 60.0


def say(**what: Any) -> None:
    """Tell whoever has started this."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def until(dovecote: Dovecote, *, delivered: int) -> None:
    """Wait until so many are delivered."""
    ends_at = time.monotonic() + BOUND
    while (await dovecote.stats()).delivered < delivered:
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{await dovecote.stats()} after {BOUND} s")
        await asyncio.sleep(0.02)


async def enqueue(dovecote: Dovecote, first: int) -> None:
    """Three with keys, one whose key is known already, and one for a group."""
    async with dovecote.transaction() as connection:
        await dovecote.enqueue(
            connection,
            [
                *(Notification(bot="shop", chat_id=n, text=str(n), key=f"order-{n}") for n in range(first, first + 3)),
                Notification(bot="shop", chat_id=1, text="1", key="order-1"),
                Notification(bot="shop", chat_id=-first, text="to a group"),
            ],
        )


async def main(given: dict[str, Any]) -> None:
    """Before, at and after the migration."""
    settings = Settings.model_validate(
        {"telegram": {"base_url": given["base_url"]}, "encryption": {"keys": [given["key"]]}}
    )
    async with Dovecote(given["url"], settings=settings) as dovecote:
        await dovecote.migrate()
        await dovecote.add_bot("shop", token=TOKEN, pace=None, private_limit=None, group_limit=None)
        service = Service(dovecote, http=False)
        running = asyncio.create_task(service.run())
        await enqueue(dovecote, 1)
        await until(dovecote, delivered=4)
        await dovecote.broadcasts.create(Broadcast(name="before", bot="shop", text="news"), range(1001, 1021))
        say(package=package.__file__, revision=(await dovecote.database.revision())[0])
        await asyncio.to_thread(sys.stdin.readline)

        try:
            await dovecote.database.check_migrated()
        except NotMigrated as error:
            say(would_start_again=str(error))
        await enqueue(dovecote, 101)
        await until(dovecote, delivered=8)
        await dovecote.broadcasts.start("before")
        await until(dovecote, delivered=28)
        # By its own reckoning, which counts the history.
        stats = await dovecote.stats()
        say(delivered=stats.delivered, dead=stats.dead, due=stats.due)
        service.stop()
        await running


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
