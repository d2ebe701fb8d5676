"""A worker that is told to stop: it finishes what is in flight, gives back the rest, and ends in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deliveries import delivery, until
from worker_processes import of_the_program

from dovecote.emulator import Answer, Emulator, Match, Rule
from dovecote.model import DeliveryPolicy, Notification, State

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_is_in_flight_is_finished_and_the_rest_given_back_untried(outbox_url: str, tmp_path: Path) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        emulator.script(Rule(Answer(delay=0.5)))
        ids = await parts.backlog(200)
        with of_the_program(tmp_path / "log", outbox_url, emulator.url, parts.keys, worker_concurrency="10") as worker:
            await until(lambda: len(emulator.requests) >= 10)
            told_at = len(emulator.requests)
            worker.tell_to_stop()
            await until(lambda: not worker.runs)
            assert worker.end()[0] == 0, worker.log

        sent = {record.chat_id for record in emulator.requests}
        assert len(sent) == len(emulator.requests) <= told_at + 10
        assert all(record.status == 200 for record in emulator.requests)
        records = {n: await parts.dovecote.notification(id_) for n, id_ in enumerate(ids, start=1)}
        assert {n for n, record in records.items() if record.state is State.DELIVERED} == sent
        assert {n for n, record in records.items() if record.state is State.DUE} == set(range(1, 201)) - sent
        assert all(record.attempts == [] for n, record in records.items() if n not in sent)
        attempts = parts.dovecote.database.tables.notification.c.keys().index("attempts")
        assert {row[attempts] for row in await parts.rows("notification")} == {0}


async def test_a_request_that_stalls_beyond_the_deadline_is_unknown(outbox_url: str, tmp_path: Path) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        emulator.script(Rule(Answer(mode="stall"), Match(chat_id=1)), Rule(Answer(mode="stall"), Match(chat_id=2)))
        (again,) = await parts.backlog(1)
        (once,) = await parts.enqueue(
            Notification(bot="shop", chat_id=2, text="2", delivery=DeliveryPolicy.AT_MOST_ONCE)
        )
        settings = {"worker_drain_deadline": "1s", "telegram_timeout": "50s"}
        with of_the_program(
            tmp_path / "log", outbox_url, emulator.url, parts.keys, **settings, worker_lease="60s"
        ) as worker:
            await until(lambda: len(emulator.requests) == 2)
            told_at = time.monotonic()
            worker.tell_to_stop()
            await until(lambda: not worker.runs)
            took = time.monotonic() - told_at
            assert worker.end()[0] == 0, worker.log

        # Not the 50 s of the request, and not before the deadline.
        assert 1 <= took < 15
        assert "the drain deadline is over: 2 requests are cut off" in worker.log
        assert await parts.outcomes(once) == [(1, "unknown")]
        assert (await parts.dovecote.notification(once)).state is State.UNKNOWN
        assert await parts.outcomes(again) == [(1, "unknown")]
        assert (await parts.dovecote.notification(again)).state in {State.DUE, State.SCHEDULED}


async def test_told_twice_it_ends_at_once(outbox_url: str, tmp_path: Path) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        emulator.script(Rule(Answer(mode="stall"), Match(chat_id=1)))
        ids = await parts.backlog(2)
        settings = {"telegram_timeout": "50s", "worker_lease": "60s"}
        with of_the_program(tmp_path / "log", outbox_url, emulator.url, parts.keys, **settings) as worker:
            await until(lambda: len(emulator.requests) == 2)
            worker.tell_to_stop()
            await until(lambda: "draining" in worker.log)
            worker.tell_to_stop()
            await until(lambda: not worker.runs, bound=15)
            assert worker.end()[0] == 130, worker.log

        assert [await parts.outcomes(id_) for id_ in ids] == [[(1, "unknown")], [(1, "delivered")]]
