"""The conformance suite of `ports.RestoreStore`: a restored outbox sends nothing twice by itself."""

from __future__ import annotations

import pytest
from outboxes import Outbox, at, failed

from dovecote.stores.restoring import Restoring, doubt_all

BACKUP = at(10)


@pytest.fixture
def restoring(outbox: Outbox) -> Restoring:
    return Restoring(outbox.database, clock=outbox._microseconds)


async def test_what_may_have_gone_since_the_backup_becomes_unknown(outbox: Outbox, restoring: Restoring) -> None:
    await outbox.put(1, 2, chat=None)
    await outbox.put(3, chat=None, planned=600)
    # It was claimed at the time of the backup, and another waits for a retry that comes after the restoring.
    await outbox.put(4, chat=None, lease_token=7, due_at=at(60))
    await outbox.put(5, chat=None, attempts=1, failures=1, due_at=at(900))
    # By the application since.
    await outbox.put(6, chat=None, enqueued_at=at(11))
    await outbox.advance(300)

    assert await restoring.doubt(BACKUP) == 4

    assert await outbox.places() == {
        **dict.fromkeys((1, 2, 4, 5), "unknown"),
        3: "waiting",
        6: "waiting",
    }
    row = await outbox.settled(5)
    assert (row.attempts, row.failures, row.took, row.settled_at) == (1, 1, None, at(300))
    assert row.error == "a backup of 2026-01-05 12:00:10 UTC was restored: it may have been sent since"
    assert await restoring.doubt(BACKUP) == 0


async def test_it_goes_in_bounded_pieces(outbox: Outbox, restoring: Restoring) -> None:
    await outbox.put(*range(1, 6), chat=None)
    await outbox.advance(20)

    assert await restoring.doubt(BACKUP, limit=2) == 2
    assert await doubt_all(restoring, BACKUP, now=outbox.now) == 3


async def test_a_backup_of_the_future_is_refused(outbox: Outbox, restoring: Restoring) -> None:
    with pytest.raises(ValueError, match="is later than now"):
        await doubt_all(restoring, BACKUP, now=outbox.now)


async def test_an_operator_decides_either_way(outbox: Outbox, restoring: Restoring) -> None:
    await outbox.put(1, 2, chat=None)
    (first, second) = await outbox.claim()
    await outbox.settle(failed(first, 30.0), failed(second, 30.0))
    await outbox.advance(20)
    await restoring.doubt(BACKUP)

    await outbox.history.resolve_unknown([1], delivered=True)
    await outbox.history.resolve_unknown([2], delivered=False)

    assert await outbox.places() == {1: "delivered", 2: "waiting"}
    assert (await outbox.claim_one()).id == 2
    assert await outbox.attempts(2) == [(1, "failed")]
