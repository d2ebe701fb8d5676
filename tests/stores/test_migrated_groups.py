"""The conformance suite of `ports.OutboxStore`: a group that has become a supergroup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outboxes import LEASE, Outbox, at, delivered, ids, settlement

from dovecote.model import Migrated
from dovecote.stores.rows import Move

if TYPE_CHECKING:
    import pytest

    from dovecote.model import ClaimedNotification, Settlement

OLD, NEW = "-100", "-1001"


def migrated(claimed: ClaimedNotification, chat: str = NEW) -> Settlement:
    """Telegram said where the group is now."""
    return settlement(claimed, Migrated(chat, "group chat was upgraded to a supergroup chat"))


async def chats(outbox: Outbox) -> dict[int, str]:
    """Where each that waits is to be sent."""
    return {row.id: row.chat for row in await outbox.rows("notification")}


def watch_moves(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many each statement moves, from now on."""
    store: Any = outbox.store
    moved: list[int] = []
    if outbox.database.is_postgresql:
        fetch = store._fetch

        async def fetch_and_count(statement: str, arguments: Any) -> Any:
            rows = await fetch(statement, arguments)
            if "SET chat = " in statement and "WITH" not in statement:
                moved.append(len(rows))
            return rows

        monkeypatch.setattr(store, "_fetch", fetch_and_count)
    else:
        execute = store._execute

        def execute_and_count(statement: str, **values: Any) -> Any:
            rows = execute(statement, **values)
            if "SET chat = " in statement:
                moved.append(len(rows))
            return rows

        monkeypatch.setattr(store, "_execute", execute_and_count)
    return moved


async def test_the_pending_one_is_due_at_the_new_chat_at_once_and_nothing_failed(outbox: Outbox) -> None:
    await outbox.put(1, chat=OLD)
    await outbox.advance(2)

    await outbox.settle(migrated(await outbox.claim_one()))

    row = await outbox.waiting(1)
    assert (row.chat, row.due_at, row.failures, row.lease_token) == (NEW, at(2), 0, None)
    assert await outbox.attempts(1) == [(1, "migrated")]
    again = await outbox.claim_one()
    assert (again.id, again.chat, again.attempt) == (1, NEW, 2)
    await outbox.deliver(again)
    assert (await outbox.settled(1)).chat == NEW


async def test_all_that_waits_moves_in_bounded_batches_and_keeps_its_order(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outbox.put_rows([{"id": id_, "chat": OLD} for id_ in range(1, 1201)])
    first = await outbox.claim_one()
    moved = watch_moves(outbox, monkeypatch)

    await outbox.settle(migrated(first))

    assert sum(moved) == 1199
    assert max(moved) == 500
    assert len(moved) <= 5
    assert set((await chats(outbox)).values()) == {NEW}
    sent: list[int] = []
    while len(sent) < 5:
        claimed = await outbox.claim()
        sent += ids(claimed)
        await outbox.deliver(*claimed)
        await outbox.advance(30)
    assert sent == [1, 2, 3, 4, 5]


async def test_one_that_is_due_later_moves_and_is_due_when_it_was(outbox: Outbox) -> None:
    await outbox.put(1, chat=OLD)
    await outbox.put(2, chat=OLD, planned=3600)

    await outbox.settle(migrated(await outbox.claim_one()))

    row = await outbox.waiting(2)
    assert (row.chat, row.due_at) == (NEW, at(3600))


async def test_what_waits_for_others_stays(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await outbox.put(1, chat=OLD)
    await outbox.put(2, chat="-1")
    await outbox.put(3, chat="-1000")
    await outbox.put(4, chat=OLD, bot="desk")
    await outbox.put(5, chat=None)
    claimed = await outbox.claim()

    await outbox.settle(*(migrated(each) if each.id == 1 else delivered(each) for each in claimed if each.id in {1, 2}))

    assert await chats(outbox) == {1: NEW, 3: "-1000", 4: OLD, 5: None}


async def test_a_claim_of_the_same_cycle_sends_nothing_to_the_old_chat(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat=OLD)
    first = await outbox.claim_one()

    cycle = await outbox.store.cycle([migrated(first)], claim=10, lease=LEASE)
    await outbox.advance(1)

    found = [*cycle.claimed, *await outbox.claim()]
    assert [(each.id, each.chat) for each in found] == [(1, NEW)]


async def test_one_that_is_leased_is_left_to_whoever_holds_it(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=OLD)
    held = await outbox.claim_one()
    store: Any = outbox.store

    await store._move(Move(held.bot_id, OLD, NEW))

    assert await chats(outbox) == {1: OLD, 2: NEW}
    await outbox.settle(migrated(held))
    assert await chats(outbox) == {1: NEW, 2: NEW}


async def test_an_answer_that_comes_after_its_lease_moves_nothing(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=OLD)
    late = await outbox.claim_one()
    await outbox.advance(61)
    again = await outbox.claim_one()

    cycle = await outbox.settle(migrated(late))

    assert list(cycle.lost) == [1]
    assert await chats(outbox) == {1: OLD, 2: OLD}
    await outbox.settle(migrated(again))
    assert await chats(outbox) == {1: NEW, 2: NEW}


async def test_a_group_that_moved_to_itself_stays_where_it_is(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=OLD)

    await outbox.settle(migrated(await outbox.claim_one(), OLD))

    assert await chats(outbox) == {1: OLD, 2: OLD}
