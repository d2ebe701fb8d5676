"""The conformance suite of `ports.OutboxStore`: leases that run out, and what may have been sent."""

from __future__ import annotations

from outboxes import LEASE, Outbox, at, delivered, failed, ids, settlement

from dovecote.model import Released


async def lose(outbox: Outbox, *, alone: bool = False) -> list[int]:
    """A worker claims what there is and is never heard of again."""
    claimed = await outbox.claim(alone=alone)
    await outbox.advance(61)
    return sorted(ids(claimed))


async def test_a_leased_one_is_not_claimed_again_while_its_lease_lasts(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.claim_one()

    await outbox.advance(59.9)

    assert await outbox.claim() == []


async def test_an_expired_lease_is_claimed_again_and_counted_apart_from_failures(outbox: Outbox) -> None:
    await outbox.put(1)
    first = await outbox.claim_one()
    await outbox.advance(61)

    second = await outbox.claim_one()

    assert (second.attempt, second.failures) == (2, 0)
    assert second.lease_token != first.lease_token
    row = await outbox.waiting(1)
    assert (row.attempts, row.failures, row.lost_leases, row.due_at) == (2, 0, 1, at(121))
    (attempt,) = await outbox.rows("attempt")
    assert (attempt.number, attempt.outcome, attempt.ended_at, attempt.took) == (1, "lost", at(61), None)


async def test_an_at_most_once_one_whose_lease_expired_is_unknown_and_never_claimed(outbox: Outbox) -> None:
    await outbox.put(1, at_most_once=True)
    await outbox.claim_one()
    await outbox.advance(61)

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert list(cycle.claimed) == []
    assert dict(cycle.ended) == {"unknown": 1}
    row = await outbox.settled(1)
    assert (row.outcome, row.error, row.took) == ("unknown", "its worker was lost while it was being sent", None)
    assert (row.attempts, row.lost_leases, row.settled_at) == (1, 1, at(61))
    assert await outbox.attempts(1) == [(1, "lost")]
    assert await outbox.rows("notification") == []


async def test_a_late_delivered_of_an_unknown_one_is_kept_with_its_message_ids(outbox: Outbox) -> None:
    await outbox.put(1, at_most_once=True)
    late = await outbox.claim_one()
    await outbox.advance(61)
    await outbox.claim()

    cycle = await outbox.settle(delivered(late, 555))

    assert list(cycle.lost) == [1]
    assert await outbox.places() == {1: "unknown"}
    (attempt,) = await outbox.rows("attempt")
    assert (attempt.number, attempt.outcome, attempt.message_ids) == (1, "delivered", [555])


async def test_a_renewal_extends_the_lease(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()
    await outbox.advance(50)

    await outbox.store.cycle([], claim=0, lease=LEASE, renew=[claimed])

    assert (await outbox.waiting(1)).due_at == at(110)
    await outbox.advance(59)
    assert await outbox.claim() == []
    await outbox.deliver(claimed)
    assert await outbox.places() == {1: "delivered"}


async def test_a_renewal_of_a_lost_lease_changes_nothing(outbox: Outbox) -> None:
    await outbox.put(1)
    stale = await outbox.claim_one()
    await outbox.advance(61)
    await outbox.claim_one()
    await outbox.advance(10)

    await outbox.store.cycle([], claim=0, lease=LEASE, renew=[stale])

    assert (await outbox.waiting(1)).due_at == at(121)


async def test_a_lease_that_is_renewed_late_is_not_claimed_in_the_same_cycle(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None, at_most_once=False)
    await outbox.put(3, 4, chat=None, at_most_once=True)
    claimed = await outbox.claim()
    await outbox.advance(61)

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE, renew=claimed)

    assert list(cycle.claimed) == []
    assert dict(cycle.ended) == {}
    assert [(row.due_at, row.lost_leases) for row in await outbox.rows("notification")] == [(at(121), 0)] * 4
    cycle = await outbox.deliver(*claimed)
    assert list(cycle.lost) == []


async def test_a_settle_after_expiry_is_accepted_while_nobody_else_has_claimed(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()
    await outbox.advance(3600)

    cycle = await outbox.store.cycle([delivered(claimed, 555)], claim=10, lease=LEASE)

    assert list(cycle.lost) == []
    assert list(cycle.claimed) == []
    row = await outbox.settled(1)
    assert (row.outcome, row.message_ids, row.lost_leases) == ("delivered", [555], 0)


async def test_a_failure_after_expiry_is_a_failure_and_no_lost_lease(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()
    await outbox.advance(61)

    cycle = await outbox.store.cycle([failed(claimed, retry_in=1)], claim=10, lease=LEASE)

    assert (list(cycle.lost), list(cycle.claimed)) == ([], [])
    row = await outbox.waiting(1)
    assert (row.failures, row.lost_leases, row.due_at) == (1, 0, at(62))
    assert await outbox.attempts(1) == [(1, "failed")]


async def test_one_that_lost_two_workers_is_claimed_only_alone(outbox: Outbox) -> None:
    await outbox.put(1, chat=None)
    await lose(outbox)
    await lose(outbox)
    await outbox.put(2, chat=None)

    company = await outbox.store.cycle([], claim=10, lease=LEASE)
    alone = await outbox.store.cycle([], claim=10, lease=LEASE, alone=True)

    assert ids(company.claimed) == [2]
    assert company.suspects
    assert ids(alone.claimed) == [1]
    assert not alone.suspects
    assert (await outbox.waiting(1)).lost_leases == 2
    assert await outbox.attempts(1) == [(1, "lost"), (2, "lost")]


async def test_one_that_lost_one_worker_is_claimed_in_company(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    await lose(outbox)

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert sorted(ids(cycle.claimed)) == [1, 2]
    assert not cycle.suspects


async def test_alone_means_one(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat=None)
    await lose(outbox)
    await lose(outbox)

    alone = await outbox.claim(count=10, alone=True)

    assert len(alone) == 1


async def test_alone_finds_the_suspect_among_many_bots(outbox: Outbox) -> None:
    await outbox.put(1)
    for id_, name in [(2, "desk"), (3, "help"), (4, "news")]:
        await outbox.bot(name)
        await outbox.put(id_, bot=name, planned=100)
    await lose(outbox)
    await lose(outbox)

    assert ids(await outbox.claim(count=1, alone=True)) == [1]


async def test_alone_finds_nothing_where_there_is_no_suspect(outbox: Outbox) -> None:
    await outbox.put(1)

    cycle = await outbox.store.cycle([], claim=1, lease=LEASE, alone=True)

    assert list(cycle.claimed) == []
    assert await outbox.places() == {1: "waiting"}


async def test_one_that_lost_three_workers_is_dead_and_says_why(outbox: Outbox) -> None:
    await outbox.put(1)
    await lose(outbox)
    await lose(outbox)
    assert await lose(outbox, alone=True) == [1]

    cycle = await outbox.store.cycle([], claim=1, lease=LEASE, alone=True)

    assert list(cycle.claimed) == []
    assert dict(cycle.ended) == {"poison": 1}
    row = await outbox.settled(1)
    assert (row.outcome, row.error) == ("dead", "3 workers were lost while sending it")
    assert (row.attempts, row.failures, row.lost_leases) == (3, 0, 3)
    assert await outbox.attempts(1) == [(1, "lost"), (2, "lost"), (3, "lost")]


async def test_the_innocent_that_shared_its_batches_are_delivered(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, 4, chat=None)  # 3 kills whoever sends it
    assert await lose(outbox) == [1, 2, 3, 4]
    assert await lose(outbox) == [1, 2, 3, 4]
    killed = 0

    for _ in range(6):
        for claimed in await outbox.claim(alone=True):
            if claimed.id == 3:
                killed += 1
                await outbox.advance(61)
            else:
                await outbox.deliver(claimed)

    assert killed == 1
    assert await outbox.places() == {1: "delivered", 2: "delivered", 3: "dead", 4: "delivered"}


async def test_a_suspect_that_fails_keeps_its_lost_leases(outbox: Outbox) -> None:
    await outbox.put(1)
    await lose(outbox)
    await lose(outbox)
    suspect = await outbox.claim_one(alone=True)

    await outbox.settle(failed(suspect, retry_in=0))

    row = await outbox.waiting(1)
    assert (row.lost_leases, row.failures) == (2, 1)
    company = await outbox.store.cycle([], claim=10, lease=LEASE)
    assert list(company.claimed) == []
    assert company.suspects
    assert ids(await outbox.claim(alone=True)) == [1]


async def test_a_suspect_holds_back_its_chat_alone(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    await lose(outbox)
    await lose(outbox)
    await outbox.put(2, chat="7")
    await outbox.put(3, chat="8")

    assert ids(await outbox.claim()) == [3]


async def test_a_suspect_of_a_stopped_bot_is_no_reason_to_claim_alone(outbox: Outbox) -> None:
    await outbox.put(1)
    await lose(outbox)
    await lose(outbox)
    await outbox.stop_bot("Unauthorized")

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert not cycle.suspects


async def test_one_that_expired_before_it_was_sent_is_dead_and_costs_no_slot(outbox: Outbox) -> None:
    await outbox.bots.set_limits("shop", pace=10.0, private_limit=None, group_limit=None)
    await outbox.put(1, chat=None, expires_at=at(5))
    await outbox.put(2, chat=None, expires_at=at(5.1))
    await outbox.advance(5)

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert [(claimed.id, claimed.slot, claimed.send_in) for claimed in cycle.claimed] == [(2, 0, 0.0)]
    assert dict(cycle.ended) == {"expired": 1}
    assert (await outbox.bots.bots())[0].slots_given == 1
    row = await outbox.settled(1)
    assert (row.outcome, row.error) == ("dead", "it expired before it could be sent")
    assert (row.attempts, row.lost_leases, row.took) == (0, 0, None)
    assert await outbox.rows("attempt") == []


async def test_one_that_expired_while_it_was_perhaps_sent_is_unknown(outbox: Outbox) -> None:
    await outbox.put(1, expires_at=at(30))
    await outbox.claim_one()
    await outbox.advance(61)

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert list(cycle.claimed) == []
    assert dict(cycle.ended) == {"unknown": 1}
    assert await outbox.places() == {1: "unknown"}


async def test_an_expired_one_does_not_block_its_chat(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", expires_at=at(1))
    await outbox.put(2, chat="7")
    await outbox.advance(2)

    claims = []
    for _ in range(3):
        claims += ids(await outbox.claim())
        await outbox.advance(0.5)

    assert claims == [2]
    assert await outbox.places() == {1: "dead", 2: "leased"}


async def test_a_released_lease_is_not_a_lost_one(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()
    await outbox.settle(settlement(claimed, Released()))

    await outbox.claim_one()

    assert (await outbox.waiting(1)).lost_leases == 0


async def test_a_lost_lease_goes_on_before_an_urgent_one_of_its_chat(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", priority=2)
    await lose(outbox)
    await outbox.put(2, chat="7", planned=61, priority=0)

    first = await outbox.claim_one()
    await outbox.deliver(first)
    await outbox.advance(2)
    second = await outbox.claim_one()

    assert (first.id, second.id) == (1, 2)


async def test_a_lost_lease_is_not_stranded_behind_an_older_one_that_was_committed_meanwhile(outbox: Outbox) -> None:
    await outbox.put(2, chat="7", planned=0)
    assert await lose(outbox) == [2]
    await outbox.put(1, chat="7", planned=-10)

    sent = []
    for _ in range(4):
        for claimed in await outbox.claim():
            sent.append(claimed.id)
            await outbox.deliver(claimed)
        await outbox.advance(2)

    assert sent == [2, 1]


async def test_a_lost_lease_is_found_again_where_its_chat_has_used_up_its_limit(outbox: Outbox) -> None:
    await outbox.bots.set_limits("shop", pace=None, private_limit=(1, 90.0), group_limit=None)
    await outbox.put(1, chat="7")
    await lose(outbox)
    await outbox.put_history([{"id": 100, "chat": "7", "outcome": "delivered", "settled_at": at(60)}])

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert ids(cycle.claimed) == [1]
