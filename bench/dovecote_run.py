"""Dovecote itself, with everything on but the pace: order and limits per chat, keys, attempts, history.

The settings are the default ones. The one module that knows Dovecote's API and tables. Each action is a process of its
own, as an application and a worker are.
"""

from __future__ import annotations

import os
import signal
from asyncio import Event, create_task, get_running_loop, sleep
from typing import Any

import asyncpg

from bench.work import BOT, TOKEN, chat_of, measured_actions, result_of, stopwatch, text_of
from dovecote import Dovecote, Notification
from dovecote.config import Settings
from dovecote.model import Broadcast, BroadcastState, DeliveryPolicy
from dovecote.service import Service, delivery_only

TOKEN_VARIABLE = "DOVECOTE_BENCH_TOKEN"
ENQUEUED_AT_ONCE = 10_000
MANY_STARS = 1_000_000
# A group, so that it has the limit of groups: of 30,000 in it, hardly any is sent before all others are.
ONE_CHAT = -1_000_000_000_001
ONE_CHAT_TEXT = str(ONE_CHAT)
OTHERS = """
SELECT count(*), min(settled_at) AS first, max(settled_at) AS last
FROM dovecote.history WHERE chat <> $1 AND outcome = 'delivered'
"""
POLL_SECONDS = 0.1
LONGEST_SECONDS = 300.0
NEWS = "news"
BROADCAST_PACE = 200.0


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
    return await enqueue_all(url, notifications)


async def enqueue_all(url: str, notifications: int) -> dict[str, Any]:
    """Enqueue `notifications` messages, some thousand in each transaction, as a batch job does."""
    connection = await asyncpg.connect(url)
    async with dovecote_at(url) as dovecote:
        for start in range(0, notifications, ENQUEUED_AT_ONCE):
            async with connection.transaction():
                numbers = range(start, min(start + ENQUEUED_AT_ONCE, notifications))
                await dovecote.enqueue(connection, [notification(number) for number in numbers])
    await connection.close()
    return {}


async def deliver(url: str, peer: str, notifications: int) -> dict[str, Any]:
    """Work until the outbox is empty, as `dovecote worker` does. The time includes the worker's start and end."""
    async with dovecote_at(url, peer) as dovecote:
        delivery_only()
        with stopwatch() as watch:
            await dovecote.worker().run(until_empty=True)
        stats = await dovecote.stats()
    if stats.delivered != notifications:
        raise RuntimeError(f"Dovecote delivered {stats.delivered} of {notifications}: {stats}")
    return result_of(watch, notifications)


async def backlog(
    url: str, *, bots: int, each: int, in_one_chat: int, pace: float | None, paid_pace: float | None
) -> dict[str, Any]:
    """Make the schema, `bots` bots, and `each` messages for each, to a chat each, behind `in_one_chat` to one chat."""
    connection = await asyncpg.connect(url)
    async with dovecote_at(url) as dovecote:
        await dovecote.migrate()
        for bot in range(bots):
            await dovecote.add_bot(f"{BOT}-{bot}", token_variable=TOKEN_VARIABLE, pace=pace)
            if paid_pace is not None:
                await dovecote.set_paid_broadcasts(f"{BOT}-{bot}", pace=paid_pace, stars_per_day=MANY_STARS)
        waiting = [(f"{BOT}-0", ONE_CHAT)] * in_one_chat
        waiting += [(f"{BOT}-{bot}", chat_of(number)) for number in range(each) for bot in range(bots)]
        for start in range(0, len(waiting), ENQUEUED_AT_ONCE):
            batch = waiting[start : start + ENQUEUED_AT_ONCE]
            async with connection.transaction():
                await dovecote.enqueue(
                    connection,
                    [
                        Notification(bot=bot, chat_id=chat, text=text_of(start + n))
                        for n, (bot, chat) in enumerate(batch)
                    ],
                )
        await connection.execute("VACUUM ANALYZE")
    await connection.close()
    return {}


async def deliver_others(url: str, peer: str, notifications: int, seconds: float | None = None) -> dict[str, Any]:
    """Work until `notifications` were delivered outside of the one chat, or for so many seconds.

    Answers how many there were, after how many seconds of the worker the first was, and their rate from there on.
    """
    connection = await asyncpg.connect(url)
    async with dovecote_at(url, peer) as dovecote:
        delivery_only()
        worker = dovecote.worker()
        began = await connection.fetchval("SELECT dovecote.clock()")
        working = create_task(worker.run())
        ends_at = get_running_loop().time() + (LONGEST_SECONDS if seconds is None else seconds)
        row = await connection.fetchrow(OTHERS, ONE_CHAT_TEXT)
        while row["count"] < notifications and get_running_loop().time() < ends_at:
            await sleep(POLL_SECONDS)
            row = await connection.fetchrow(OTHERS, ONE_CHAT_TEXT)
        worker.stop()
        await working
    await connection.close()
    if row["count"] < 2:
        raise RuntimeError(f"{row['count']} were delivered in {LONGEST_SECONDS if seconds is None else seconds} s")
    took = (row["last"] - row["first"]).total_seconds()
    return {
        "delivered": row["count"],
        "began_after_seconds": (row["first"] - began).total_seconds(),
        "rate": row["count"] / max(took, 1e-6),
        "overall_rate": row["count"] / (row["last"] - began).total_seconds(),
    }


async def prepare_broadcast(url: str, recipients: int, delivery: str) -> dict[str, Any]:
    """Make the schema, the bot, and a started broadcast that nobody works on yet; `delivery` is a DeliveryPolicy."""
    async with dovecote_at(url) as dovecote:
        await dovecote.migrate()
        await dovecote.add_bot(BOT, token_variable=TOKEN_VARIABLE, pace=BROADCAST_PACE)
        news = Broadcast(name=NEWS, bot=BOT, text=text_of(0), delivery=DeliveryPolicy(delivery))
        await dovecote.broadcasts.create(news, [chat_of(number) for number in range(recipients)])
        await dovecote.broadcasts.start(NEWS)
    return {}


async def broadcast(url: str, peer: str) -> dict[str, Any]:
    """Work as `dovecote worker` does until the broadcast has ended; answers what Dovecote says became of everybody.

    When its brake has paused it, it is resumed, as an operator does who has read why.
    """
    resumed = 0
    async with dovecote_at(url, peer) as dovecote:
        delivery_only()
        service = Service(dovecote, http=False)
        working = create_task(service.run())
        record = await dovecote.broadcasts.get(NEWS)
        while record.state in {BroadcastState.RUNNING, BroadcastState.PAUSED} and not working.done():
            if record.state is BroadcastState.PAUSED:
                await dovecote.broadcasts.resume(NEWS)
                resumed += 1
            await sleep(POLL_SECONDS)
            record = await dovecote.broadcasts.get(NEWS)
        service.stop()
        await working
    if record.state is not BroadcastState.FINISHED:
        raise RuntimeError(f"the broadcast is {record.state}: {record.counts}")
    counts = record.counts
    return {"sent": counts.delivered, "unknown": counts.unknown, "failed": counts.dead, "resumed": resumed}


async def work(url: str, peer: str) -> dict[str, Any]:
    """Work until SIGTERM, as `dovecote worker` does."""
    async with dovecote_at(url, peer) as dovecote:
        delivery_only()
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


async def enqueue_singly(url: str, notifications: int) -> dict[str, Any]:
    """Enqueue so many, each in a transaction of its own, one after another, as an application's requests do."""
    connection = await asyncpg.connect(url)
    async with dovecote_at(url) as dovecote:
        await _enqueue_one(dovecote, connection, notifications)  # the first asks what the others need not
        with stopwatch() as watch:
            for number in range(notifications):
                await _enqueue_one(dovecote, connection, number)
    await connection.close()
    return result_of(watch, notifications)


async def _enqueue_one(dovecote: Dovecote, connection: asyncpg.Connection, number: int) -> None:
    async with connection.transaction():
        await dovecote.enqueue(connection, notification(number))


async def load(url: str, per_second: float, first: int, batch: int) -> dict[str, Any]:
    """Enqueue so many a second, `batch` in each transaction, until SIGTERM; answers how many, and for how long.

    Numbers begin at `first`. Nothing is made up for that a busy machine did not let it do in time.
    """
    over = Event()
    get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    connection = await asyncpg.connect(url)
    enqueued = 0
    async with dovecote_at(url) as dovecote:
        with stopwatch() as watch:
            due = get_running_loop().time()
            while not over.is_set():
                async with connection.transaction():
                    numbers = range(first + enqueued, first + enqueued + batch)
                    await dovecote.enqueue(connection, [notification(number) for number in numbers])
                enqueued += batch
                due = max(due + batch / per_second, get_running_loop().time())
                await sleep(due - get_running_loop().time())
    await connection.close()
    return {"enqueued": enqueued, "seconds": watch.seconds}


if __name__ == "__main__":
    measured_actions(
        install=install,
        fill=fill,
        enqueue_all=enqueue_all,
        backlog=backlog,
        deliver=deliver,
        deliver_others=deliver_others,
        prepare_broadcast=prepare_broadcast,
        broadcast=broadcast,
        work=work,
        enqueue=enqueue,
        enqueue_singly=enqueue_singly,
        load=load,
    )
