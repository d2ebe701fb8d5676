"""What a cycle reads on PostgreSQL: its plan on a filled table, whatever the statistics say, and its work, counted.

Each cycle is run as a worker's connection would run it, under EXPLAIN ANALYZE.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio
from databases import connect

from dovecote.stores.postgresql import LARGE_BATCH, SESSION
from dovecote.stores.postgresql_cycle import CYCLE, CYCLE_ALONE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.parametrize("outbox_database", ["postgresql-18", "postgresql-17"], indirect=True)

BATCH = 500
LARGE = {"notification", "history", "attempt", "recipient"}
EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "

# 20,000 waiting and as many settled, and as many disabled recipients, for whom nothing waits. Autovacuum stays away, so
# that the statistics are those which a test chose.
QUIET = """
ALTER TABLE dovecote.notification SET (autovacuum_enabled = off);
ALTER TABLE dovecote.history SET (autovacuum_enabled = off);
ALTER TABLE dovecote.attempt SET (autovacuum_enabled = off);
ALTER TABLE dovecote.bot SET (autovacuum_enabled = off);
ALTER TABLE dovecote.recipient SET (autovacuum_enabled = off);
INSERT INTO dovecote.bot (name, token_variable, created_at, next_slot_at, private_count, private_window)
VALUES ('shop', 'TOKEN', now(), now(), 3, 3.0);
"""
HISTORY = """
INSERT INTO dovecote.history (
    id, bot_id, chat, method, params, priority, at_most_once, enqueued_at, planned_at, outcome, settled_at, took
)
SELECT 1000000 + i, 1, (i % 5000)::text, 'sendMessage', '{}', 1, false, now(), now(), 'delivered',
    now() - interval '1 day' + i * interval '1 ms', 0.1
FROM generate_series(1, 20000) i;
INSERT INTO dovecote.recipient (bot_id, chat, disabled_at, disabled_reason, strikes)
SELECT 1, (1000000 + i)::text, now(), 'blocked', 3 FROM generate_series(1, 20000) i;
"""
WAITING = """
INSERT INTO dovecote.notification (
    bot_id, method, params, at_most_once, enqueued_at, chat, priority, planned_at, due_at, lease_token
)
SELECT 1, 'sendMessage', '{}', false, now(), chat, priority, due_at, due_at, lease_token
FROM (SELECT i, now() - interval '1 hour' + i * interval '1 ms' AS past FROM generate_series(1, 20000) i) s
"""
SHAPES = {
    "an even spread": "CROSS JOIN LATERAL (SELECT i::text AS chat, 1 AS priority, past AS due_at, NULL::int) v",
    "one chat with 10,000": """
        CROSS JOIN LATERAL (
            SELECT CASE WHEN i <= 10000 THEN '7' ELSE i::text END AS chat, 1 AS priority, past AS due_at, NULL::int
        ) v
    """,
    "10,000 of a chat that is in flight": """
        CROSS JOIN LATERAL (
            SELECT CASE WHEN i <= 10000 THEN '7' ELSE i::text END AS chat, 1 AS priority,
                CASE WHEN i = 1 THEN now() + interval '1 minute' ELSE past END AS due_at,
                CASE WHEN i = 1 THEN 1 END AS lease_token
        ) v
    """,
    "10,000 urgent ones for tomorrow": """
        CROSS JOIN LATERAL (
            SELECT i::text AS chat, CASE WHEN i <= 10000 THEN 0 ELSE 1 END AS priority,
                past + CASE WHEN i <= 10000 THEN interval '1 day' ELSE interval '0' END AS due_at, NULL::int
        ) v
    """,
    "three priorities without a chat": """
        CROSS JOIN LATERAL (SELECT NULL AS chat, i % 3 AS priority, past AS due_at, NULL::int) v
    """,
    "4,000 chats with five each": """
        CROSS JOIN LATERAL (SELECT (i % 4000)::text AS chat, 1 AS priority, past AS due_at, NULL::int) v
    """,
}
STATISTICS = ["of the filled table", "of the empty table", "none"]


@dataclass
class Work:
    """What a cycle did, by its plan."""

    plan: dict[str, Any]

    def nodes(self) -> list[dict[str, Any]]:
        """Every node of the plan."""
        found, open_ = [], [self.plan]
        while open_:
            node = open_.pop()
            found.append(node)
            open_ += node.get("Plans", [])
        return found

    def scans(self) -> Iterator[dict[str, Any]]:
        """The nodes that read one of the large tables."""
        for node in self.nodes():
            if node.get("Relation Name") in LARGE and node["Node Type"] != "ModifyTable":
                yield node

    @property
    def rows_read(self) -> float:
        """Rows of the large tables that were read, whether they were of use or not."""
        removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
        return sum(
            (float(node["Actual Rows"]) + sum(int(node.get(name, 0)) for name in removed)) * int(node["Actual Loops"])
            for node in self.scans()
        )

    @property
    def compared(self) -> float:
        """Pairs of rows that a join looked at in vain."""
        found = (int(node.get("Rows Removed by Join Filter", 0)) * int(node["Actual Loops"]) for node in self.nodes())
        return float(sum(found))

    @property
    def blocks(self) -> int:
        """Blocks that were looked at."""
        return int(self.plan["Shared Hit Blocks"] + self.plan["Shared Read Blocks"])

    @property
    def sorted_rows(self) -> float:
        """The most rows that one sort had."""
        sorts = [node for node in self.nodes() if node["Node Type"] in {"Sort", "Incremental Sort"}]
        return max(float(node["Actual Rows"]) for node in sorts)


@pytest_asyncio.fixture
async def worker(outbox_database: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection with a worker's settings."""
    connection = await asyncpg.connect(outbox_database, server_settings=SESSION)
    yield connection
    await connection.close()


def begin(url: str, statistics: str) -> None:
    with connect(url) as connection:
        connection.execute(QUIET.encode())
        if statistics == "of the empty table":
            connection.execute("VACUUM ANALYZE")


def wait(url: str, shape: str, count: int = 20_000) -> None:
    waiting = WAITING.replace("20000", str(count)) + SHAPES[shape].replace("NULL::int", "NULL::int AS lease_token")
    with connect(url) as connection:
        connection.execute(waiting.encode())


def fill(url: str, shape: str, statistics: str) -> None:
    wait(url, shape)
    with connect(url) as connection:
        connection.execute(HISTORY.encode())
        if statistics == "of the filled table":
            connection.execute("VACUUM ANALYZE")


async def cycles(worker: asyncpg.Connection[Any], count: int, *, alone: bool = False) -> list[Work]:
    """Run cycles that each deliver what the one before has claimed. Each statement is planned once, when first used."""
    works, token = [], 0
    for _ in range(count):
        held = await worker.fetch("SELECT id, attempts FROM dovecote.notification WHERE lease_token = $1", token)
        ids, total = [row["id"] for row in held], len(held)
        statement = f"cycle{'_alone' * alone}{'_large' * (total >= LARGE_BATCH)}"
        if not await worker.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name = $1", statement):
            await worker.execute(f"PREPARE {statement} AS {CYCLE_ALONE if alone else CYCLE}")
        settlements: list[Any] = [ids, *map(written, ([token] * total, [row["attempts"] for row in held]))]
        settlements += [written(["delivered"] * total), "{}", written([0.1] * total), "{}", []]
        settlements += [written(['"{5}"'] * total), []]
        token = secrets.randbits(60)
        arguments = [*settlements, [], [], [], [], [], [], BATCH, 60.0, token, alone, 0.5, [], [], [], []]
        (row,) = await worker.fetch(f"{EXPLAIN} EXECUTE {statement} ({', '.join(map(literal, arguments))})")
        works.append(Work(json.loads(row[0])[0]["Plan"]))
    return works


def written(values: list[Any]) -> str:
    return f"{{{','.join(map(str, values))}}}"


def literal(value: object) -> str:
    return f"'{written(value)}'" if isinstance(value, list) else f"'{value}'"


PLANNED = [(shape, planned) for shape in SHAPES for planned in ("for an empty table", "for what is there")]
PLANNED += [(shape, "for 40 rows") for shape in ("an even spread", "4,000 chats with five each")]


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize(("shape", "planned"), PLANNED)
async def test_a_cycle_reads_and_sorts_no_more_than_its_batch(
    outbox_database: str, worker: asyncpg.Connection[Any], shape: str, planned: str, statistics: str
) -> None:
    begin(outbox_database, statistics)
    if planned == "for an empty table":
        await cycles(worker, 1)
    if planned == "for 40 rows":
        wait(outbox_database, "an even spread", 40)
        await cycles(worker, 3)
    fill(outbox_database, shape, statistics)

    works = await cycles(worker, 3)

    for work in works:
        assert [node["Alias"] for node in work.scans() if node["Node Type"] == "Seq Scan"] == []
        # Each of a batch: settled, met and claimed, and a look at each of three priorities of its chat.
        assert work.rows_read <= 6.1 * BATCH
        # A batch is met in each of three priorities.
        assert work.sorted_rows <= 3 * BATCH
        # No part is compared with another row by row.
        assert work.compared <= 20 * BATCH


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("shape", ["one chat with 10,000", "10,000 of a chat that is in flight"])
async def test_a_chat_with_many_waiting_reads_at_most_twice_what_an_even_spread_does(
    outbox_database: str, worker: asyncpg.Connection[Any], shape: str, statistics: str
) -> None:
    begin(outbox_database, statistics)
    fill(outbox_database, "an even spread", statistics)
    even = await cycles(worker, 3)
    with connect(outbox_database) as connection:
        tables = "dovecote.bot, dovecote.notification, dovecote.history, dovecote.recipient"
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY".encode())
    begin(outbox_database, statistics)
    fill(outbox_database, shape, statistics)

    # 20 cycles meet the 10,000, 4 more claim others.
    uneven = await cycles(worker, 24)

    assert max(work.rows_read for work in uneven) <= 2 * max(work.rows_read for work in even)
    assert max(work.blocks for work in uneven) <= 2 * max(work.blocks for work in even)


@pytest.mark.parametrize("statistics", STATISTICS)
async def test_a_claim_alone_does_not_read_the_backlog_in_front_of_the_suspect(
    outbox_database: str, worker: asyncpg.Connection[Any], statistics: str
) -> None:
    begin(outbox_database, statistics)
    await cycles(worker, 1, alone=True)
    fill(outbox_database, "an even spread", statistics)
    with connect(outbox_database) as connection:
        connection.execute("UPDATE dovecote.notification SET lost_leases = 2 WHERE id > 19990")

    (work,) = await cycles(worker, 1, alone=True)

    assert work.rows_read <= 200


async def test_a_lease_is_written_into_the_page_of_the_row(
    outbox_database: str, worker: asyncpg.Connection[Any]
) -> None:
    begin(outbox_database, "of the filled table")
    fill(outbox_database, "an even spread", "of the filled table")
    places = "SELECT id, (ctid::text::point)[0] AS page, lease_token FROM dovecote.notification"
    before = {row["id"]: row["page"] for row in await worker.fetch(places)}

    await cycles(worker, 1)

    leased = [row for row in await worker.fetch(places) if row["lease_token"] is not None]
    assert len(leased) == BATCH
    # What differs from a version in the same page is all that is written to the WAL.
    assert sum(row["page"] == before[row["id"]] for row in leased) >= 0.9 * BATCH
