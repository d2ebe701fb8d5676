"""tgcast doing the same job: its SQLite file, HTTP, marked as sent.

From its README and source: everything as it comes but what would bound the measurement. `global_rps` is out of the way,
as Dovecote's pace is; its limit per chat stays. `max_concurrency` tasks are leased in each `poll_interval`, which makes
16 a second of the default values, so both are raised. A task whose lease ends is sent again, though it waits in the
process only, and a fast poll leases everything at once: `lease_ttl` is longer than the run. Its HTTP client, its store
and its threads are its own. Tasks are added one by one, since there is no bulk.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any

from tgcast import Task, Telecast

from bench.work import TOKEN, blocking_process, chat_of, result_of, stopwatch, text_of

NO_LIMIT = 1e9
LEASE_SECONDS = 3600.0
CHECK_SECONDS = 0.02
LONGEST_SECONDS = 1500.0
SENT = "SELECT count(*) FROM tasks WHERE state = 'sent'"


def fill(url: str, notifications: int) -> dict[str, Any]:
    """Add `notifications` tasks to the file `url`."""
    engine = Telecast(TOKEN, store_dsn=url)
    for number in range(notifications):
        engine.enqueue(Task(chat_id=chat_of(number), text=text_of(number)))
    engine.shutdown()
    return {}


def deliver(url: str, peer: str, notifications: int, max_concurrency: int, poll_ms: int) -> dict[str, Any]:
    """Work until everything is marked as sent."""
    engine = Telecast(
        TOKEN,
        store_dsn=url,
        telegram_base_url=peer,
        global_rps=NO_LIMIT,
        max_concurrency=max_concurrency,
        poll_interval=poll_ms / 1000,
        lease_ttl=LEASE_SECONDS,
    )
    deadline = time.monotonic() + LONGEST_SECONDS
    with closing(sqlite3.connect(f"file:{url}?mode=ro", uri=True)) as watching, stopwatch() as watch:
        engine.start()
        while (sent := watching.execute(SENT).fetchone()[0]) < notifications:
            if time.monotonic() > deadline:
                raise RuntimeError(f"tgcast has sent {sent} of {notifications} in {LONGEST_SECONDS} s")
            time.sleep(CHECK_SECONDS)
    engine.shutdown()
    return result_of(watch, notifications)


def run(action: str, **arguments: Any) -> dict[str, Any]:
    """`fill` or `deliver`."""
    actions: dict[str, Any] = {"fill": fill, "deliver": deliver}
    result: dict[str, Any] = actions[action](**arguments)
    return result


if __name__ == "__main__":
    blocking_process(run)
