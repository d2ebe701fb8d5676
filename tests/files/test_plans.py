"""What work with files reads: every statement by an index, whatever the statistics say, and however much there is."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from databases import connect
from outboxes import START
from sqlalchemy import event

from dovecote.model import NewFile, ObjectPlace, Released, Settlement, UploadKey
from dovecote.stores.attached import attached_files
from dovecote.stores.file_ids import FileIds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from file_world import FileWorld
    from outboxes import Outbox

LARGE = (
    "file",
    "file_id",
    "file_name",
    "file_copy",
    "attachment",
    "notification",
    "history",
    "loose_object",
    "direct_upload",
)
ROWS = 10_000
LIMIT = 100
FEW = 10
"""Of ten thousand rows a hundred are found sooner by reading them all, and the planners know it."""
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
        "file_id": [
            {"bot_id": 1, "sha256": f"{id_:064x}", "kind": "photo", "options": "", "file_id": f"called{id_}"}
            for id_ in ids
        ],
        "direct_upload": [
            {"key": f"u{id_}", "store_id": 1, "content_type": "x", "max_size": 1, "expires_at": START} for id_ in ids
        ],
        "loose_object": [
            {"store_id": 1, "key": f"loose {id_}", "until": START + timedelta(seconds=id_), "doomed": False}
            for id_ in ids
        ],
    }
    await world.outbox.put_rows([{"id": ROWS + id_} for id_ in ids])
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


async def arrange(world: FileWorld, database: str, statistics: str) -> None:
    """Fill the tables, with the statistics that the test is about."""
    if world.outbox.database.is_postgresql:
        for table in LARGE:
            await world.outbox.sql(f"ALTER TABLE dovecote.{table} SET (autovacuum_enabled = off)")
    if statistics == "of the empty tables":
        await analyze(world, database)
    await fill(world)
    if statistics == "of the filled tables":
        await analyze(world, database)
    await world.outbox.advance(7200)


def read_whole(plans: list[tuple[str, list[str]]], *, sorts: bool = False) -> list[tuple[str, str]]:
    """Where a large table is read from end to end; with `sorts`, where a statement sorts as well."""
    tables = "|".join(LARGE)
    whole = rf"Seq Scan ({tables})$|SCAN (TABLE )?(dovecote_({tables}))$"
    pattern = re.compile(whole + (r"|.*TEMP B-TREE FOR ORDER BY" if sorts else ""))
    return [(statement.split("\n")[0], line) for statement, lines in plans for line in lines if pattern.fullmatch(line)]


@pytest.mark.parametrize("statistics", STATISTICS)
async def test_files_and_the_collection_read_by_index_alone(
    world: FileWorld, outbox_database: str, statistics: str
) -> None:
    await arrange(world, outbox_database, statistics)
    file_ids = FileIds(world.outbox.database, clock=world.outbox._microseconds)

    with explained(world.outbox) as of_files:
        await catalogued(world)
        await moved(world)
        await uploaded(world, file_ids)
    with explained(world.outbox) as of_collection:
        assert await world.sweeper.release(after=(300, 0), limit=LIMIT) == (400, 0)
        done, more = await world.sweeper.collect(grace=timedelta(hours=1), limit=LIMIT)
        objects = await world.sweeper.doomed(limit=LIMIT)
        await world.sweeper.removed(objects)
        await world.catalogue.forget(ROWS)

    assert (done.files, more, len(objects)) == (0, True, LIMIT)
    assert len(of_collection) >= 12
    assert read_whole(of_collection, sorts=True) == []
    assert len(of_files) >= 35
    assert read_whole(of_files) == []


async def catalogued(world: FileWorld) -> None:
    """Every statement of putting, reading, naming and keeping a file."""
    new = NewFile(key="new", sha256="f" * 64, size=1, content_type="text/plain", name="new", keep=False)
    stores = await world.catalogue.announce(new.key, window=timedelta(days=1))
    made = await world.catalogue.record(new, stores)
    assert made is not None
    assert await world.catalogue.needed_again(new.sha256, name="again", keep=False) is not None
    assert (await world.catalogue.file(17)).name == "n17"
    assert [file.id for file in await world.catalogue.page(name="n17")] == [17]
    assert len(await world.catalogue.page(before_id=9000, limit=FEW)) == FEW
    await world.catalogue.keep(17, keep=True)
    keys = [f"k{id_}" for id_ in range(1, LIMIT)]
    assert len(await world.catalogue.owned(1, keys)) == LIMIT - 1
    assert not await world.catalogue.forget(made.id, name="again")
    read_attached = partial(attached_files, tables=world.outbox.database.tables.files, notification_id=9)
    assert len(await world.outbox.database.run(read_attached)) == 1


async def moved(world: FileWorld) -> None:
    """What a move reads a page at a time."""
    lacking = await world.moves.lacking(2, after_id=5000, limit=FEW)
    assert len(lacking) == FEW
    await world.moves.copied(1, ObjectPlace(1, "k1"))
    assert not await world.moves.switch(7)
    await world.moves.leave(7, after_id=0, limit=LIMIT)


async def uploaded(world: FileWorld, file_ids: FileIds) -> None:
    """Every statement of the turns to upload, and of waking who has waited."""
    known = await file_ids.look_up({(1, id_) for id_ in range(1, FEW)})
    assert len(known.file_ids) == FEW - 1
    keys = [UploadKey(1, f"{id_:064x}", "document") for id_ in range(1, 4)]
    await file_ids.begin(keys, uploader="one", lease=timedelta(seconds=30))
    await file_ids.renew(keys, uploader="one", lease=timedelta(seconds=30))
    await file_ids.give_up(keys[:1], uploader="one")
    await file_ids.finish({keys[1]: "called"})
    await file_ids.forget({keys[1]: "called"})
    claimed = await world.outbox.claim(LIMIT)
    await world.outbox.settle(*(Settlement(each, Released(timedelta(minutes=1))) for each in claimed))
    assert await file_ids.wake(claimed) == []
