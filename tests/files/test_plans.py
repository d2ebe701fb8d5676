"""What the collection reads: every statement by an index, whatever the statistics say, and however much there is."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from databases import connect
from outboxes import START
from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from file_world import FileWorld
    from outboxes import Outbox

LARGE = ("file", "file_name", "file_copy", "attachment", "notification", "history", "loose_object", "direct_upload")
ROWS = 10_000
LIMIT = 100
STATISTICS = ["of the filled tables", "of the empty tables", "none"]


@contextmanager
def explained(outbox: Outbox) -> Iterator[list[tuple[str, list[str]]]]:
    """Every statement that is executed meanwhile, with its plan: the lines of it that name a table."""
    found: list[tuple[str, list[str]]] = []
    engine: Any = outbox.database.async_engine
    engine = outbox.database._engine if engine is None else engine.sync_engine
    busy = False

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy calls it so
        nonlocal busy
        if busy or many or not re.match(r"\s*(SELECT|UPDATE|DELETE)", statement):
            return
        busy = True
        try:
            if connection.dialect.name == "postgresql":
                (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalars()
                document = plan if isinstance(plan, list) else json.loads(plan)
                found.append((statement, list(scans(document[0]["Plan"]))))
            else:
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                found.append((statement, [str(row[3]) for row in rows]))
        finally:
            busy = False

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """The nodes of a plan that read a table, or sort."""
    if "Relation Name" in plan or plan["Node Type"] == "Sort":
        yield f"{plan['Node Type']} {plan.get('Relation Name', '')}"
    for child in plan.get("Plans", ()):
        yield from scans(child)


async def fill(world: FileWorld) -> None:
    """Files that nobody needs, files that are in use, attachments of what waits and of what was delivered."""
    tables = world.outbox.database.tables.files
    ids = range(1, ROWS + 1)
    rows: dict[str, list[dict[str, Any]]] = {
        "file_store": [{"url": "memory:primary", "role": "primary", "since": START}],
        "file": [
            {
                "sha256": f"{id_:064x}",
                "size": 1,
                "content_type": "text/plain",
                "created_at": START,
                "needed_at": START + timedelta(microseconds=id_),
                "kept": id_ % 10 == 0,
            }
            for id_ in ids
        ],
        "file_name": [{"file_id": id_, "name": f"n{id_}", "named_at": START} for id_ in ids],
        "file_copy": [{"file_id": id_, "store_id": 1, "key": f"k{id_}"} for id_ in ids],
        "attachment": [
            {"notification_id": id_, "position": 0, "file_id": 1 + id_ % 500, "field": "photo"} for id_ in ids
        ],
        "direct_upload": [
            {"key": f"u{id_}", "store_id": 1, "content_type": "x", "max_size": 1, "expires_at": START} for id_ in ids
        ],
        "loose_object": [
            {"store_id": 1, "key": f"loose {id_}", "until": START + timedelta(seconds=id_), "doomed": False}
            for id_ in ids
        ],
    }
    for name, values in rows.items():
        statement = getattr(tables, name).insert()
        await world.outbox.database.run(lambda c, s=statement, v=values: c.execute(s, v), write=True)  # type: ignore[misc]
    await world.outbox.put_rows([{"id": id_, "chat": str(id_)} for id_ in ids if id_ % 2])
    await world.outbox.put_history([{"id": id_, "outcome": "delivered"} for id_ in ids if not id_ % 2])


async def analyze(world: FileWorld, database: str) -> None:
    if world.outbox.database.is_postgresql:
        with connect(database) as connection:
            connection.execute("VACUUM ANALYZE")
    else:
        await world.outbox.sql("ANALYZE")


@pytest.mark.parametrize("statistics", STATISTICS)
async def test_a_collection_reads_by_index_alone(world: FileWorld, outbox_database: str, statistics: str) -> None:
    if world.outbox.database.is_postgresql:
        for table in LARGE:
            await world.outbox.sql(f"ALTER TABLE dovecote.{table} SET (autovacuum_enabled = off)")
    if statistics == "of the empty tables":
        await analyze(world, outbox_database)
    await fill(world)
    if statistics == "of the filled tables":
        await analyze(world, outbox_database)
    await world.outbox.advance(7200)

    with explained(world.outbox) as plans:
        assert await world.sweeper.release(after=(300, 0), limit=LIMIT) == (400, 0)
        done, more = await world.sweeper.collect(grace=timedelta(hours=1), limit=LIMIT)
        objects = await world.sweeper.doomed(limit=LIMIT)
        await world.sweeper.removed(objects)
        await world.catalogue.forget(ROWS)

    assert (done.files, more, len(objects)) == (0, True, LIMIT)
    assert len(plans) >= 12
    whole = re.compile(
        rf"Seq Scan ({'|'.join(LARGE)})$|SCAN (dovecote_({'|'.join(LARGE)}))$|.*TEMP B-TREE FOR ORDER BY"
    )
    read_whole = [
        (statement.split("\n")[0], line) for statement, lines in plans for line in lines if whole.fullmatch(line)
    ]
    assert read_whole == []
