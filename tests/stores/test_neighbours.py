"""Bots do not disturb each other: a bot with 100,000 waiting, and the single notification of another."""

from __future__ import annotations

import pytest
from outboxes import LEASE, START, Outbox, delivered

MANY = 100_000
FILL = {
    "postgresql": """
        INSERT INTO dovecote.notification (
            id, bot_id, chat, method, params, priority, at_most_once, enqueued_at, planned_at, due_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT 1000 + i, 1, i::text, 'sendMessage', '{"text": "sale"}', i % 3, false, :now, :now, :now
        FROM generate_series(1, :many) i
    """,
    "sqlite": """
        WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :many)
        INSERT INTO dovecote_notification (
            id, bot_id, chat, method, params, priority, at_most_once, enqueued_at, planned_at, due_at
        )
        SELECT 1000 + i, 1, i, 'sendMessage', '{"text": "sale"}', i % 3, false, :now, :now, :now FROM numbers
    """,
}


async def fill(outbox: Outbox) -> None:
    """Put 100,000 of the bot "shop" into the outbox."""
    dialect = "postgresql" if outbox.database.is_postgresql else "sqlite"
    now = f"'{START.isoformat()}'::timestamptz" if dialect == "postgresql" else str(outbox._microseconds())
    await outbox.sql(FILL[dialect].replace(":now", now).replace(":many", str(MANY)))


@pytest.mark.parametrize("pace", [30.0, None], ids=["at 30 a second", "without a pace"])
async def test_a_single_one_goes_out_as_if_its_bot_were_alone(outbox: Outbox, pace: float | None) -> None:
    await outbox.bot("small", pace=30.0)
    await outbox.bots.set_limits("shop", pace=pace, private_limit=None, group_limit=None)
    await outbox.put(1, bot="small", priority=2)
    alone = (await outbox.claim())[0]
    await outbox.deliver(alone)
    await fill(outbox)
    held = await outbox.claim(500)
    await outbox.advance(0.1)
    await outbox.put(2, bot="small", priority=2, planned=0.1)

    beside = await outbox.store.cycle([delivered(each) for each in held], claim=500, lease=LEASE)

    # In the very next claim, in one cycle, at once; the first slot after the one that it has used.
    (single,) = [each for each in beside.claimed if each.bot == "small"]
    assert (alone.id, alone.send_in, alone.slot) == (1, 0.0, 0)
    assert (single.id, single.send_in, single.slot) == (2, 0.0, 1)
    assert len(held) == (15 if pace else 500)


async def test_a_halt_and_a_stop_of_the_one_do_not_hold_the_other_up(outbox: Outbox) -> None:
    await outbox.bot("small", pace=30.0)
    await fill(outbox)
    await outbox.stop_bot("Unauthorized")
    await outbox.put(2, bot="small")

    (single,) = await outbox.claim(500)

    assert (single.bot, single.send_in) == ("small", 0.0)
