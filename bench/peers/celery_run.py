"""Celery on Redis doing the same job: its queue, HTTP, acknowledged after the work.

From its documentation (userguide/optimizing, userguide/concurrency) and source: for many short tasks a high
`worker_prefetch_multiplier` (64 or 128); `task_ignore_result`, for nobody reads results; `task_acks_late`, so that a
killed worker's tasks are not lost; no gossip, mingle, heartbeats and events, which are for a fleet and its monitors;
hiredis. Its three pools are tried, each with the HTTP client that suits it: processes and threads with Dovecote's own,
which blocks them and gives the interpreter free; gevent, which it recommends for much waiting, with urllib3. Tasks are
added one by one over one connection, since there is no bulk.
"""

from __future__ import annotations

import sys

if '"pool": "gevent"' in sys.argv[-1]:
    from gevent import monkey

    monkey.patch_all()  # before anything that takes hold of sockets, as Celery's own command does

import contextlib
import resource
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
import urllib3
from celery import Celery
from celery.worker import state
from redis import Redis

from bench.work import Stopwatch, blocking_process, chat_of, method_url, result_of, stopwatch, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

TASK = "send"
POLL_SECONDS = 0.005
LONGEST_SECONDS = 1500.0
JSON = {"Content-Type": "application/json"}


def app_at(url: str, prefetch: int = 1) -> Celery:
    """The application."""
    app = Celery("bench", broker=url)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=prefetch,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    return app


def fill(url: str, notifications: int) -> dict[str, Any]:
    """Add `notifications` tasks."""
    app = app_at(url)
    with app.producer_or_acquire() as producer:
        for number in range(notifications):
            app.send_task(TASK, (chat_of(number), text_of(number)), producer=producer)
    return {}


@cache
def poster(concurrency: int, *, green: bool) -> Callable[[str, bytes], bytes]:
    """How to post a body; each process makes its own client when it first sends, never before it was forked."""
    if green:
        manager = urllib3.PoolManager(maxsize=concurrency, block=True, retries=False)
        return lambda url, body: bytes(manager.request("POST", url, body=body, headers=JSON).data)
    from pyreqwest.client import SyncClientBuilder  # noqa: PLC0415 - see above

    builder = SyncClientBuilder().default_headers(JSON).http1_only().no_proxy().max_connections(concurrency)
    client = builder.pool_max_idle_per_host(concurrency).build()
    return lambda url, body: bytes(client.post(url).body_bytes(body).build().send().bytes())


def deliver(url: str, peer: str, notifications: int, *, pool: str, concurrency: int, prefetch: int) -> dict[str, Any]:
    """Work until everything was done. `concurrency` is how many processes, threads or greenlets the pool has."""
    app = app_at(url, prefetch)
    destination = method_url(peer)
    connections = 1 if pool == "prefork" else concurrency

    @app.task(name=TASK)
    def send_one(chat_id: int, text: str) -> None:
        post = poster(connections, green=pool == "gevent")
        answer = orjson.loads(post(destination, orjson.dumps({"chat_id": chat_id, "text": text})))
        if answer["ok"] is not True or not isinstance(answer["result"]["message_id"], int):
            raise RuntimeError(f"the peer answered {answer}")

    worker = app.WorkController(
        pool_cls=pool,
        concurrency=concurrency,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
    )
    watch = Stopwatch()
    with stopwatch() as whole:
        threading.Thread(target=_stop_when_done, args=(notifications, time.perf_counter(), watch), daemon=True).start()
        with contextlib.suppress(SystemExit):  # which is how a worker ends
            worker.start()
    if not watch.seconds:
        raise RuntimeError(f"the worker ended after {sum(state.total_count.values())} tasks of {notifications}")
    with Redis.from_url(url) as redis:
        left = redis.llen("celery"), redis.hlen("unacked")
    if any(left):
        raise RuntimeError(f"Celery left {left[0]} tasks in its queue and {left[1]} unacknowledged")
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    watch.cpu_seconds = whole.cpu_seconds + children.ru_utime + children.ru_stime
    result = result_of(watch, notifications)
    if pool == "prefork":
        result["peak_rss_mb"] += concurrency * children.ru_maxrss / 1024
    return result


def _stop_when_done(notifications: int, began: float, watch: Stopwatch) -> None:
    """Stop the clock when every task has ended, and the worker after that; what its end takes is not counted."""
    deadline = began + LONGEST_SECONDS
    while sum(state.total_count.values()) < notifications or state.active_requests:
        if time.perf_counter() > deadline:
            break
        time.sleep(POLL_SECONDS)
    else:
        watch.seconds = time.perf_counter() - began
    state.should_stop = 0


def run(action: str, **arguments: Any) -> dict[str, Any]:
    """`fill` or `deliver`."""
    actions: dict[str, Any] = {"fill": fill, "deliver": deliver}
    result: dict[str, Any] = actions[action](**arguments)
    return result


if __name__ == "__main__":
    blocking_process(run)
