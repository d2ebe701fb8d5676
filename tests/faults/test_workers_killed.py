"""Workers that are killed, that freeze, and that a notification kills: nothing is lost, and what doubles is bounded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from campaigns import campaign
from deliveries import Delivery, delivery, until
from worker_processes import DEADLY, KILLED, short_leased

from dovecote.emulator import Answer, Emulator, Rule
from dovecote.model import DeliveryPolicy, Notification, State

if TYPE_CHECKING:
    from pathlib import Path

    from dovecote.model import NotificationRecord

AGAIN, ONCE = DeliveryPolicy.AT_LEAST_ONCE, DeliveryPolicy.AT_MOST_ONCE
ON_BOTH = pytest.mark.parametrize(
    "outbox_url", campaign(["sqlite", "postgresql"], always=["postgresql"]), indirect=True
)
TABLES = ("bot", "notification", "history", "attempt", "notification_key")


async def records_of(parts: Delivery, ids: list[int]) -> list[NotificationRecord]:
    return [await parts.dovecote.notification(id_) for id_ in ids]


@ON_BOTH
async def test_a_worker_that_is_killed_loses_nothing_and_doubles_what_was_in_flight(
    outbox_url: str, tmp_path: Path
) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        emulator.script(Rule(Answer(delay=0.1)))
        # The even ones at most once, the odd ones at least once.
        ids = await parts.enqueue(
            *(
                Notification(bot="shop", chat_id=1 + n, text=str(n), delivery=AGAIN if n % 2 else ONCE)
                for n in range(200)
            )
        )
        with short_leased(tmp_path / "first", outbox_url, emulator.url, parts.keys, lease=4.0, timeout=3.0) as worker:
            await until(lambda: len(emulator.requests) >= 70)
            worker.kill()
        # What it had written by then may still be on the way.
        await until(lambda: not emulator._state.connections)
        arrived = {int(record.parameters["text"]) for record in emulator.requests}
        left = await parts.places()
        leased = {n for n in range(200) if left[ids[n]] == "leased"}
        uncertain = {n for n in arrived if left[ids[n]] != "delivered"}
        # In flight, and answered but not flushed yet.
        assert 0 < len(uncertain) <= 20 + 20
        assert uncertain <= leased

        with short_leased(tmp_path / "second", outbox_url, emulator.url, parts.keys, lease=60.0, timeout=20.0):
            await until(lambda: parts.settled(200))

        copies = Counter(int(record.parameters["text"]) for record in emulator.accepted)
        assert {n for n in copies if copies[n] == 2} == {n for n in uncertain if n % 2}
        assert max(copies.values()) == 2
        ends = await parts.places()
        # Whatever was leased may have been sent, for all that anybody can tell.
        unknown = {n for n in leased if not n % 2}
        assert {n for n in range(200) if ends[ids[n]] == "unknown"} == unknown
        assert {n for n in range(200) if ends[ids[n]] == "delivered"} == set(range(200)) - unknown
        assert set(range(200)) - unknown <= set(copies)
        assert await parts.all_outcomes() == {ids[n]: ["lost"] for n in leased}


@ON_BOTH
async def test_a_worker_frozen_beyond_its_lease_changes_no_state_and_starts_no_request(
    outbox_url: str, tmp_path: Path
) -> None:
    numbers = {"lease": 5.0, "timeout": 3.0, "batch_size": 20, "concurrency": 5}
    async with Emulator() as first, Emulator() as second, delivery(outbox_url) as parts:
        first.script(Rule(Answer(mode="stall")))
        ids = await parts.backlog(20)
        with short_leased(tmp_path / "frozen", outbox_url, first.url, parts.keys, **numbers) as frozen:
            await until(lambda: len(first.requests) == 5)
            frozen.freeze()
            with short_leased(tmp_path / "other", outbox_url, second.url, parts.keys, **numbers) as other:
                await until(lambda: parts.settled(20))
                other.tell_to_stop()
                assert other.end() == (0, '{"lost": 0}\n'), other.log
            assert sorted(r.chat_id for r in second.accepted) == list(range(1, 21))  # type: ignore[type-var]
            before = {table: await parts.rows(table) for table in TABLES}

            frozen.thaw()
            # Its five requests have timed out, its fifteen others it must not start any more.
            await until(lambda: "leases were lost" in frozen.log)
            frozen.tell_to_stop()
            assert frozen.end() == (0, '{"lost": 20}\n'), frozen.log

        assert {table: await parts.rows(table) for table in TABLES} == before
        assert len(first.requests) == 5
        assert [await parts.outcomes(id_) for id_ in ids] == [[(1, "lost"), (2, "delivered")]] * 20


@ON_BOTH
async def test_a_notification_that_kills_its_worker_dies_and_those_beside_it_do_not(
    outbox_url: str, tmp_path: Path
) -> None:
    numbers = {"lease": 2.0, "timeout": 1.0, "batch_size": 20, "concurrency": 10}
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        emulator.script(Rule(Answer(delay=0.02)))
        innocent = await parts.backlog(30)
        (deadly,) = await parts.enqueue(Notification(bot="shop", chat_id=1000, text=DEADLY))
        innocent += await parts.backlog(30, first=31)
        deaths = 0
        while not await parts.settled(61):
            assert deaths <= 3, "it kills more workers than it may"
            with short_leased(tmp_path / "log", outbox_url, emulator.url, parts.keys, **numbers) as worker:
                await until(lambda: _ended_or_settled(worker, parts))
                deaths += 0 if worker.runs else 1
                if not worker.runs:
                    assert worker.end()[0] == KILLED, worker.log

        assert deaths == 3
        letter = await parts.dovecote.notification(deadly)
        assert (letter.state, letter.error) == (State.DEAD, "3 workers were lost while sending it")
        assert await parts.outcomes(deadly) == [(1, "lost"), (2, "lost"), (3, "lost")]
        records = await records_of(parts, innocent)
        assert [record.state for record in records] == [State.DELIVERED] * 60
        # The third death was a lonely one.
        assert max(record.lost_leases for record in records) <= 2
        assert {record.chat_id for record in emulator.accepted} == set(range(1, 61))


async def _ended_or_settled(worker: Any, parts: Delivery) -> bool:
    return not worker.runs or await parts.settled(61)
