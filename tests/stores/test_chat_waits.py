"""The conformance suite of `ports.OutboxStore`: chats that Telegram tells to wait, and answers that bound the tries."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from outboxes import LEASE, Outbox, at, delivered, failed, ids, settlement

from dovecote.model import Dead, Failed, Migrated, Scope, Snoozed, Unknown, Waiting, WaitReason
from dovecote.retry import MOST_MOVES, RetryPolicy
from dovecote.unit_of_work import ClaimedOutbox

GROUP = "-1001"
WAIT = Snoozed(timedelta(seconds=30), Scope.CHAT, "Too Many Requests: retry after 30")


async def told_to_wait(outbox: Outbox, *, chat: str = GROUP, limit: tuple[int, float] | None = None) -> None:
    """Notification 1, of bulk, met a 429 of its chat."""
    await outbox.bots.set_limits("shop", pace=None, private_limit=None, group_limit=limit)
    await outbox.put(1, chat=chat, priority=2)
    await outbox.settle(settlement(await outbox.claim_one(), WAIT))


@pytest.mark.parametrize("chat", [GROUP, "@news", "7"])
@pytest.mark.parametrize("limit", [None, (20, 60.0)], ids=["unlimited", "20 in 60 s"])
async def test_nothing_of_the_chat_goes_before_its_end_however_urgent_it_is(
    outbox: Outbox, chat: str, limit: tuple[int, float] | None
) -> None:
    await told_to_wait(outbox, chat=chat, limit=limit)
    await outbox.put(2, chat=chat, priority=0)
    await outbox.put(3, chat=chat, priority=0)
    await outbox.put(4, chat="8", priority=2)

    at_once = await outbox.claim(store=outbox.new_store())
    await outbox.advance(29.9)
    before_the_end = await outbox.claim()
    await outbox.advance(0.1)
    at_the_end = await outbox.claim()

    assert (ids(at_once), before_the_end, ids(at_the_end)) == ([4], [], [2])
    assert (await outbox.waiting(3)).due_at > at(30)


async def test_what_waits_is_not_met_again_before_the_end(outbox: Outbox) -> None:
    await told_to_wait(outbox)
    await outbox.put(2, chat=GROUP, priority=0)

    first = await outbox.store.cycle([], claim=10, lease=LEASE)
    second = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert (first.postponed, second.postponed) == (1, 0)
    assert (await outbox.waiting(2)).due_at == at(30)
    assert second.next_due_in == pytest.approx(30)


async def test_the_longest_wait_counts_also_of_a_lease_that_is_lost(outbox: Outbox) -> None:
    await outbox.put(1, chat=GROUP)
    one = await outbox.claim_one()

    for seconds in (10, 30, 3):
        await outbox.settle(settlement(one, Snoozed(timedelta(seconds=seconds), Scope.CHAT)))

    assert [(row.chat, row.until) for row in await outbox.rows("chat_wait")] == [(GROUP, at(30))]


async def test_a_wait_that_is_told_of_by_the_claiming_cycle_itself_holds_already(outbox: Outbox) -> None:
    await outbox.put(1, chat=GROUP)
    stale = await outbox.claim_one()
    await outbox.deliver(stale)
    await outbox.put(2, chat=GROUP)

    cycle = await outbox.store.cycle([settlement(stale, WAIT)], claim=10, lease=LEASE)

    assert (list(cycle.lost), list(cycle.claimed)) == ([1], [])
    assert (await outbox.waiting(2)).due_at == at(30)


async def test_another_bot_and_another_chat_go_on(outbox: Outbox) -> None:
    await told_to_wait(outbox)
    await outbox.bot("news")
    await outbox.put(2, chat="-1002")
    await outbox.put(3, chat=GROUP, bot="news")

    assert sorted(ids(await outbox.claim())) == [2, 3]


async def test_an_operator_sees_why_and_can_let_it_go_on(outbox: Outbox) -> None:
    await told_to_wait(outbox)
    await outbox.put(2, chat=GROUP, priority=0)

    why = (await outbox.history.notification(2)).waits_for
    why_the_first = [one.reason for one in (await outbox.history.notification(1)).waits_for]
    await outbox.recipients.unblock("shop", GROUP)

    assert why == (Waiting(WaitReason.CHAT_HALTED, at(30)),)
    assert why_the_first == [WaitReason.SNOOZED]
    assert await outbox.rows("chat_wait") == []
    assert ids(await outbox.claim()) == [2]


async def test_what_a_lost_worker_had_in_flight_does_not_strand_its_chat(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=GROUP)
    first = await outbox.claim_one()
    await outbox.advance(61)
    await outbox.settle(settlement(first, WAIT))
    await outbox.advance(30)
    again = await outbox.claim_one()
    await outbox.deliver(again)
    await outbox.advance(1)

    assert ids([again, *await outbox.claim()]) == [1, 2]


class TestBoundedTries:
    """A failure that is worth one retry counts those of its own kind, and a group cannot move for ever."""

    def claiming(self, outbox: Outbox) -> ClaimedOutbox:
        policy = RetryPolicy(first=timedelta(seconds=1), longest=timedelta(seconds=1))
        return ClaimedOutbox(outbox.store, lease=LEASE, policy=policy, random=Random(1))

    async def test_earlier_failures_of_another_kind_leave_the_one_retry(self, outbox: Outbox) -> None:
        await outbox.put(1, chat="7")
        claimed = self.claiming(outbox)
        not_fetched = Failed("failed to get HTTP URL content", 400, retries=1)
        refused, timed_out = Failed("connection refused"), Unknown("read timeout")

        places = []
        for outcome in (refused, timed_out, not_fetched, refused, not_fetched):
            (one,) = await claimed.claim_pending()
            claimed.note(one, outcome)
            await claimed.cycle()
            places.append((await outbox.places())[1])
            await outbox.advance(2)

        assert places == ["waiting"] * 4 + ["dead"]

    async def test_a_replay_begins_the_count_anew(self, outbox: Outbox) -> None:
        await outbox.put(1, chat="7")
        for _ in range(2):
            await outbox.settle(settlement(await outbox.claim_one(), Failed("not fetched", 400), 0))
        await outbox.settle(settlement(await outbox.claim_one(), Failed("not fetched", 400)))
        await outbox.history.replay([1])

        first = await outbox.claim_one()
        await outbox.settle(failed(first, retry_in=0))
        second = await outbox.claim_one()

        assert [(one.failures, one.refusals) for one in (first, second)] == [(0, 0), (1, 0)]

    async def test_a_group_that_moves_to_and_fro_ends(self, outbox: Outbox) -> None:
        await outbox.put(1, chat="-1")
        claimed = self.claiming(outbox)

        chats = []
        while (await outbox.places())[1] == "waiting":
            (one,) = await claimed.claim_pending()
            chats.append(one.chat)
            claimed.note(one, Migrated("-2" if one.chat == "-1" else "-1", "group chat was upgraded"))
            await claimed.cycle()

        assert MOST_MOVES == 3
        assert chats == ["-1", "-2", "-1", "-2"]
        row = await outbox.settled(1)
        assert (row.outcome, row.error_code) == ("dead", 400)
        assert row.error == "its group has moved 3 times already, and would move again: group chat was upgraded"

    async def test_what_is_settled_by_the_claiming_cycle_counts(self, outbox: Outbox) -> None:
        await outbox.put(1, chat="-1")
        first = await outbox.claim_one()

        claimed = (await outbox.store.cycle([settlement(first, Migrated("-2"))], claim=1, lease=LEASE)).claimed
        (again,) = claimed or await outbox.claim()

        assert again.moves == 1

    async def test_one_that_has_not_been_tried_has_nothing_counted(self, outbox: Outbox) -> None:
        await outbox.put(1)
        one = await outbox.claim_one()

        assert (one.refusals, one.moves) == (0, 0)
        await outbox.settle(delivered(one))

    async def test_a_dead_one_is_not_counted_as_moved(self, outbox: Outbox) -> None:
        await outbox.put(1, chat="-1")
        await outbox.settle(settlement(await outbox.claim_one(), Migrated("-2")))
        moved = await outbox.claim_one()
        await outbox.settle(settlement(moved, Dead("Forbidden", 403)))

        assert (moved.moves, (await outbox.places())[1]) == (1, "dead")
