"""The conformance suite of `ports.OverviewStore`: what it tells, and that no backlog makes it dear."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from outboxes import Outbox, at, settlement
from sqlalchemy import event

from dovecote.errors import UnknownBot
from dovecote.model import Depth, Scope, Snoozed
from dovecote.stores import depths
from dovecote.stores.overview import Overviews

if TYPE_CHECKING:
    from sqlalchemy import Connection


@pytest.fixture
def overviews(outbox: Outbox) -> Overviews:
    return Overviews(outbox.database, clock=outbox._microseconds)


async def test_what_is_due_is_told_by_bot_and_priority_with_the_age_of_the_oldest(
    outbox: Outbox, overviews: Overviews
) -> None:
    await outbox.bot("support", pace=30)
    await outbox.put(1, 2, planned=-40)
    await outbox.put(3, planned=-70, priority=0)
    await outbox.put(4, planned=-10, bot="support", priority=0)
    await outbox.put(5, planned=60)

    found = await overviews.overview()

    assert found.at == at(0)
    assert found.due == {"urgent": Depth(2, 70.0), "normal": Depth(2, 40.0), "bulk": Depth(0, None)}
    shop, support = found.bots
    assert (shop.name, support.name) == ("shop", "support")
    assert shop.due == {"urgent": Depth(1, 70.0), "normal": Depth(2, 40.0), "bulk": Depth(0, None)}
    assert support.due["urgent"] == Depth(1, 10.0)
    assert (shop.pace, shop.pace_now, support.pace, support.pace_now) == (None, None, 30.0, 30.0)


async def test_what_is_leased_is_not_due(outbox: Outbox, overviews: Overviews) -> None:
    await outbox.put(1)
    await outbox.claim_one()

    assert (await overviews.overview()).due["normal"] == Depth(0, None)


async def test_outcomes_are_those_of_the_last_five_seconds(outbox: Outbox, overviews: Overviews) -> None:
    rows = [("delivered", -5.5), ("delivered", -4.5), ("delivered", 0), ("dead", -1), ("unknown", -60)]
    await outbox.put_history(
        [{"id": id_, "outcome": outcome, "settled_at": at(when)} for id_, (outcome, when) in enumerate(rows, start=1)]
    )

    found = await overviews.overview()

    assert found.window == 5.0
    assert found.outcomes == {"delivered": 0.4, "dead": 0.2, "unknown": 0.0}
    assert found.bots[0].outcomes == found.outcomes


async def test_what_answers_429_have_left_is_told_as_the_claim_reckons_it(outbox: Outbox, overviews: Overviews) -> None:
    await outbox.bot("support", pace=20)
    await outbox.put(1, bot="support", chat="1")
    await outbox.put(2, bot="support", chat="-2")
    (first, second) = await outbox.claim()
    await outbox.settle(
        settlement(first, Snoozed(timedelta(seconds=8))), settlement(second, Snoozed(timedelta(seconds=9), Scope.CHAT))
    )
    await outbox.advance(3)

    support = (await overviews.overview()).bots[1]

    assert support.halted_for == pytest.approx(5.0)
    assert support.waiting_chats == 1
    assert (support.waits, (await overviews.overview()).bots[0].waits) == (1, 0)
    # 7% less, and from the end of the wait on a thousandth of the whole back in each second.
    assert support.pace_now == pytest.approx(18.6)
    await outbox.advance(8)
    assert (await overviews.overview()).bots[1].pace_now == pytest.approx(18.66)
    await outbox.advance(100)
    support = (await overviews.overview()).bots[1]
    assert (support.halted_for, support.waiting_chats, support.pace_now) == (0.0, 0, 20.0)


async def test_a_stopped_bot_says_why(outbox: Outbox, overviews: Overviews) -> None:
    await outbox.stop_bot("Unauthorized")

    assert (await overviews.overview()).bots[0].stopped_reason == "Unauthorized"


async def test_one_bot_alone(outbox: Outbox, overviews: Overviews) -> None:
    await outbox.bot("support")
    await outbox.put(1)
    await outbox.put(2, bot="support")

    found = await overviews.overview(bot="support")

    assert [bot.name for bot in found.bots] == ["support"]
    assert found.due["normal"].due == 1
    with pytest.raises(UnknownBot, match='no bot is named "x"'):
        await overviews.overview(bot="x")


async def test_it_counts_no_further_than_the_bound_in_as_many_statements_for_a_thousand_bots(
    outbox: Outbox, overviews: Overviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depths, "COUNTED", 3)
    await outbox.put(*range(1, 11))
    table = outbox.database.tables.bot
    bots = [
        {"name": f"bot-{number}", "token_variable": "TOKEN", "created_at": at(0), "next_slot_at": at(0)}
        for number in range(1000)
    ]
    await outbox.database.run(lambda connection: connection.execute(table.insert(), bots), write=True)
    asked: list[str] = []

    def ask(connection: Connection) -> None:
        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            asked.append(statement)

        event.listen(connection, "before_cursor_execute", note)

    run = outbox.database.run

    async def counting(function: Any, **options: Any) -> Any:
        def both(connection: Connection) -> Any:
            ask(connection)
            return function(connection)

        return await run(both, **options)

    monkeypatch.setattr(outbox.database, "run", counting)
    found = await overviews.overview()

    assert found.due["normal"].due == 3
    assert len(found.bots) == 1001
    assert len(asked) <= 5


@pytest.mark.parametrize("outbox_database", ["postgresql-18", "postgresql-17"], indirect=True)
async def test_whoever_holds_an_old_snapshot_is_named(overviews: Overviews, outbox_database: str) -> None:
    with psycopg.connect(outbox_database, application_name="a dump") as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM dovecote.bot")

        snapshot = (await overviews.overview()).oldest_snapshot

    assert snapshot is not None
    assert "(a dump)" in snapshot.holder
    assert snapshot.seconds >= 0


@pytest.mark.parametrize("outbox_database", ["postgresql-18", "postgresql-17"], indirect=True)
async def test_the_outbox_is_not_read_whole(outbox: Outbox, overviews: Overviews) -> None:
    await outbox.put_rows([{"id": id_, "chat": str(id_)} for id_ in range(1, 5001)], planned=3600)
    await outbox.sql("ANALYZE dovecote.notification")

    def read(connection: Connection) -> str:
        compiled = overviews._bots(at(0), None).compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {compiled}"))

    plan = await outbox.database.run(read)
    assert "Seq Scan on notification" not in plan
    assert plan.count("notification_due") == 6
