"""The conformance suite of `ports.PruneStore`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from databases import connect
from outboxes import Outbox, at, failed

from dovecote.model import Pruned, PrunedOutcome, Retention, State

if TYPE_CHECKING:
    from datetime import datetime

DAY = 86_400.0
RETENTION = Retention(delivered=timedelta(days=1), dead=timedelta(days=3), unknown=timedelta(days=5))


def of_shop(*, payloads: int = 0, **counts: int) -> Pruned:
    """So many notifications of the bot "shop" by outcome, and the payloads of so many delivered ones."""
    counts = {"delivered": 0, **counts} if payloads else counts
    return Pruned(
        history=tuple(
            PrunedOutcome(
                bot="shop",
                outcome=State(outcome),
                notifications=count,
                payloads=payloads if outcome == "delivered" else 0,
            )
            for outcome, count in sorted(counts.items())
        )
    )


async def settled(outbox: Outbox, *rows: tuple[int, str, datetime]) -> None:
    await outbox.put_history([{"id": id_, "outcome": outcome, "settled_at": when} for id_, outcome, when in rows])


async def keys(outbox: Outbox, *rows: tuple[str, datetime]) -> None:
    key = outbox.database.tables.notification_key
    bot_id = (await outbox.bots.bots())[0].id
    values = [
        {"bot_id": bot_id, "key": name, "notification_id": number, "expires_at": when}
        for number, (name, when) in enumerate(rows, start=1)
    ]
    await outbox.database.run(lambda connection: connection.execute(key.insert(), values), write=True)


async def test_each_outcome_has_its_own_time(outbox: Outbox) -> None:
    await settled(
        outbox,
        *((10 + day, "delivered", at(-day * DAY)) for day in range(7)),
        *((20 + day, "dead", at(-day * DAY)) for day in range(7)),
        *((30 + day, "unknown", at(-day * DAY)) for day in range(7)),
    )
    await outbox.advance(1)

    assert await outbox.pruning.prune(RETENTION) == of_shop(delivered=6, dead=4, unknown=2)

    # What is exactly as old as its time is past it a second later, and what is younger stays.
    assert sorted(await outbox.places()) == [10, 20, 21, 22, 30, 31, 32, 33, 34]
    assert not await outbox.pruning.prune(RETENTION)


async def test_the_attempts_go_with_their_notification(outbox: Outbox) -> None:
    await outbox.put(1, 2)
    await outbox.settle(failed(await outbox.claim_one(), 0.0))
    await outbox.advance(DAY)
    await outbox.deliver(await outbox.claim_one())
    assert await outbox.attempts(1) == [(1, "failed")]
    await outbox.advance(DAY + 1)
    await outbox.deliver(await outbox.claim_one())

    assert await outbox.pruning.prune(RETENTION) == of_shop(delivered=1)

    assert await outbox.attempts(1) == []
    assert await outbox.places() == {2: "delivered"}


async def test_what_waits_is_never_pruned(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.advance(100 * DAY)

    assert await outbox.pruning.prune(RETENTION) == Pruned()

    assert await outbox.places() == {1: "waiting"}


async def test_a_piece_is_no_larger_than_asked_and_begins_with_the_oldest(outbox: Outbox) -> None:
    await settled(outbox, *((100 - day, "delivered", at(-day * DAY)) for day in range(2, 12)))

    assert await outbox.pruning.prune(RETENTION, limit=4) == of_shop(delivered=4)
    assert sorted(await outbox.places()) == [93, 94, 95, 96, 97, 98]

    # The next piece goes on from there; then it begins at the oldest again.
    assert await outbox.pruning.prune(RETENTION, limit=4) == of_shop(delivered=4)
    await settled(outbox, (1, "delivered", at(-20 * DAY)))
    assert await outbox.pruning.prune(RETENTION, limit=4) == of_shop(delivered=2)
    assert await outbox.pruning.prune(RETENTION, limit=4) == of_shop(delivered=1)


async def test_keys_go_when_their_window_is_over(outbox: Outbox) -> None:
    await keys(outbox, ("a", at(-1)), ("b", at(-2)), ("c", at(0)), ("d", at(1)))

    assert await outbox.pruning.prune(RETENTION, limit=1) == Pruned(keys=1)
    assert await outbox.pruning.prune(RETENTION) == Pruned(keys=1)

    assert [row.key for row in await outbox.rows("notification_key")] == ["c", "d"]


@pytest.mark.parametrize("outbox_database", ["postgresql-18", "postgresql-17"], indirect=True)
async def test_two_that_prune_at_once_take_each_their_own(outbox: Outbox) -> None:
    await settled(outbox, *((number, "delivered", at(-2 * DAY - number)) for number in range(1, 201)))

    pieces = await asyncio.gather(*(outbox.pruning.prune(RETENTION, limit=100) for _ in range(4)))

    rest = await outbox.pruning.prune(RETENTION, limit=1000)
    assert sum(piece.delivered for piece in pieces) + rest.delivered == 200
    assert await outbox.places() == {}


@pytest.mark.parametrize("outbox_database", ["postgresql-18", "postgresql-17"], indirect=True)
async def test_what_an_operator_holds_is_left_alone(outbox: Outbox, outbox_database: str) -> None:
    await settled(outbox, (1, "dead", at(-9 * DAY)), (2, "dead", at(-8 * DAY)))

    with connect(outbox_database) as operator:
        operator.execute("BEGIN")
        operator.execute("SELECT FROM dovecote.history WHERE id = 1 FOR UPDATE")
        assert await outbox.pruning.prune(RETENTION) == of_shop(dead=1)
        operator.execute("COMMIT")

    assert await outbox.places() == {1: "dead"}


async def test_finished_occurrences_and_waits_that_are_over_go(outbox: Outbox) -> None:
    occurrence, wait = outbox.database.tables.occurrence, outbox.database.tables.chat_wait
    common = {"schedule_id": 1, "part": "", "wall": "", "happened": "fired", "version": 1, "notifications": 0}
    occurrences = [
        {**common, "fire_at": at(-9 * DAY), "fired_at": at(-9 * DAY), "turn_at": None},
        {**common, "fire_at": at(-8 * DAY), "fired_at": at(-8 * DAY), "turn_at": at(-8 * DAY)},
        {**common, "fire_at": at(-6 * DAY), "fired_at": at(-6 * DAY), "turn_at": None},
    ]
    bot_id = (await outbox.bots.bots())[0].id
    waits = [{"bot_id": bot_id, "chat": str(days), "until": at(-days * DAY)} for days in (2, 0.5)]
    await outbox.database.run(lambda connection: connection.execute(occurrence.insert(), occurrences), write=True)
    await outbox.database.run(lambda connection: connection.execute(wait.insert(), waits), write=True)

    pruned = await outbox.pruning.prune(Retention(occurrences=timedelta(days=7)))

    assert pruned == Pruned(occurrences=1, chat_waits=1)
    # One that is still being fanned out stays, however old it is.
    assert [row.fire_at for row in await outbox.rows("occurrence")] == [at(-8 * DAY), at(-6 * DAY)]
    assert [row.chat for row in await outbox.rows("chat_wait")] == ["0.5"]


async def test_when_something_arrived_last_outlives_the_history(outbox: Outbox) -> None:
    rows = [
        (1, "42", at(-5 * DAY)),
        (2, "42", at(-4 * DAY)),
        (3, "43", at(-3 * DAY)),
        (4, "43", at(0)),
        (5, "44", at(-2 * DAY)),
    ]
    await outbox.put_history([{"id": i, "chat": c, "settled_at": s, "outcome": "delivered"} for i, c, s in rows])
    for chat in ("42", "43"):
        await outbox.tell(chat, language="pt")

    assert (await outbox.pruning.prune(RETENTION)).delivered == 4

    recipients = {row.chat: row.delivered_at for row in await outbox.rows("recipient")}
    # Of 43 the history tells still, and nobody has told of 44.
    assert recipients == {"42": at(-4 * DAY), "43": None}
    assert (await outbox.people.get("shop", "42")).delivered_at == at(-4 * DAY)
    assert (await outbox.people.get("shop", "43")).delivered_at == at(0)
