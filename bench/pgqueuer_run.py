"""PgQueuer doing the same job: table, HTTP, recorded. Its own recommendations for bulk, Dovecote's own HTTP client.

asyncpg on a connection of its own for the queue manager, `pgq autovac` after the installation, durable tables, uvloop,
all messages enqueued beforehand in bulk. The body of the request is the job's payload as it stands.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job  # noqa: TC002 (PgQueuer reads the annotation)
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from bench.work import body_of, http_client, measured_actions, method_url, result_of, send, stopwatch

ENTRYPOINT = "send"
ENQUEUED_AT_ONCE = 10_000


async def fill(url: str, notifications: int) -> dict[str, Any]:
    """Install PgQueuer and enqueue `notifications` jobs."""
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.optimize_autovacuum()
    for start in range(0, notifications, ENQUEUED_AT_ONCE):
        numbers = range(start, min(start + ENQUEUED_AT_ONCE, notifications))
        await queries.enqueue([ENTRYPOINT] * len(numbers), [body_of(n) for n in numbers], [0] * len(numbers))
    await connection.close()
    return {}


async def deliver(url: str, peer: str, notifications: int, batch_size: int, concurrency: int) -> dict[str, Any]:
    """Work until the queue is empty and everything recorded. `concurrency` bounds the requests at a time."""
    connection = await asyncpg.connect(url)
    manager = PgQueuer(AsyncpgDriver(connection))
    destination = method_url(peer)
    async with http_client(concurrency) as client:

        @manager.entrypoint(ENTRYPOINT)
        async def send_one(job: Job) -> None:
            if job.payload is None:
                raise RuntimeError(f"job {job.id} has no payload")
            await send(client, destination, job.payload)

        with stopwatch() as watch:
            # The timeout only matters at the end: it is how long the manager waits until it sees that it is done.
            await manager.run(
                batch_size=batch_size, mode=QueueExecutionMode.drain, dequeue_timeout=timedelta(milliseconds=50)
            )
    recorded = await connection.fetchval("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'")
    await connection.close()
    if recorded != notifications:
        raise RuntimeError(f"PgQueuer recorded {recorded} successful jobs of {notifications}")
    return result_of(watch, notifications)


if __name__ == "__main__":
    measured_actions(fill=fill, deliver=deliver)
