"""What pruning reads: by an index, what is due and nothing else, whatever is kept and however many bots there are."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from databases import connect
from outboxes import at
from sqlalchemy import Engine, event, select

from dovecote.errors import NotMigrated
from dovecote.model import BotRetention, Retention
from dovecote.stores import late_indexes
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.due_history import keep_to_indexes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outboxes import Outbox
    from sqlalchemy import Connection

DAY = 86_400.0
BOTS = 40
KEPT = 4000
"""Rows that stay: of one bot that has times of its own, and older than all that the others keep."""
RETENTION = Retention(
    delivered=timedelta(days=2),
    delivered_payload=timedelta(days=1),
    dead=timedelta(days=2),
    unknown=timedelta(days=2),
)
WHOLE = (
    "CREATE INDEX history_whole ON dovecote.history USING btree (bot_id, outcome, settled_at) WHERE (erased_at IS NULL)"
)
Plan = dict[str, Any]


async def fill(outbox: Outbox, statistics: str = "") -> None:
    """Many bots with times of their own; of one of them much that it keeps, and of the last one two that are due."""
    tables = outbox.database.tables
    analyze = f"ANALYZE {tables.history}"
    if statistics == "of an empty table":
        await outbox.sql(analyze)
    await outbox.put_history(
        [{"id": n, "outcome": "delivered", "settled_at": at(-20 * DAY - n)} for n in range(1, KEPT + 1)]
    )
    if statistics == "of one bot":
        await outbox.sql(analyze)
    common = {"token_variable": "TOKEN", "created_at": at(0), "next_slot_at": at(0)}
    bots = [{**common, "name": f"b{number}"} for number in range(BOTS)]
    days = {name: timedelta(days=count) for name, count in (("delivered", 3), ("delivered_payload", 2))}
    short = {name: time // timedelta(microseconds=1) for name, time in days.items()}
    long = timedelta(days=90)
    await outbox.retentions.set_retention("shop", BotRetention(delivered=long, delivered_payload=long))

    def add(connection: Connection) -> None:
        connection.execute(tables.bot.insert(), bots)
        added = select(tables.bot.c.id, tables.bot.c.name).where(tables.bot.c.name != "shop")
        outbox._bot_ids |= {row.name: row.id for row in connection.execute(added)}
        own = [{"bot_id": id_, **short} for name, id_ in outbox._bot_ids.items() if name != "shop"]
        connection.execute(tables.bot_retention.insert(), own)

    await outbox.database.run(add, write=True)
    due = [(9001, 4 * DAY), (9002, 2.5 * DAY)]
    await outbox.put_history(
        [{"id": id_, "outcome": "delivered", "settled_at": at(-age)} for id_, age in due], bot=f"b{BOTS - 1}"
    )
    if statistics == "of today":
        await outbox.sql(analyze)


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plans(outbox: Outbox) -> list[tuple[str, str]]:
    """The statements of a dry run and of a piece that name the history, each with how the database runs it."""
    asked: dict[str, Any] = {}

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "history" in statement and "pg_index" not in statement:
            asked.setdefault(statement, parameters)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        due = await outbox.pruning.due(RETENTION)
        pruned = await outbox.pruning.prune(RETENTION)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert due == pruned
    assert (pruned.delivered, pruned.payloads) == (1, 1)
    how = "(FORMAT JSON) " if outbox.database.is_postgresql else "QUERY PLAN "

    def explain(connection: Connection) -> list[tuple[str, str]]:
        keep_to_indexes(connection)
        return [
            (
                statement,
                json.dumps([list(row) for row in connection.exec_driver_sql(f"EXPLAIN {how}{statement}", parameters)]),
            )
            for statement, parameters in asked.items()
        ]

    return await outbox.database.run(explain)


@pytest.mark.parametrize("statistics", ["of an empty table", "of one bot", "of today"])
async def test_what_is_due_is_found_by_an_index_whatever_stands_around_it(outbox: Outbox, statistics: str) -> None:
    await fill(outbox, statistics)

    found = await plans(outbox)

    searches = [plan for statement, plan in found if "span" in statement]
    # What stays and what has lost its payload, counted and removed.
    assert len(searches) == 4
    for plan in searches:
        assert "history_whole" in plan or "history_emptied" in plan, plan
        assert "Sort" not in plan, plan
    for statement, plan in found:
        if outbox.database.is_postgresql:
            (tree,) = json.loads(plan)[0][0]
            read = [node for node in nodes(tree["Plan"]) if node.get("Relation Name") == "history"]
            assert all(node["Node Type"] != "Seq Scan" for node in read), (statement, plan)
        else:
            assert "SCAN dovecote_history" not in plan, (statement, plan)


@pytest.mark.parametrize("outbox_database", ["postgresql-18"], indirect=True)
async def test_a_piece_locks_no_more_than_it_takes(outbox: Outbox) -> None:
    await fill(outbox)
    await outbox.put_history(
        [{"id": 20_000 + n, "outcome": "delivered", "settled_at": at(-5 * DAY - n)} for n in range(500)], bot="b1"
    )
    statements: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "FOR UPDATE SKIP LOCKED" in statement and "unnest" in statement:
            statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await outbox.pruning.prune(RETENTION, limit=10)
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    def analyze(connection: Connection) -> Plan:
        keep_to_indexes(connection)
        ((answer,),) = connection.exec_driver_sql(
            "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statements[1][0], statements[1][1]
        )
        plan: Plan = answer[0]["Plan"]
        return plan

    tree = await outbox.database.run(analyze)
    locked = [node for node in nodes(tree) if node["Node Type"] == "LockRows"]
    assert [node["Actual Rows"] * node["Actual Loops"] <= 10 for node in locked] == [True]
    assert tree["Actual Rows"] == 10


async def test_a_large_history_is_indexed_behind_the_migration_and_pruned_only_with_its_indexes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_indexes, "LARGE_TABLE", -1)
    database = Database(outbox_url(postgres_url))
    try:
        await database.migrate("0018")
        with pytest.raises(NotMigrated, match=r"not built yet \(history_emptied, history_whole\): .* or run it again"):
            await database.run(late_indexes.check_built)
        # What was cut off leaves one that is not valid.
        with connect(postgres_url) as connection:
            connection.execute("CREATE INDEX history_whole ON dovecote.history (id)")
            connection.execute(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dovecote.history_whole'::regclass"
            )

        await database.migrate()

        await database.run(late_indexes.check_built)
        with connect(postgres_url) as connection:
            found = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'history_whole'").fetchall()
        assert found == [
            (WHOLE,),
        ]
    finally:
        await database.close()
