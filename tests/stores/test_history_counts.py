"""The conformance suite of `ports.CountStore`: the counts are the history's at every moment, whoever changes it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from outboxes import Outbox, at
from sqlalchemy import Engine, event, func, select

from dovecote.model import State
from dovecote.stores import depths, folding
from dovecote.stores.folding import Counts

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def counted(outbox: Outbox) -> dict[tuple[int, str], int]:
    """What the counts add up to."""
    table = outbox.database.tables.history_count.c
    statement = select(table.bot_id, table.outcome, func.sum(table.count)).group_by(table.bot_id, table.outcome)

    def read(connection: Connection) -> dict[tuple[int, str], int]:
        return {(bot, outcome): int(count) for bot, outcome, count in connection.execute(statement) if count}

    return await outbox.database.run(read)


async def there_are(outbox: Outbox) -> dict[tuple[int, str], int]:
    """What is in the history."""
    table = outbox.database.tables.history.c
    statement = select(table.bot_id, table.outcome)
    return await outbox.database.run(lambda c: dict(Counter((row[0], row[1]) for row in c.execute(statement))))


async def rows(outbox: Outbox) -> int:
    table = outbox.database.tables.history_count
    return await outbox.database.run(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())


async def put(outbox: Outbox, *outcomes: str, first: int = 1) -> None:
    await outbox.put_history(
        [{"id": id_, "outcome": outcome, "settled_at": at(0)} for id_, outcome in enumerate(outcomes, start=first)]
    )


async def test_what_is_settled_decided_replayed_purged_and_pruned_is_counted_as_it_happens(outbox: Outbox) -> None:
    await put(outbox, "delivered", "delivered", "dead", "dead", "unknown", "unknown", first=101)
    await outbox.put(1)
    await outbox.deliver(await outbox.claim_one())
    stats = await outbox.history.stats()
    assert (stats.delivered, stats.dead, stats.unknown) == (3, 2, 2)

    await outbox.history.resolve_unknown([105], delivered=True)
    await outbox.history.replay([103])
    await outbox.history.purge(State.UNKNOWN, [106])

    stats = await outbox.history.stats()
    assert (stats.delivered, stats.dead, stats.unknown, stats.due) == (4, 1, 0, 1)
    assert await counted(outbox) == await there_are(outbox)

    await outbox.database.run(lambda c: c.execute(outbox.database.tables.history.delete()), write=True)
    assert await counted(outbox) == {}


async def test_each_bot_has_its_own(outbox: Outbox) -> None:
    await outbox.bot("support")
    await put(outbox, "delivered", "dead", first=101)
    await outbox.put(1, 2, bot="support", chat=None)
    for claimed in await outbox.claim():
        await outbox.deliver(claimed)

    assert (await outbox.history.stats(bot="shop")).delivered == 1
    assert (await outbox.history.stats(bot="support")).delivered == 2
    assert (await outbox.history.stats()).delivered == 3
    assert await counted(outbox) == await there_are(outbox)


async def test_a_statement_that_changes_no_outcome_counts_nothing(outbox: Outbox) -> None:
    await put(outbox, "delivered", "dead")
    before = await rows(outbox)

    looked_at = outbox.database.tables.history.update().values(error="looked at")
    await outbox.database.run(lambda connection: connection.execute(looked_at), write=True)

    assert await rows(outbox) == before


async def test_what_was_rolled_back_is_not_counted(outbox: Outbox) -> None:
    await put(outbox, "delivered")

    def fail(connection: Connection) -> None:
        connection.execute(outbox.database.tables.history.delete())
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await outbox.database.run(fail, write=True)

    assert (await outbox.history.stats()).delivered == 1


async def test_folding_leaves_one_row_for_each_and_every_sum_as_it_was(outbox: Outbox) -> None:
    counts = Counts(outbox.database)
    for number in range(1, 8):
        await put(outbox, "delivered" if number % 2 else "dead", first=number)
    before = await counted(outbox)

    folded = await counts.fold()

    assert folded == (7 if outbox.database.is_postgresql else 0)
    assert await rows(outbox) == 2
    assert await counted(outbox) == before == await there_are(outbox)
    assert await counts.fold() == 0


async def test_a_piece_at_a_time_is_folded(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "AT_ONCE", 3)
    for number in range(1, 6):
        await put(outbox, "delivered", first=number)

    while await Counts(outbox.database).fold():
        assert await counted(outbox) == await there_are(outbox)

    assert await rows(outbox) == 1


async def test_who_folds_while_others_fold_and_settle_loses_nothing(outbox: Outbox) -> None:
    counts = [Counts(outbox.database) for _ in range(3)]

    async def fold(each: Counts) -> None:
        for _ in range(5):
            await each.fold()

    async def settle(first: int) -> None:
        for number in range(first, first + 10):
            await put(outbox, "delivered", first=number)

    await asyncio.gather(*(fold(each) for each in counts), settle(1), settle(101))

    assert await counted(outbox) == await there_are(outbox)
    assert (await outbox.history.stats()).delivered == 20


async def test_numbers_are_one_statement_that_reads_no_history_and_no_further_than_the_bound(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depths, "COUNTED", 3)
    await put(outbox, "delivered", "dead", first=101)
    await outbox.put(*range(1, 6))
    await outbox.put(*range(11, 16), planned=3600)
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        stats = await outbox.history.stats()
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    assert (stats.due, stats.scheduled, stats.delivered, stats.dead) == (3, 3, 1, 1)
    (counting,) = [statement for statement in asked if "history_count" in statement]
    asked.remove(counting)
    assert all("clock()" in statement or statement == "BEGIN" for statement in asked)
    assert re.search(r"history\b(?!_count)", counting) is None
