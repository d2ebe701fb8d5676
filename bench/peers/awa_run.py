"""awa doing the same job: its queue storage in PostgreSQL, HTTP, recorded as completed. Its engine is in Rust.

From its README, its client's docstrings and docs/configuration.md: `enqueue_many_copy` for bulk, straight into queue
storage; the asynchronous client; one queue (its benchmarks say that more do not raise what goes through) whose
`max_workers` is how many jobs run at a time, 50 as it comes; `claimers`, of which it says to try 2 or 4 on a hot queue;
a pool of the queues times four and twenty connections.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson
from awa import AsyncClient

from bench.work import chat_of, http_client, measured_actions, method_url, result_of, send, stopwatch, text_of

QUEUE = "notifications"
CONNECTIONS = 24
ENQUEUED_AT_ONCE = 5_000
POLL_SECONDS = 0.005
LONGEST_SECONDS = 1500.0


@dataclass
class SendMessage:
    """A job."""

    chat_id: int
    text: str


async def fill(url: str, notifications: int) -> dict[str, Any]:
    """Install awa and enqueue `notifications` jobs."""
    client = AsyncClient(url, max_connections=CONNECTIONS)
    await client.migrate()
    await client.install_queue_storage()  # otherwise a worker's start would, and nothing could be copied before
    for start in range(0, notifications, ENQUEUED_AT_ONCE):
        numbers = range(start, min(start + ENQUEUED_AT_ONCE, notifications))
        await client.enqueue_many_copy([SendMessage(chat_of(n), text_of(n)) for n in numbers], queue=QUEUE)
    await client.close()
    return {}


async def deliver(url: str, peer: str, notifications: int, max_workers: int, claimers: int) -> dict[str, Any]:
    """Work until the queue is empty and everything recorded. `max_workers` bounds the requests at a time."""
    client = AsyncClient(url, max_connections=CONNECTIONS)
    destination = method_url(peer)
    done = 0
    async with http_client(max_workers) as http:

        @client.task(SendMessage, queue=QUEUE)
        async def send_one(job: Any) -> None:
            nonlocal done
            await send(http, destination, orjson.dumps({"chat_id": job.args.chat_id, "text": job.args.text}))
            done += 1

        with stopwatch() as watch:
            async with asyncio.timeout(LONGEST_SECONDS):
                await client.start([{"name": QUEUE, "max_workers": max_workers, "claimers": claimers}])
                busy = True
                while busy:
                    await asyncio.sleep(POLL_SECONDS)
                    busy = done < notifications or await _unfinished(client) > 0
        await client.shutdown()
    (completed,) = [one.completed_last_hour for one in await client.queue_stats() if one.queue == QUEUE]
    await client.close()
    if completed != notifications:
        raise RuntimeError(f"awa recorded {completed} completed jobs of {notifications}")
    return result_of(watch, notifications)


async def _unfinished(client: AsyncClient) -> int:
    """How many jobs wait or run."""
    return sum(one.available + one.running + one.retryable for one in await client.queue_stats())


if __name__ == "__main__":
    measured_actions(fill=fill, deliver=deliver)
