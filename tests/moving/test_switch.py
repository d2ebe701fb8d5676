"""The switch: a share of chats, always the same ones, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dovecote import StoreUnavailable, UnknownBot, moving
from dovecote.moving import Switch, place_of

if TYPE_CHECKING:
    from dovecote import Dovecote
    from dovecote.testing import Outbox


def test_a_place_is_the_same_for_ever() -> None:
    # Other numbers would move other chats in an application that is in the middle of it.
    assert [round(place_of("shop", chat), 6) for chat in (42, "42", "@news", -1001)] == [
        0.831774,
        0.831774,
        0.412479,
        0.810604,
    ]
    assert place_of("news", 42) != place_of("shop", 42)


def test_places_are_spread_evenly() -> None:
    places = [place_of("shop", chat) for chat in range(10_000)]

    assert all(0 <= place < 1 for place in places)
    for tenth in range(10):
        assert 900 < sum(tenth / 10 <= place < (tenth + 1) / 10 for place in places) < 1100


@pytest.mark.parametrize("dovecote_database_url", ["sqlite", "postgresql"], indirect=True)
async def test_a_growing_share_only_adds_chats_and_all_come_back(dovecote: Dovecote, outbox: Outbox) -> None:
    await outbox.bot()
    switch = Switch(dovecote)
    moved = []
    for share in (0.0, 0.1, 0.5, 1.0):
        await switch.set_share("shop", share)
        moved.append({chat for chat in range(500) if await switch.has_moved("shop", chat)})

    assert moved[0] == set()
    assert moved[0] < moved[1] < moved[2] < moved[3] == set(range(500))
    await switch.set_share("shop", 0)
    assert not await switch.has_moved("shop", 42)
    assert await switch.shares() == {"shop": 0.0}


async def test_a_bot_that_was_never_switched_has_moved_nothing(dovecote: Dovecote, outbox: Outbox) -> None:
    await outbox.bot()

    assert not await Switch(dovecote).has_moved("shop", 42)
    assert await Switch(dovecote).shares() == {}


async def test_another_process_knows_within_two_seconds(dovecote: Dovecote, outbox: Outbox) -> None:
    await outbox.bot()
    now = 100.0
    here, there = Switch(dovecote, clock=lambda: now), Switch(dovecote)
    assert not await here.has_moved("shop", 42)
    await there.set_share("shop", 1)

    now = 101.9
    assert not await here.has_moved("shop", 42)
    now = 102.0
    assert await here.has_moved("shop", 42)


async def test_an_outage_leaves_the_last_share_that_was_known(
    dovecote: Dovecote, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outbox.bot()
    now = 100.0
    switch = Switch(dovecote, clock=lambda: now)
    await switch.set_share("shop", 1)
    assert await switch.has_moved("shop", 42)

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the database cannot be used just now")

    monkeypatch.setattr(dovecote.database, "run", away)
    now = 200.0
    assert await switch.has_moved("shop", 42)
    with pytest.raises(StoreUnavailable):
        await Switch(dovecote).has_moved("shop", 42)


async def test_what_cannot_be_is_refused(dovecote: Dovecote, outbox: Outbox) -> None:
    await outbox.bot()
    with pytest.raises(UnknownBot, match="shpo"):
        await Switch(dovecote).set_share("shpo", 0.5)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="cannot be"):
            await Switch(dovecote).set_share("shop", share)


def test_the_public_names_are_these() -> None:
    assert moving.__all__ == [
        "Adopted",
        "Comparison",
        "Delivery",
        "OldTable",
        "Switch",
        "adopt",
        "compare",
        "place_of",
        "read_old_table",
    ]
