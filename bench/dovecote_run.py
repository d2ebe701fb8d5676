"""Dovecote itself, with everything on but the pace: order and limits per chat, keys, attempts, history.

The settings are the default ones. The one module that knows Dovecote's API and tables. Each action is a process of its
own, as an application and a worker are.
"""

from __future__ import annotations

import os
import signal
from asyncio import get_running_loop
from typing import Any

import asyncpg

from bench.work import BOT, TOKEN, chat_of, measured_process, result_of, stopwatch, text_of
from dovecote import Dovecote, Notification
from dovecote.config import Settings

TOKEN_VARIABLE = "DOVECOTE_BENCH_TOKEN"
ENQUEUED_AT_ONCE = 10_000


def dovecote_at(url: str, peer: str = "http://127.0.0.1:1") -> Dovecote:
    """Dovecote on the database of `url`, with `peer` for the Bot API, otherwise as it comes."""
    os.environ[TOKEN_VARIABLE] = TOKEN
    return Dovecote(settings=Settings.model_validate({"database": {"url": url}, "telegram": {"base_url": peer}}))


def notification(number: int, *, keyed: bool = True) -> Notification:
    """Message `number`."""
    key = f"order-{number}-shipped" if keyed else None
    return Notification(bot=BOT, chat_id=chat_of(number), text=text_of(number), key=key)


def tables(*, keyed: bool) -> list[str]:
    """The tables that an enqueue writes."""
    return ["dovecote.notification", "dovecote.notification_key"] if keyed else ["dovecote.notification"]


async def install(url: str) -> dict[str, Any]:
    """Make the schema and the bot. The pace is off; the limits per chat are Dovecote's own."""
    async with dovecote_at(url) as dovecote:
        await dovecote.migrate()
        await dovecote.add_bot(BOT, token_variable=TOKEN_VARIABLE, pace=None)
    return {}


async def fill(url: str, notifications: int) -> dict[str, Any]:
    """Install, and enqueue `notifications` messages."""
    await install(url)
    connection = await asyncpg.connect(url)
    async with dovecote_at(url) as dovecote:
        for start in range(0, notifications, ENQUEUED_AT_ONCE):
            async with connection.transaction():
                numbers = range(start, min(start + ENQUEUED_AT_ONCE, notifications))
                await dovecote.enqueue(connection, [notification(number) for number in numbers])
    await connection.close()
    return {}


async def deliver(url: str, peer: str, notifications: int) -> dict[str, Any]:
    """Work until the outbox is empty. The time includes the worker's start and end."""
    async with dovecote_at(url, peer) as dovecote:
        with stopwatch() as watch:
            await dovecote.worker().run(until_empty=True)
        stats = await dovecote.stats()
    if stats.delivered != notifications:
        raise RuntimeError(f"Dovecote delivered {stats.delivered} of {notifications}: {stats}")
    return result_of(watch, notifications)


async def work(url: str, peer: str) -> dict[str, Any]:
    """Work until SIGTERM."""
    async with dovecote_at(url, peer) as dovecote:
        worker = dovecote.worker()
        get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()
    return {}


async def enqueue(url: str, notifications: int, *, keyed: bool) -> dict[str, Any]:
    """Enqueue `notifications` messages in one call and commit."""
    messages = [notification(number, keyed=keyed) for number in range(notifications)]
    connection = await asyncpg.connect(url)
    async with dovecote_at(url) as dovecote:
        # The first use of a connection asks the database who it is, and of a bot whether there is one.
        async with connection.transaction():
            await dovecote.enqueue(connection, notification(notifications, keyed=keyed))
        with stopwatch() as watch:
            async with connection.transaction():
                ids = await dovecote.enqueue(connection, messages)
    await connection.close()
    if len(set(ids)) != notifications:
        raise RuntimeError(f"{len(set(ids))} ids for {notifications} notifications")
    return result_of(watch, notifications)


async def run(action: str, **arguments: Any) -> dict[str, Any]:
    """`install`, `fill`, `deliver`, `work` or `enqueue`."""
    actions: dict[str, Any] = {
        "install": install,
        "fill": fill,
        "deliver": deliver,
        "work": work,
        "enqueue": enqueue,
    }
    result: dict[str, Any] = await actions[action](**arguments)
    return result


if __name__ == "__main__":
    measured_process(run)
