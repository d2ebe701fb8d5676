"""What a worker asks of PostgreSQL, as the database itself counts and shows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from databases import database_of
from deliveries import delivery, until

from dovecote.emulator import Answer, Emulator, EmulatorProcess, Match, Rule
from dovecote.model import Delivered

if TYPE_CHECKING:
    from datetime import timedelta

    from databases import PostgresDatabases

    from dovecote.model import ClaimedNotification, Outcome


class Instant:
    """A channel that has delivered at once."""

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        await asyncio.sleep(0)
        return Delivered((claimed.id,))

    async def close(self) -> None:
        return


@pytest.mark.parametrize(("batch_size", "most"), [(100, 0.02), (500, 0.012)])
class TestABacklogWithoutPace:
    async def test_over_http(
        self, postgres: PostgresDatabases, postgresql_outbox_url: str, batch_size: int, most: float
    ) -> None:
        with EmulatorProcess() as emulator:
            # On a slow machine the clock would decide when a batch is flushed, and the test would count the machine.
            worker = {"batch_size": batch_size, "flush_interval": "1s"}
            async with delivery(postgresql_outbox_url, emulator.url, worker=worker) as parts:
                await parts.backlog(6000)
                postgres.forget_statements(postgresql_outbox_url)
                await parts.dovecote.worker().run(until_empty=True)
                statements = postgres.statement_count(postgresql_outbox_url)

                assert (await parts.dovecote.stats()).delivered == 6000
                assert 0 < statements <= most * 6000

    async def test_over_a_channel_that_answers_at_once(
        self, postgres: PostgresDatabases, postgresql_outbox_url: str, batch_size: int, most: float
    ) -> None:
        async with delivery(postgresql_outbox_url) as parts:
            await parts.backlog(6000)
            postgres.forget_statements(postgresql_outbox_url)
            await parts.worker_with(Instant(), batch_size=batch_size).run(until_empty=True)
            statements = postgres.statement_count(postgresql_outbox_url)

            assert (await parts.dovecote.stats()).delivered == 6000
            assert 0 < statements <= most * 6000


async def test_no_transaction_is_open_while_requests_are_under_way(postgresql_outbox_url: str) -> None:
    async with (
        Emulator() as emulator,
        delivery(postgresql_outbox_url, emulator.url, worker={"poll_interval": "1h"}) as parts,
        await psycopg.AsyncConnection.connect(postgresql_outbox_url, autocommit=True) as observer,
    ):
        emulator.script(*(Rule(Answer(mode="stall"), Match(chat_id=chat)) for chat in range(1, 11)))
        await parts.backlog(30)
        async with parts.working():
            await until(lambda: len(emulator.requests) == 30)
            await until(lambda: parts.settled(20))
            seen = [await _backends(observer, postgresql_outbox_url) for _ in range(50)]
            assert len([r for r in emulator.requests if r.status is None]) == 10
            await emulator.stop()

        # The connection of the cycles, the one that listens; what the test itself asks goes over others.
        assert {sum(name == "dovecote" for name, _, _ in backends) for backends in seen} == {2}
        assert {(state, transaction) for backends in seen for _, state, transaction in backends} == {("idle", None)}


async def _backends(observer: psycopg.AsyncConnection[Any], url: str) -> list[tuple[str, str, object]]:
    rows = await observer.execute(
        """SELECT application_name, state, xact_start FROM pg_stat_activity
           WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'""",
        [database_of(url)],
    )
    return await rows.fetchall()
