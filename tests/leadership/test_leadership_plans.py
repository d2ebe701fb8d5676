"""What elections ask of the database is found by an index, however many terms and instances there were."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from outboxes import Outbox, at
from sqlalchemy import event

from dovecote.model import Instance
from dovecote.stores.leadership import Terms
from dovecote.stores.lease import RowLease

if TYPE_CHECKING:
    from sqlalchemy import Connection

TIMEOUT = timedelta(seconds=10)
LEASE = timedelta(seconds=60)
MANY = 2000
ONE = Instance(id="one", host="a-host", pid=17, version="1.2.3", role="worker")


async def test_nothing_is_searched_through(lite_url: str) -> None:
    outbox = Outbox(lite_url)
    tables = outbox.database.tables.leadership
    gone = [
        {"id": f"i{n}", "host": "h", "pid": n, "version": "1", "role": "worker", "started_at": at(n), "seen_at": at(n)}
        for n in range(MANY)
    ]
    terms_gone = [{"number": n, "instance": "x", "begun_at": at(n)} for n in range(1, MANY)]

    def fill(connection: Connection) -> None:
        connection.execute(tables.instance.insert(), gone)
        connection.execute(tables.term.insert(), terms_gone)

    await outbox.database.run(fill, write=True)
    asked: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        asked.append((arguments[2], arguments[3]))

    event.listen(outbox.database._engine, "before_cursor_execute", note)
    lease = RowLease(outbox.database, timeout=TIMEOUT, clock=outbox._microseconds)
    terms = Terms(outbox.database, timeout=TIMEOUT, clock=outbox._microseconds)

    assert await lease.acquire("one", 1, LEASE)
    assert await lease.renew("one", 1, LEASE)
    assert await lease.holder() == "one"
    assert await lease.release("one", 1)
    assert await terms.beat(ONE) == MANY - 1
    assert await terms.beat(ONE) == MANY - 1
    assert await terms.begin("one") == MANY
    await terms.end(MANY)
    assert (await terms.newest()) is not None
    await terms.leave("one")

    event.remove(outbox.database._engine, "before_cursor_execute", note)

    def explain(connection: Connection) -> list[str]:
        found = []
        for statement, values in asked:
            if not statement.startswith("INSERT"):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                found += [f"{row.detail}: {statement}" for row in plan]
        return found

    plans = await outbox.database.run(explain)
    assert len(plans) >= 15
    # A subquery's rows are walked through, which are bounded by its own limit.
    walked = [plan for plan in plans if plan.startswith("SCAN") and "SUBQUERY" not in plan]
    # The newest term is the first that is met when the numbers are walked down.
    assert [plan for plan in walked if "ORDER BY dovecote_leadership_term.number DESC" not in plan] == []
    await lease.close()
    await terms.close()
    await outbox.close()
