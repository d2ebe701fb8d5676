"""The conformance suite of `ports.BotStore`."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest
from outboxes import START, Outbox, at, ids, settlement

from dovecote.errors import UnknownBot
from dovecote.model import Bot, BotStopped, Snoozed


async def test_a_bot_has_what_it_was_added_with(outbox: Outbox) -> None:
    added = await outbox.bots.add_bot(
        "help-desk_2", token_sealed="sealed", pace=12.5, private_limit=(5, 1.5), group_limit=None
    )

    assert (await outbox.bots.bots())[0] == added
    assert added == Bot(
        id=added.id,
        name="help-desk_2",
        token_sealed="sealed",
        token_variable=None,
        pace=12.5,
        private_limit=(5, 1.5),
        group_limit=None,
        created_at=START,
    )


async def test_a_bot_has_telegrams_limits_by_default(outbox: Outbox) -> None:
    added = await outbox.bots.add_bot("desk", token_variable="DESK_TOKEN")

    assert added.token_variable == "DESK_TOKEN"
    assert (added.pace, added.private_limit, added.group_limit) == (30.0, (3, 3.0), (20, 60.0))


async def test_a_bot_may_have_no_limits(outbox: Outbox) -> None:
    added = await outbox.bots.add_bot("desk", token_variable="T", pace=None, private_limit=None, group_limit=None)

    assert (added.pace, added.private_limit, added.group_limit) == (None, None, None)


async def test_bots_are_listed_by_name(outbox: Outbox) -> None:
    await outbox.bots.add_bot("zoo", token_variable="T")
    await outbox.bots.add_bot("Zoo", token_variable="T")
    await outbox.bots.add_bot("_zoo", token_variable="T")

    assert [bot.name for bot in await outbox.bots.bots()] == ["Zoo", "_zoo", "shop", "zoo"]


async def test_a_second_bot_of_a_name_is_refused_by_name(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match='there is a bot named "shop" already') as refusal:
        await outbox.bots.add_bot("shop", token_sealed="a secret")

    assert "a secret" not in repr(refusal.value)
    assert refusal.value.__cause__ is None
    assert [bot.token_variable for bot in await outbox.bots.bots()] == ["TOKEN"]


@pytest.mark.parametrize("name", ["", "two words", "a" * 65, "läden", "shop\n", "a/b"])
async def test_a_name_that_cannot_be_is_refused(outbox: Outbox, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a bot's name: use 1 to 64 letters"):
        await outbox.bots.add_bot(name, token_variable="T")


async def test_a_name_may_have_64_characters(outbox: Outbox) -> None:
    added = await outbox.bots.add_bot("x" * 64, token_variable="T")

    assert len(added.name) == 64


@pytest.mark.parametrize(("sealed", "variable"), [(None, None), ("sealed", "VARIABLE")])
async def test_exactly_one_kind_of_token_is_taken(outbox: Outbox, sealed: str | None, variable: str | None) -> None:
    with pytest.raises(ValueError, match="exactly one of the two"):
        await outbox.bots.add_bot("desk", token_sealed=sealed, token_variable=variable)
    with pytest.raises(ValueError, match="exactly one of the two"):
        await outbox.bots.set_token("shop", token_sealed=sealed, token_variable=variable)


@pytest.mark.parametrize("pace", [0.0, -1.0, 5e-324, 1e-12, 1e308, float("inf"), float("nan")])
async def test_a_pace_that_cannot_be_is_refused(outbox: Outbox, pace: float) -> None:
    with pytest.raises(ValueError, match=re.escape(f"a pace of {pace} cannot be")):
        await outbox.bots.add_bot("desk", token_variable="T", pace=pace)


@pytest.mark.parametrize("limit", [(0, 3.0), (3, 0.0), (-1, 3.0), (10_001, 3.0), (3, 1e308), (3, float("nan"))])
async def test_a_limit_that_cannot_be_is_refused(outbox: Outbox, limit: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match=r"give 1 to 10000 messages in 0\.001 to 86400 s"):
        await outbox.bots.set_limits("shop", pace=None, private_limit=limit, group_limit=None)


async def test_a_new_token_replaces_the_old_one(outbox: Outbox) -> None:
    await outbox.bots.set_token("shop", token_sealed="sealed", token_variable=None)

    (bot,) = await outbox.bots.bots()
    assert (bot.token_sealed, bot.token_variable) == ("sealed", None)


async def test_a_new_token_starts_a_stopped_bot_again(outbox: Outbox) -> None:
    await outbox.put(1)
    (claimed,) = await outbox.claim()
    await outbox.settle(settlement(claimed, BotStopped("Unauthorized", 401)))
    assert (await outbox.bots.bots())[0].stopped_reason == "Unauthorized"

    await outbox.bots.set_token("shop", token_sealed=None, token_variable="NEW")

    assert (await outbox.bots.bots())[0].stopped_reason is None
    assert ids(await outbox.claim()) == [1]


async def test_new_limits_replace_the_old_ones(outbox: Outbox) -> None:
    await outbox.bots.set_limits("shop", pace=2.0, private_limit=(1, 1.0), group_limit=(2, 6.0))

    (bot,) = await outbox.bots.bots()
    assert (bot.pace, bot.private_limit, bot.group_limit) == (2.0, (1, 1.0), (2, 6.0))


async def test_a_faster_pace_does_not_wait_for_the_slow_ones_next_slot(outbox: Outbox) -> None:
    await outbox.bots.set_limits("shop", pace=0.001, private_limit=None, group_limit=None)
    await outbox.put(1, 2, chat=None)
    assert ids(await outbox.claim()) == [1]

    await outbox.bots.set_limits("shop", pace=30.0, private_limit=None, group_limit=None)
    await outbox.advance(1)

    assert ids(await outbox.claim()) == [2]


async def test_an_unknown_bot_is_named_among_those_that_there_are(outbox: Outbox) -> None:
    await outbox.bots.add_bot("desk", token_variable="T")

    with pytest.raises(UnknownBot, match=r'no bot is named "shpo" \(there are: "desk", "shop"\)'):
        await outbox.bots.set_token("shpo", token_sealed="sealed", token_variable=None)
    with pytest.raises(UnknownBot, match=r'no bot is named "shpo" \(there are: "desk", "shop"\)'):
        await outbox.bots.set_limits("shpo", pace=1.0, private_limit=None, group_limit=None)


async def test_a_halt_and_the_slots_given_are_shown(outbox: Outbox) -> None:
    await outbox.bots.set_limits("shop", pace=10.0, private_limit=None, group_limit=None)
    await outbox.put(1, chat=None)
    claimed = await outbox.claim_one()
    await outbox.settle(settlement(claimed, Snoozed(timedelta(seconds=30))))

    (bot,) = await outbox.bots.bots()

    assert (bot.slots_given, bot.halted_until) == (1, at(30))


async def test_threads_with_an_event_loop_each_share_one_database(outbox: Outbox) -> None:
    names: list[str] = []

    def read() -> None:
        names.extend(bot.name for bot in asyncio.run(outbox.bots.bots()))

    await asyncio.gather(*(asyncio.to_thread(read) for _ in range(8)))

    assert names == ["shop"] * 8
