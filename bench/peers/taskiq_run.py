"""taskiq on Redis doing the same job: its stream, HTTP, acknowledged.

From its README and source: `RedisStreamBroker`, the one broker of taskiq-redis that acknowledges, so that a killed
worker's tasks are not lost; its consumer group reads from the stream's beginning, as the tasks are there before the
worker is; hiredis; no result backend, for nobody reads results; `run_receiver_task`, which is the worker's own loop,
with `max_async_tasks` at a time. `xread_count`, how many are fetched at once, is 100 as it comes. Between two fetches
the broker takes a lock for what others have left unacknowledged; that is its way and stays on. Tasks are added one by
one, many at a time, since there is no bulk.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from redis.asyncio import Redis
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from bench.work import chat_of, http_client, measured_actions, method_url, result_of, send, stopwatch, text_of

TASK = "send"
ADDED_AT_ONCE = 64
POLL_SECONDS = 0.005
LONGEST_SECONDS = 1500.0


def broker_at(url: str, read_at_once: int = 100) -> RedisStreamBroker:
    """The broker, which reads from the beginning."""
    return RedisStreamBroker(url, consumer_id="0", xread_count=read_at_once)


async def fill(url: str, notifications: int) -> dict[str, Any]:
    """Add `notifications` tasks."""
    broker = broker_at(url)
    numbers = iter(range(notifications))

    @broker.task(task_name=TASK)
    async def send_one(chat_id: int, text: str) -> None:
        raise RuntimeError(f"this process only adds tasks, but was given {text} for {chat_id}")

    async def adder() -> None:
        for number in numbers:
            await send_one.kiq(chat_of(number), text_of(number))

    await broker.startup()
    await asyncio.gather(*(adder() for _ in range(ADDED_AT_ONCE)))
    await broker.shutdown()
    return {}


async def deliver(url: str, peer: str, notifications: int, concurrency: int, read_at_once: int) -> dict[str, Any]:
    """Work until everything was acknowledged. `concurrency` bounds the requests at a time."""
    broker = broker_at(url, read_at_once)
    broker.is_worker_process = True
    destination = method_url(peer)
    done = 0
    async with http_client(concurrency) as client, Redis.from_url(url) as redis:

        @broker.task(task_name=TASK)
        async def send_one(chat_id: int, text: str) -> None:
            nonlocal done
            await send(client, destination, orjson.dumps({"chat_id": chat_id, "text": text}))
            done += 1

        with stopwatch() as watch:
            async with asyncio.timeout(LONGEST_SECONDS):
                working = asyncio.create_task(
                    run_receiver_task(broker, run_startup=True, max_async_tasks=concurrency, max_prefetch=concurrency)
                )
                while done < notifications or (await redis.xpending(broker.queue_name, "taskiq"))["pending"]:
                    if working.done():
                        raise RuntimeError(f"the worker ended after {done} tasks: {working.result()}")
                    await asyncio.sleep(POLL_SECONDS)
        working.cancel()
        await asyncio.wait([working])
        await broker.shutdown()
    return result_of(watch, notifications)


if __name__ == "__main__":
    measured_actions(fill=fill, deliver=deliver)
