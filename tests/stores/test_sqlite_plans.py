"""What a cycle reads on SQLite: its plans, whatever the statistics say, and its work, counted and not timed."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import LEASE, Outbox, delivered, failed

from dovecote.model import Dead, Migrated, QuietHours, Refusal, Released, Scope, Settlement, Snoozed
from dovecote.stores import sqlite_cycle, sqlite_heeded
from dovecote.stores.sqlite import SQLiteOutbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.parametrize("outbox_database", ["sqlite"], indirect=True)

STATEMENTS = {
    text: name
    for module in (sqlite_cycle, sqlite_heeded)
    for name, text in vars(module).items()
    if name.isupper() and not name.startswith("_") and "dovecote_" in str(text)
}
# As the statements call the tables that may be large.
LARGE = r"(n|q|f|h|x|dovecote_notification|dovecote_history|dovecote_attempt|dovecote_recipient|dovecote_bot)"


def sqlite_store(outbox: Outbox) -> SQLiteOutbox:
    assert isinstance(outbox.store, SQLiteOutbox)
    return outbox.store


async def put_spread(outbox: Outbox, first: int, count: int, **columns: Any) -> None:
    """Put as many notifications as chats."""
    await outbox.put_rows([{"id": id_, "chat": str(id_), **columns} for id_ in range(first, first + count)])


async def no_statistics(outbox: Outbox) -> None:
    await put_spread(outbox, 1, 3000)


async def statistics_of_empty_tables(outbox: Outbox) -> None:
    await outbox.sql("ANALYZE")
    await put_spread(outbox, 1, 3000)


async def statistics_of_one_row(outbox: Outbox) -> None:
    await put_spread(outbox, 1, 1)
    await outbox.sql("ANALYZE")
    await put_spread(outbox, 2, 2999)


async def statistics_of_three_rows(outbox: Outbox) -> None:
    await put_spread(outbox, 1, 3)
    await outbox.sql("ANALYZE")
    await put_spread(outbox, 4, 2997)


async def statistics_of_all_rows(outbox: Outbox) -> None:
    await put_spread(outbox, 1, 3000)
    await outbox.sql("ANALYZE")


async def statistics_that_come_while_it_runs(outbox: Outbox) -> None:
    await put_spread(outbox, 5001, 1)
    await outbox.deliver(await outbox.claim_one())
    await outbox.put(1)
    await outbox.sql("ANALYZE")
    await put_spread(outbox, 2, 2999)


FILLINGS = [
    no_statistics,
    statistics_of_empty_tables,
    statistics_of_one_row,
    statistics_of_three_rows,
    statistics_of_all_rows,
    statistics_that_come_while_it_runs,
]


async def live(outbox: Outbox) -> None:
    """Let every statement of a cycle be executed: outcomes of each kind, order, leases, a suspect, nothing due."""
    await put_spread(outbox, 9001, 10, planned_at=outbox.now - timedelta(seconds=1))
    await outbox.put_rows([{"id": id_, "chat": "one"} for id_ in (9011, 9012)], planned=-2)
    await outbox.put(9013, chat="two", lost_leases=2)
    await outbox.tell("9010", quiet_hours=QuietHours(time(11), time(12, 5)))
    first = await outbox.claim(10)
    snoozed = Settlement(first[0], Snoozed(timedelta(seconds=1)))
    missed = Settlement(first[5], Dead("chat not found", 400, Refusal.NOT_FOUND))
    moved = Settlement(first[6], Migrated("-1009"))
    await outbox.store.cycle([missed, moved], claim=0, lease=LEASE)
    settlements = [snoozed, failed(first[1], retry_in=5), *map(delivered, first[2:5])]
    await outbox.store.cycle(settlements, claim=10, lease=LEASE, renew=first[7:])
    await outbox.advance(1)
    await outbox.claim(1, alone=True)
    await outbox.bots.set_limits("shop", pace=1.0, private_limit=None, group_limit=None)
    await outbox.bots.set_paid_broadcasts("shop", pace=1000.0, stars_per_day=100)
    await outbox.advance(1)
    one, other, third = (await outbox.claim(20))[:3]
    told = Settlement(other, Snoozed(timedelta(seconds=1), Scope.CHAT))
    await outbox.settle(Settlement(one, Released()), told, failed(third, retry_in=0))
    await outbox.sql("DELETE FROM dovecote_notification WHERE attempts = 0")
    await outbox.advance(1)
    await outbox.claim(20)
    await outbox.sql("DELETE FROM dovecote_notification")
    await outbox.put(9999, planned=1_000_000)
    await outbox.claim(10)


@pytest.mark.parametrize("filled", FILLINGS)
async def test_no_statement_reads_or_sorts_the_backlog(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, filled: Callable[[Outbox], Awaitable[None]]
) -> None:
    await filled(outbox)
    store = sqlite_store(outbox)
    execute = store._execute
    plans: dict[str, list[str]] = {}

    def explain_and_execute(statement: str, **values: Any) -> list[Any]:
        if statement in STATEMENTS:
            plan = execute(f"EXPLAIN QUERY PLAN {statement}", **values)
            plans[STATEMENTS[statement]] = [str(line[3]) for line in plan]
        return execute(statement, **values)

    monkeypatch.setattr(store, "_execute", explain_and_execute)
    await live(outbox)

    assert set(plans) == set(STATEMENTS.values())
    # The first row of a scan that ends with it, of an index that holds hardly any.
    struck = "dovecote_recipient USING INDEX dovecote_recipient_struck"
    assert [line for line in plans.pop("HAS_STRIKES") if not re.fullmatch(rf"SCAN (TABLE )?{struck}", line)] == [
        "SCAN CONSTANT ROW",
        "SCALAR SUBQUERY 1",
    ]
    lines = [(name, line) for name, plan in plans.items() for line in plan]
    assert [line for line in lines if re.match(rf"SCAN (TABLE )?{LARGE}\b", line[1])] == []
    assert {name for name, line in lines if re.match(r"SCAN (TABLE )?b\b", line)} <= {"GRANT", "NEXT_DUE"}
    assert [line for line in lines if "AUTOMATIC" in line[1]] == []
    # The bots are sorted, of which there are few.
    assert {name for name, line in lines if "TEMP B-TREE" in line and "ORDER BY" in line} <= {"GRANT"}
    assert [
        line for line in plans["MEET"] if "dovecote_notification_due (bot_id=? AND priority=? AND due_at<?)" in line
    ]


@pytest.mark.parametrize(
    "statement", ["MEET", "JUDGE", "GRANT", "NEXT_DUE", "SUSPECTS", "MEET_SUSPECTS", "MOVE", "HAS_STRIKES"]
)
async def test_a_statement_fails_at_once_when_its_index_is_not_there(outbox: Outbox, statement: str) -> None:
    text = {name: text for text, name in STATEMENTS.items()}[statement]
    named = re.findall(r"INDEXED BY (\w+)", text)
    store = sqlite_store(outbox)
    await outbox.claim()

    def prepare(index: str) -> str:
        connection = store._connected()
        connection.execute("BEGIN")
        connection.execute(f"DROP INDEX {index}")
        try:
            values = dict.fromkeys(re.findall(r":(\w+)", text), 0)
            connection.execute(f"EXPLAIN {text}", values)
        except Exception as error:  # noqa: BLE001 (its words are what is looked at)
            return str(error)
        finally:
            connection.execute("ROLLBACK")
        return "it was prepared"

    for index in set(named):
        answer = await store._in_thread(lambda index=index: prepare(index))  # type: ignore[misc]
        assert answer == f"no such index: {index}"


async def steps_of(outbox: Outbox, cycle: Callable[[], Awaitable[Any]]) -> int:
    """How many hundreds of instructions of SQLite's machine a cycle takes."""
    store = sqlite_store(outbox)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    await store._in_thread(lambda: store._connected().set_progress_handler(count, 100))
    await cycle()
    await store._in_thread(lambda: store._connected().set_progress_handler(None, 100))
    return steps


@pytest.mark.parametrize("filled", FILLINGS)
async def test_a_cycle_does_no_more_for_a_longer_backlog(
    outbox: Outbox, filled: Callable[[Outbox], Awaitable[None]]
) -> None:
    await filled(outbox)
    claimed = await outbox.claim(200)
    short = await steps_of(outbox, lambda: outbox.store.cycle([*map(delivered, claimed)], claim=200, lease=LEASE))
    await put_spread(outbox, 10_001, 20_000)
    claimed = await outbox.claim(200)

    long = await steps_of(outbox, lambda: outbox.store.cycle([*map(delivered, claimed)], claim=200, lease=LEASE))

    assert 100 < long < short * 1.1


async def test_what_is_due_later_is_not_read(outbox: Outbox) -> None:
    await put_spread(outbox, 1, 500)
    without = await steps_of(outbox, lambda: outbox.claim(100))
    await put_spread(outbox, 10_001, 10_000, priority=0, planned_at=outbox.now + timedelta(days=1))

    assert await steps_of(outbox, lambda: outbox.claim(100)) < without * 1.1


async def test_one_chat_with_many_waiting_is_out_of_the_others_way_after_one_look_at_each(outbox: Outbox) -> None:
    await outbox.put_rows([{"id": id_, "chat": "one"} for id_ in range(1, 10_001)], planned=-1)
    await put_spread(outbox, 20_001, 1000)

    claims = [[each.chat for each in await outbox.claim(500)] for _ in range(22)]

    # Each is looked at once: in 20 claims of 500.
    assert claims[:20] == [["one"], *([] for _ in range(19))]
    assert [len(claim) for claim in claims[20:]] == [500, 500]


async def test_one_chat_with_many_waiting_costs_no_more_than_an_even_spread(outbox: Outbox) -> None:
    await outbox.bot("even")
    await outbox.put_rows([{"id": id_, "chat": "one"} for id_ in range(1, 10_001)], planned=-1)
    await outbox.claim(500)
    one_chat = await steps_of(outbox, lambda: outbox.claim(500))
    await outbox.sql("DELETE FROM dovecote_notification")
    await put_spread(outbox, 20_001, 10_000)
    await outbox.claim(500)

    assert one_chat < 2 * await steps_of(outbox, lambda: outbox.claim(500))


@pytest.mark.parametrize("size", [10, 500])
async def test_a_batch_of_any_size_takes_the_same_few_statements(outbox: Outbox, size: int) -> None:
    store = sqlite_store(outbox)
    await put_spread(outbox, 1, 1500)
    claimed = await outbox.claim(size)
    before = store.statements

    cycle = await store.cycle([*map(delivered, claimed)], claim=size, lease=LEASE)

    assert len(cycle.claimed) == size
    assert store.statements - before == 13
