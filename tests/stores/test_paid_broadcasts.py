"""The conformance suite of `ports.OutboxStore`: paid broadcasts. What they promise stands in docs/paid.md."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import LEASE, Outbox, at, delivered, settlement

from dovecote.errors import UnknownBot
from dovecote.model import BotStopped, Dead, Delivered, Failed, Migrated, Released, Scope, Snoozed, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.model import Bot, ClaimedNotification, Outcome

TODAY = 20_458
"""2026-01-05, the day of `outboxes.START`, counted from 1970."""


async def pay(outbox: Outbox, *, pace: float = 30.0, paid: float | None = 1000.0, stars: int | None = 1000) -> None:
    await outbox.bots.set_limits("shop", pace=pace, private_limit=None, group_limit=None)
    await outbox.bots.set_paid_broadcasts("shop", pace=paid, stars_per_day=stars)


async def put(outbox: Outbox, first: int, count: int, *, planned: float = 0, **columns: Any) -> None:
    rows = [{"id": id_, "chat": str(id_), **columns} for id_ in range(first, first + count)]
    await outbox.put_rows(rows, planned=planned)


async def shop(outbox: Outbox) -> Bot:
    (bot,) = await outbox.bots.bots()
    return bot


def paid_of(claimed: Sequence[ClaimedNotification]) -> list[bool]:
    return [each.paid for each in claimed]


async def test_a_backlog_is_paid_for_at_the_paid_pace(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 600)

    claimed = await outbox.claim(500)

    assert len(claimed) == 500
    assert {each.paid_day for each in claimed} == {TODAY}
    assert [each.slot for each in claimed] == [*range(500)]
    assert claimed[1].send_in == pytest.approx(0.001)
    assert claimed[-1].send_in == pytest.approx(0.499)
    assert (await shop(outbox)).stars_spent == 50.0
    assert (await outbox.history.stats()).stars_spent == 50.0
    assert (await outbox.history.stats(bot="shop")).stars_spent == 50.0


async def test_what_the_free_pace_sends_in_a_second_costs_nothing(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 30)

    claimed = await outbox.claim(500)

    assert paid_of(claimed) == [False] * 15
    assert claimed[-1].send_in == pytest.approx(14 / 30)
    assert (await shop(outbox)).stars_spent == 0


async def test_one_more_than_that_is_paid_for_whole(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 31)

    assert paid_of(await outbox.claim(500)) == [True] * 31


async def test_a_bot_without_a_paid_pace_pays_for_nothing(outbox: Outbox) -> None:
    await pay(outbox, paid=None, stars=None)
    await put(outbox, 1, 600)

    assert paid_of(await outbox.claim(500)) == [False] * 15


async def test_the_budget_of_a_day_is_never_overrun_and_the_rest_goes_free_of_charge(outbox: Outbox) -> None:
    await pay(outbox, stars=10)
    await put(outbox, 1, 600)

    first = await outbox.claim(500)
    await outbox.advance(0.05)
    second = await outbox.claim(500)
    await outbox.advance(0.25)
    third = await outbox.claim(500)

    assert paid_of(first) == [True] * 100
    assert second == []
    # What was paid for may have taken what is free of charge; half a second after its last it is there again.
    assert paid_of(third) == [False] * 6
    assert third[0].send_in == pytest.approx(0.3)
    assert third[1].send_in == pytest.approx(0.3 + 1 / 30)
    assert (await shop(outbox)).stars_spent == 10.0


async def test_a_budget_that_is_spent_says_when_to_look_again(outbox: Outbox) -> None:
    await pay(outbox, stars=10)
    await put(outbox, 1, 600)
    await outbox.claim(500)

    waits = []
    for _ in range(3):
        cycle = await outbox.store.cycle([], claim=500, lease=LEASE)
        assert cycle.claimed == []
        waits.append(round(cycle.next_due_in or 0.0, 3))

    # Half a horizon before the first slot that is free of charge.
    assert waits == [0.0, 0.35, 0.35]


async def test_a_new_day_has_a_new_budget(outbox: Outbox) -> None:
    await pay(outbox, stars=10)
    await put(outbox, 1, 600)
    await outbox.claim(500)
    await outbox.advance(12 * 3600 - 0.001)  # the test began at noon
    before = await outbox.claim(20)
    await outbox.advance(2)

    after = await outbox.claim(500)

    assert paid_of(before) == [False] * 15
    assert [each.paid_day for each in after] == [TODAY + 1] * 100
    assert (await shop(outbox)).stars_spent == 10.0


async def test_the_spending_of_yesterday_is_not_told_as_that_of_today(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 100)
    await outbox.claim(500)
    await outbox.advance(12 * 3600)

    assert (await shop(outbox)).stars_spent == 0
    assert (await outbox.history.stats()).stars_spent == 0


async def test_two_workers_do_not_overrun_it_together(outbox: Outbox) -> None:
    await pay(outbox, stars=20)
    await put(outbox, 1, 600)
    other = outbox.new_store()

    paid: list[int] = []
    for _ in range(12):
        claims = await asyncio.gather(outbox.claim(30), outbox.claim(30, store=other))
        paid += [each.id for claimed in claims for each in claimed if each.paid]
        await outbox.advance(0.05)

    assert len(paid) == len(set(paid)) == 200
    assert (await shop(outbox)).stars_spent == 20.0


async def test_a_budget_may_be_changed_while_workers_run(outbox: Outbox) -> None:
    await pay(outbox, stars=10)
    await put(outbox, 1, 600)
    first = await outbox.claim(500)
    await outbox.bots.set_paid_broadcasts("shop", pace=1000.0, stars_per_day=15)
    second = await outbox.claim(500)
    await outbox.bots.set_paid_broadcasts("shop", pace=1000.0, stars_per_day=12)
    await outbox.advance(2)
    third = await outbox.claim(500)

    assert (len(first), len(second)) == (100, 50)
    assert paid_of(third) == [False] * 15
    assert (await shop(outbox)).stars_spent == 15.0


async def test_an_album_costs_as_much_as_its_items_and_a_rest_too_small_for_one_is_left(outbox: Outbox) -> None:
    await pay(outbox, stars=2)
    await put(outbox, 1, 10, weight=7, method="sendMediaGroup")

    first = await outbox.claim(500)
    second = await outbox.claim(500)

    assert paid_of(first) == [True, True]
    assert second == []
    assert (await shop(outbox)).stars_spent == 1.4


async def test_few_within_half_a_second_after_are_paid_for_as_well_and_do_not_prolong_it(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 100)
    await outbox.claim(500)
    found = []
    for second in (0.4, 0.55, 0.7):
        await outbox.advance(second - (outbox.now - at(0)).total_seconds())
        await put(outbox, int(second * 1000), 1)
        found += [(second, each.paid) for each in await outbox.claim(500)]

    # The last slot was over at 0.1 s.
    assert found == [(0.4, True), (0.55, True), (0.7, False)]


async def test_what_does_not_count_goes_along_unpaid(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 40)
    await put(outbox, 41, 5, method="editMessageText")
    await put(outbox, 46, 1, method="sendChatAction")
    await put(outbox, 47, 1, method="copyMessage")

    claimed = await outbox.claim(500)

    assert {each.id for each in claimed if not each.paid} == {41, 42, 43, 44, 45, 46}
    assert len(claimed) == 47
    assert (await shop(outbox)).stars_spent == 4.1


@pytest.mark.parametrize("method", ["forwardMessage", "forwardMessages", "copyMessages", "FORWARDMESSAGE"])
async def test_what_counts_and_cannot_be_paid_for_keeps_its_bot_to_the_free_pace(outbox: Outbox, method: str) -> None:
    await pay(outbox)
    await put(outbox, 1, 1, method=method)
    await put(outbox, 2, 100)

    first = await outbox.claim(500)
    await outbox.advance(0.5)
    second = await outbox.claim(500)

    assert paid_of(first) == [False] * 15
    assert first[0].id == 1
    assert paid_of(second) == [True] * 86


async def test_what_is_blocked_or_planned_is_not_what_waits(outbox: Outbox) -> None:
    await pay(outbox)
    await outbox.put(*range(1, 41), chat="7")
    await put(outbox, 50, 40, planned=60)

    assert paid_of(await outbox.claim(500)) == [False]


REFUNDED = [
    Released(),
    Snoozed(timedelta(seconds=1), Scope.NOTIFICATION),
    Failed("connection refused"),
    Dead("Forbidden: bot was blocked by the user", 403),
    Migrated("-1009"),
]


@pytest.mark.parametrize("outcome", REFUNDED, ids=lambda outcome: type(outcome).__name__)
@pytest.mark.parametrize("claiming", [0, 100])
async def test_what_was_not_accepted_is_given_back(outbox: Outbox, outcome: Outcome, claiming: int) -> None:
    await pay(outbox)
    await put(outbox, 1, 100, weight=2)
    claimed = await outbox.claim(500)
    retry_in = 60.0 if isinstance(outcome, Failed) else None
    settlements = [settlement(claimed[0], outcome, retry_in), settlement(claimed[1], Delivered((5,)))]

    await put(outbox, 101, 40, weight=2)
    cycle = await outbox.store.cycle(settlements, claim=claiming, lease=LEASE)

    assert len(cycle.claimed) >= min(claiming, 40)
    assert (await shop(outbox)).stars_spent == pytest.approx(19.8 + 0.2 * len(cycle.claimed))


@pytest.mark.parametrize("outcome", [Snoozed(timedelta(seconds=5)), BotStopped("Unauthorized", 401)])
async def test_a_bot_that_is_halted_or_stopped_gets_back_what_is_released_with_it(
    outbox: Outbox, outcome: Outcome
) -> None:
    await pay(outbox)
    await put(outbox, 1, 100)
    claimed = await outbox.claim(500)
    released = [settlement(each, Released()) for each in claimed[1:50]]

    await outbox.settle(settlement(claimed[0], outcome), *released)

    assert (await shop(outbox)).stars_spent == 5.0


@pytest.mark.parametrize("retry_in", [None, 60.0])
async def test_what_may_have_arrived_counts_as_spent(outbox: Outbox, retry_in: float | None) -> None:
    await pay(outbox)
    await put(outbox, 1, 100)
    claimed = await outbox.claim(500)

    await outbox.settle(settlement(claimed[0], Unknown("read timeout"), retry_in))
    await outbox.advance(61)  # the leases of all the others run out

    assert (await shop(outbox)).stars_spent == 10.0


async def test_settling_again_gives_back_once(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 100)
    claimed = await outbox.claim(500)
    release = settlement(claimed[0], Released())

    await outbox.settle(release, release)
    await outbox.settle(release)

    assert (await shop(outbox)).stars_spent == 9.9


async def test_what_was_granted_yesterday_is_not_given_back_today(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 100)
    await outbox.advance(12 * 3600 - 1)
    yesterday = await outbox.claim(500)
    await outbox.advance(2)
    await put(outbox, 101, 40)
    today = await outbox.claim(500)

    await outbox.settle(*(settlement(each, Released()) for each in yesterday))

    assert (len(today), (await shop(outbox)).stars_spent) == (40, 4.0)


async def test_a_429_lowers_the_paid_pace_by_as_much_as_the_free_one(outbox: Outbox) -> None:
    await pay(outbox, paid=100.0)
    await put(outbox, 1, 200)
    claimed = await outbox.claim(500)
    await outbox.settle(settlement(claimed[0], Snoozed(timedelta(seconds=2))))
    await outbox.advance(2)

    again = await outbox.claim(500)

    # 93 a second.
    assert len(again) == 46
    assert again[1].send_in - again[0].send_in == pytest.approx(1 / 93, abs=1e-5)


async def test_an_urgent_one_is_sent_within_the_horizon_of_a_paid_broadcast(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 2000, priority=2)
    await outbox.claim(500)
    await outbox.advance(0.25)
    await put(outbox, 9000, 1, priority=0)

    claimed = await outbox.claim(500)

    (urgent,) = [each for each in claimed if each.id == 9000]
    assert urgent.send_in <= 0.3


async def test_another_bot_pays_nothing_for_it(outbox: Outbox) -> None:
    await outbox.bot("news", pace=30.0)
    await pay(outbox)
    await put(outbox, 1, 100)
    await outbox.put_rows([{"id": id_, "chat": str(id_)} for id_ in range(201, 301)], bot="news")

    claimed = await outbox.claim(500)

    assert {(each.bot, each.paid) for each in claimed} == {("shop", True), ("news", False)}
    assert (await outbox.history.stats(bot="news")).stars_spent == 0


class TestSetting:
    async def test_what_was_set_is_told(self, outbox: Outbox) -> None:
        await pay(outbox, paid=250.0, stars=75)
        bot = await shop(outbox)
        assert (bot.paid_pace, bot.stars_per_day, bot.stars_spent) == (250.0, 75, 0)

        await pay(outbox, paid=None, stars=None)
        bot = await shop(outbox)
        assert (bot.paid_pace, bot.stars_per_day) == (None, None)

    @pytest.mark.parametrize(
        ("pace", "stars", "words"),
        [
            (1001.0, 5, "a paid pace of 1001.0 cannot be: Telegram takes at most 1000/s"),
            (30.0, 5, 'of the bot "shop", 30/s, has to be above its pace'),
            (100.0, 0, "0 Stars a day cannot be: give a whole number from 1"),
            (100.0, 10_000_001, "10000001 Stars a day cannot be"),
            (100.0, None, "needs a paid pace and a budget of Stars"),
            (None, 5, "needs a paid pace and a budget of Stars"),
        ],
    )
    async def test_what_cannot_be_is_refused(
        self, outbox: Outbox, pace: float | None, stars: int | None, words: str
    ) -> None:
        await pay(outbox, paid=None, stars=None)

        with pytest.raises(ValueError, match=words):
            await outbox.bots.set_paid_broadcasts("shop", pace=pace, stars_per_day=stars)

        assert (await shop(outbox)).paid_pace is None

    @pytest.mark.parametrize("pace", [250.0, 300.0, None])
    async def test_the_free_pace_stays_below_the_paid_one(self, outbox: Outbox, pace: float | None) -> None:
        await pay(outbox, paid=250.0, stars=75)

        with pytest.raises(ValueError, match="has to be above its pace"):
            await outbox.bots.set_limits("shop", pace=pace, private_limit=None, group_limit=None)

        assert (await shop(outbox)).pace == 30.0

    async def test_a_bot_that_there_is_not(self, outbox: Outbox) -> None:
        with pytest.raises(UnknownBot):
            await outbox.bots.set_paid_broadcasts("shpo", pace=100.0, stars_per_day=5)


async def test_delivering_changes_nothing_of_what_was_granted(outbox: Outbox) -> None:
    await pay(outbox)
    await put(outbox, 1, 40)
    claimed = await outbox.claim(500)

    await outbox.settle(*map(delivered, claimed))

    assert (await shop(outbox)).stars_spent == 4.0
