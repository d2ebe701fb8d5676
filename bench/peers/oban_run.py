"""oban doing the same job: its table, HTTP, recorded as completed. It needs Python 3.12, and gets it.

From its README and docstrings: `Oban.create_pool` makes the pool of psycopg that it wants, ten connections as it comes;
`enqueue_many` is its bulk, which sends a statement for each job over one connection, so here in one transaction for
each part; a queue's limit is how many jobs run at a time, and 10 to 50 its documentation's examples. Acknowledgements
of jobs that ended together go together, in one transaction of a statement each: bulk ones are sold as Oban Pro. The
completed rows stay for a day, as a history.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from oban import Oban, worker
from oban.schema import install

from bench.work import chat_of, http_client, measured_actions, method_url, result_of, send, stopwatch, text_of

QUEUE = "notifications"
ENQUEUED_AT_ONCE = 5_000
POLL_SECONDS = 0.005
LONGEST_SECONDS = 1500.0
ANY_LEFT = "SELECT EXISTS (SELECT FROM oban_jobs WHERE state <> 'completed')"
COMPLETED = "SELECT count(*) FROM oban_jobs WHERE state = 'completed'"


@worker(queue=QUEUE)
class SendMessage:
    """What is enqueued; `client` and `destination` are set where it works, and `new` by the decorator."""

    new: Any
    client: Any = None
    destination = ""
    done = 0

    async def process(self, job: Any) -> None:
        """Send one."""
        await send(self.client, self.destination, orjson.dumps(job.args))
        type(self).done += 1


async def fill(url: str, notifications: int) -> dict[str, Any]:
    """Install oban and enqueue `notifications` jobs."""
    pool = await Oban.create_pool(url)
    await install(pool)
    oban = Oban(pool=pool)
    for start in range(0, notifications, ENQUEUED_AT_ONCE):
        numbers = range(start, min(start + ENQUEUED_AT_ONCE, notifications))
        async with pool.connection() as connection:
            await oban.enqueue_many(
                [SendMessage.new({"chat_id": chat_of(n), "text": text_of(n)}) for n in numbers], conn=connection
            )
    await pool.close()
    return {}


async def deliver(url: str, peer: str, notifications: int, limit: int) -> dict[str, Any]:
    """Work until everything was recorded as completed. `limit` bounds the requests at a time."""
    pool = await Oban.create_pool(url)
    async with http_client(limit) as client, pool.connection() as watching:
        await watching.set_autocommit(True)
        SendMessage.client, SendMessage.destination = client, method_url(peer)
        oban = Oban(pool=pool, queues={QUEUE: limit})
        with stopwatch() as watch:
            async with asyncio.timeout(LONGEST_SECONDS):
                await oban.start()
                busy = True
                while busy:
                    await asyncio.sleep(POLL_SECONDS)
                    busy = SendMessage.done < notifications or await _first(watching, ANY_LEFT)
        await oban.stop()
        completed = await _first(watching, COMPLETED)
    await pool.close()
    if completed != notifications:
        raise RuntimeError(f"oban recorded {completed} completed jobs of {notifications}")
    return result_of(watch, notifications)


async def _first(connection: Any, query: str) -> Any:
    (value,) = await (await connection.execute(query)).fetchone()
    return value


if __name__ == "__main__":
    measured_actions(fill=fill, deliver=deliver)
