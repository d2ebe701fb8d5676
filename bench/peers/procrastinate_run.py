"""procrastinate 3 doing the same job: its table, HTTP, recorded as succeeded.

From its documentation and source (docs/howto/production, worker.py, psycopg_connector.py): `PsycopgConnector`, the only
asynchronous connector that a worker may have, on psycopg's binary implementation; `batch_defer_async` for bulk;
`concurrency` for tasks that wait (30 is its documentation's example), and a pool that is as wide, since a job that ends
needs a connection. `delete_jobs` stays as it comes ("never"): a history is kept, as Dovecote keeps one. With
`wait=False` a worker ends when it has caught up with the queue, and then nothing needs to listen.
"""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
from procrastinate import App, PsycopgConnector

from bench.work import chat_of, http_client, measured_actions, method_url, result_of, send, stopwatch, text_of

TASK = "send"
ENQUEUED_AT_ONCE = 5_000
SUCCEEDED = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"


async def fill(url: str, notifications: int) -> dict[str, Any]:
    """Install procrastinate and defer `notifications` jobs."""
    app = App(connector=PsycopgConnector(conninfo=url))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        deferrer = app.configure_task(TASK, allow_unknown=True)
        for start in range(0, notifications, ENQUEUED_AT_ONCE):
            numbers = range(start, min(start + ENQUEUED_AT_ONCE, notifications))
            await deferrer.batch_defer_async(*({"chat_id": chat_of(n), "text": text_of(n)} for n in numbers))
    return {}


async def deliver(url: str, peer: str, notifications: int, concurrency: int) -> dict[str, Any]:
    """Work until the queue is empty and everything recorded. `concurrency` bounds the requests at a time."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=concurrency, max_size=concurrency))
    destination = method_url(peer)
    async with http_client(concurrency) as client, app.open_async():

        @app.task(name=TASK)
        async def send_one(chat_id: int, text: str) -> None:
            await send(client, destination, orjson.dumps({"chat_id": chat_id, "text": text}))

        with stopwatch() as watch:
            await app.run_worker_async(concurrency=concurrency, wait=False, listen_notify=False)
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute(SUCCEEDED)).fetchone()
    if row is None or row[0] != notifications:
        raise RuntimeError(f"procrastinate recorded {row} as succeeded of {notifications}")
    return result_of(watch, notifications)


if __name__ == "__main__":
    measured_actions(fill=fill, deliver=deliver)
