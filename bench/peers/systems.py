"""Who is measured beside Dovecote: in which settings, on which store, and what each of them does not do.

What is said of a system was read in its own documentation and source, in the version that its lock file pins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.delivery import Setting

Store = Literal["postgresql", "redis", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One of them. `order`, `limits` and `resume` complete the columns of the table; "no" is an answer."""

    name: str
    title: str
    environment: str = ""
    """The name of its lock file and of its module, where that is not its own name."""
    package: str
    """What its lock file pins it as."""
    store: Store
    settings: Sequence[Setting]
    """All of them are tried on a part of the work, and the best is measured."""
    order: str
    limits: str
    resume: str
    needs: tuple[int, int] = (3, 11)
    """The Python without which it does not install."""
    at_most: int | None = None
    """With more notifications than this it would take hours; it is given no more."""

    @property
    def place(self) -> str:
        """The name of its environment."""
        return self.environment or self.name

    @property
    def module(self) -> str:
        """The measured process."""
        return "pgqueuer_run" if self.name == "pgqueuer" else f"peers.{self.place}_run"


SYSTEMS = (
    System(
        name="pgqueuer",
        title="PgQueuer",
        package="pgqueuer",
        store="postgresql",
        # 25 is the batch size of its performance guide for short jobs.
        settings=[{"batch_size": size, "concurrency": 128} for size in (25, 100, 250, 500, 1000)],
        order="no",
        limits="concurrency of a kind of job",
        resume="jobs without a heartbeat for 30 seconds run again: some twice",
    ),
    System(
        name="procrastinate",
        title="procrastinate",
        package="procrastinate",
        store="postgresql",
        settings=[{"concurrency": concurrency} for concurrency in (16, 30, 64)],
        order="with a lock for each chat",
        limits="no",
        resume="jobs of a killed worker stay `doing` until a task of one's own retries them: some twice",
    ),
    System(
        name="oban",
        title="oban",
        package="oban",
        store="postgresql",
        settings=[{"limit": limit} for limit in (10, 50, 128, 256)],
        needs=(3, 12),
        order="no",
        limits="no; sold as Oban Pro",
        resume="what has been running for five minutes runs again, whoever has it: some twice",
    ),
    System(
        name="taskiq",
        title="taskiq on Redis",
        package="taskiq-redis",
        store="redis",
        settings=[
            {"concurrency": concurrency, "read_at_once": read}
            for concurrency, read in ((64, 100), (128, 100), (128, 1000))
        ],
        order="no",
        limits="no",
        resume="unacknowledged tasks run again after 10 minutes: some twice. Redis must not lose its memory",
    ),
    System(
        name="celery",
        title="Celery on Redis",
        package="celery",
        store="redis",
        settings=[
            {"pool": "prefork", "concurrency": 2, "prefetch": 128},
            {"pool": "prefork", "concurrency": 8, "prefetch": 64},
            {"pool": "threads", "concurrency": 32, "prefetch": 64},
            {"pool": "gevent", "concurrency": 100, "prefetch": 64},
        ],
        order="no",
        limits="per worker and kind of task",
        resume="unacknowledged tasks run again after an hour: some twice. Redis must not lose its memory",
    ),
    System(
        name="awa",
        title="awa",
        package="awa-pg",
        store="postgresql",
        settings=[
            {"max_workers": workers, "claimers": claimers} for workers, claimers in ((50, 1), (128, 1), (128, 2))
        ],
        order="claimed in order with an ordering key, but many at a time",
        limits="per queue, in each process for itself",
        resume="jobs without a heartbeat run again: some twice",
    ),
    System(
        name="faststream_outbox",
        title="faststream-outbox",
        package="faststream-outbox",
        store="postgresql",
        settings=[
            {"max_workers": workers, "fetch_batch_size": fetch, "terminal_flush_batch_size": flush}
            for workers, fetch, flush in ((4, 500, 100), (16, 500, 100), (32, 500, 1), (32, 1000, 100))
        ],
        order="no, with more than one worker",
        limits="no",
        resume="rows run again when their lease ends: some twice, with batched deletes a batch of each worker",
    ),
    System(
        name="tgcast",
        title="tgcast",
        package="tgcast",
        store="file",
        settings=[
            {"max_concurrency": concurrency, "poll_ms": poll} for concurrency, poll in ((8, 1), (32, 1), (32, 20))
        ],
        order="no",
        limits="per chat and bot, in one process",
        resume="tasks run again when their lease ends: some twice. One process, one file of SQLite",
    ),
    System(
        name="aiogram_broadcaster",
        title="aiogram-broadcaster, nothing stored",
        package="aiogram-broadcaster",
        store="file",
        settings=[{"stored": 0}],
        order="one text for all chats, in no order",
        limits="an interval between messages, in one process",
        resume="no: what was sent is forgotten",
    ),
    System(
        name="aiogram_broadcaster_stored",
        title="aiogram-broadcaster, file storage",
        environment="aiogram_broadcaster",
        package="aiogram-broadcaster",
        store="file",
        settings=[{"stored": 1}],
        at_most=2_000,
        order="one text for all chats, in no order",
        limits="an interval between messages, in one process",
        resume="the chat that was in flight is sent to twice; its file is not replaced in one step",
    ),
)
"""In the order in which they are measured."""

DOVECOTE = {
    "order": "yes",
    "limits": "per chat, per bot, over all processes",
    "resume": "what was in flight is held as unknown, or sent again, as each notification says",
}

NOTHING_KEPT = {"order": "no", "limits": "no", "resume": "no: nothing is kept"}
"""Of a bare loop."""
