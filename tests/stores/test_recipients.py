"""The conformance suite of `ports.RecipientStore`."""

from __future__ import annotations

import pytest
from outboxes import Outbox, at, delivered, failed, ids, settlement

from dovecote.errors import UnknownBot
from dovecote.model import Dead, Recipient, Refusal
from dovecote.stores import recipients


async def refused(outbox: Outbox, id_: int, chat: str, refusal: Refusal) -> None:
    """Let Telegram refuse the recipient."""
    await outbox.put(id_, chat=chat)
    await outbox.settle(settlement(await outbox.claim_one(), Dead("Forbidden", 403, refusal)))


async def test_those_that_telegram_refused_are_listed_with_reason_and_time(outbox: Outbox) -> None:
    await refused(outbox, 1, "42", Refusal.BLOCKED)
    await outbox.advance(5)
    await refused(outbox, 2, "-1001", Refusal.REMOVED)
    await refused(outbox, 3, "43", Refusal.NOT_FOUND)

    assert await outbox.recipients.disabled("shop") == [
        Recipient(bot="shop", chat="42", reason="blocked", disabled_at=at(0), blocked_at=at(0)),
        Recipient(bot="shop", chat="-1001", reason="removed", disabled_at=at(5)),
    ]


async def test_they_come_a_page_at_a_time_and_of_one_bot(outbox: Outbox) -> None:
    await outbox.bot("desk")
    for chat in ("7", "-100", "@news", "-100/5", "12"):
        await outbox.recipients.disable("shop", chat, "opted_out")
    await outbox.recipients.disable("desk", "8", "opted_out")

    first = await outbox.recipients.disabled("shop", limit=3)
    second = await outbox.recipients.disabled("shop", before_chat=first[-1].chat, limit=3)

    assert [one.chat for one in first] == ["@news", "7", "12"]
    assert [one.chat for one in second] == ["-100/5", "-100"]
    assert [one.chat for one in await outbox.recipients.disabled("desk")] == ["8"]


async def test_one_that_is_enabled_is_sent_to_again(outbox: Outbox) -> None:
    await refused(outbox, 1, "42", Refusal.BLOCKED)

    assert await outbox.recipients.enable("shop", "42") is True

    assert await outbox.recipients.disabled("shop") == []
    assert await outbox.recipients.enable("shop", "42") is False
    await outbox.put(2, chat="42")
    assert (await outbox.claim_one()).id == 2


async def test_enabling_forgets_earlier_strikes(outbox: Outbox) -> None:
    for id_ in (1, 2):
        await refused(outbox, id_, "42", Refusal.NOT_FOUND)

    assert await outbox.recipients.enable("shop", "42") is False

    for id_ in (3, 4):
        await refused(outbox, id_, "42", Refusal.NOT_FOUND)
    assert await outbox.recipients.disabled("shop") == []
    await refused(outbox, 5, "42", Refusal.NOT_FOUND)
    assert [one.chat for one in await outbox.recipients.disabled("shop")] == ["42"]


async def test_what_waits_for_one_that_is_disabled_becomes_dead_with_the_reason(outbox: Outbox) -> None:
    await outbox.put(1, chat="42")
    await outbox.put(2, chat="43")

    assert await outbox.recipients.disable("shop", "42", "opted_out") is True

    assert ids(await outbox.claim()) == [2]
    row = await outbox.settled(1)
    assert (row.outcome, row.error) == ("dead", "the recipient is disabled: opted_out")


async def test_a_topic_is_disabled_by_itself(outbox: Outbox) -> None:
    await outbox.recipients.disable("shop", "-100/5", "too loud")
    await outbox.put(1, chat="-100", params={"text": "a", "message_thread_id": 5})
    await outbox.put(2, chat="-100", params={"text": "a", "message_thread_id": 6})

    found = ids(await outbox.claim())
    # On PostgreSQL what ends in a claim still stands before the next of its chat in that claim's snapshot.
    await outbox.advance(1)
    found += ids(await outbox.claim())

    assert found == [2]
    assert (await outbox.settled(1)).outcome == "dead"


async def test_disabling_again_replaces_the_reason_and_keeps_the_time(outbox: Outbox) -> None:
    await refused(outbox, 1, "42", Refusal.BLOCKED)
    await outbox.advance(9)

    assert await outbox.recipients.disable("shop", "42", "opted_out") is False

    (one,) = await outbox.recipients.disabled("shop")
    assert (one.reason, one.disabled_at) == ("opted_out", at(0))


async def test_who_blocks_and_comes_back_still_lives_where_it_did(outbox: Outbox) -> None:
    await outbox.tell("42", zone="Asia/Tokyo")
    await outbox.advance(5)
    await refused(outbox, 1, "42", Refusal.BLOCKED)

    assert await outbox.recipients.enable("shop", "42") is True

    (row,) = await outbox.rows("recipient")
    assert (row.zone, row.zone_since, row.disabled_at, row.disabled_reason) == ("Asia/Tokyo", at(0), None, None)
    assert row.strikes == 0


async def test_one_that_is_welcomed_is_told_of_and_enabled_and_keeps_its_zone(outbox: Outbox) -> None:
    await refused(outbox, 1, "42", Refusal.BLOCKED)
    await outbox.tell("43", zone="Asia/Tokyo")
    await outbox.advance(5)

    welcomed = [await outbox.recipients.welcome("shop", chat) for chat in ("42", "43", "44", "44")]

    assert welcomed == [True, False, False, False]
    rows = {row.chat: (row.zone, row.zone_since, row.disabled_at) for row in await outbox.rows("recipient")}
    assert rows == {"42": (None, at(5), None), "43": ("Asia/Tokyo", at(0), None), "44": (None, at(5), None)}


async def test_a_group_that_moves_takes_along_what_is_known_and_what_waits(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipients, "UNBLOCKED_AT_ONCE", 2)
    await outbox.tell("-7", zone="Asia/Tokyo")
    await outbox.recipients.disable("shop", "-7", "opted_out")
    await outbox.put(1, chat="-7", lease_token=9)
    await outbox.put(2, 3, 4, 5, chat="-7")
    await outbox.put(6, chat="-8")

    assert await outbox.recipients.move("shop", "-7", "-1007") == 4

    (row,) = await outbox.rows("recipient")
    assert (row.chat, row.zone, row.disabled_reason) == ("-1007", "Asia/Tokyo", "opted_out")
    chats = {row.id: row.chat for row in await outbox.rows("notification")}
    assert chats == {1: "-7", 2: "-1007", 3: "-1007", 4: "-1007", 5: "-1007", 6: "-8"}
    assert await outbox.recipients.move("shop", "-7", "-1007") == 0
    assert await outbox.recipients.move("shop", "-1007", "-1007") == 0


async def test_a_group_that_is_known_under_its_new_chat_stays_as_it_is_known_there(outbox: Outbox) -> None:
    await outbox.tell("-7", zone="Asia/Tokyo")
    await outbox.tell("-1007", zone="Europe/Berlin")

    await outbox.recipients.move("shop", "-7", "-1007")

    assert [(row.chat, row.zone) for row in await outbox.rows("recipient")] == [("-1007", "Europe/Berlin")]


async def test_a_reason_says_something(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="' ' is no reason"):
        await outbox.recipients.disable("shop", "42", " ")


async def test_an_unknown_bot_is_named(outbox: Outbox) -> None:
    for call in (
        outbox.recipients.disabled("shpo"),
        outbox.recipients.enable("shpo", "42"),
        outbox.recipients.disable("shpo", "42", "opted_out"),
        outbox.recipients.unblock("shpo", "42"),
        outbox.recipients.welcome("shpo", "42"),
        outbox.recipients.move("shpo", "42", "43"),
    ):
        with pytest.raises(UnknownBot, match='no bot is named "shpo"'):
            await call


async def test_unblocking_makes_due_what_a_backoff_holds_up_and_keeps_the_order(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat="7")
    await outbox.settle(failed(await outbox.claim_one(), retry_in=3600))
    assert await outbox.claim() == []

    assert await outbox.recipients.unblock("shop", "7") == 3

    for id_ in (1, 2, 3):
        await outbox.advance(1)
        claimed = await outbox.claim_one()
        assert claimed.id == id_
        await outbox.deliver(claimed)


async def test_what_is_leased_or_scheduled_or_anothers_is_left_alone(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await outbox.put(1, 2, chat="7")
    await outbox.put(3, chat="7", planned=600)
    await outbox.put(4, chat="8")
    await outbox.put(5, chat="7", bot="desk")
    claimed = {each.id: each for each in await outbox.claim()}
    assert sorted(claimed) == [1, 4, 5]
    await outbox.settle(failed(claimed[4], retry_in=60), failed(claimed[5], retry_in=60))

    assert await outbox.recipients.unblock("shop", "7") == 1

    due = {row.id: row.due_at for row in await outbox.rows("notification")}
    assert due == {1: at(60), 2: at(0), 3: at(600), 4: at(60), 5: at(60)}
    assert await outbox.recipients.unblock("shop", "9") == 0


async def test_a_long_backlog_is_unblocked_in_several_transactions(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipients, "UNBLOCKED_AT_ONCE", 4)
    # One instant for all, as one enqueue gives, and every priority.
    await outbox.put_rows([{"id": id_, "chat": "7", "due_at": at(60), "priority": id_ % 3} for id_ in range(1, 31)])

    assert await outbox.recipients.unblock("shop", "7") == 30

    assert {row.due_at for row in await outbox.rows("notification")} == {at(0)}


async def test_a_chats_limit_holds_after_unblocking(outbox: Outbox) -> None:
    await outbox.bot("desk", private=(1, 60.0))
    await outbox.put(1, 2, chat="7", bot="desk")
    await outbox.settle(delivered(await outbox.claim_one()))
    assert await outbox.claim() == []

    assert await outbox.recipients.unblock("desk", "7") == 1

    assert await outbox.claim() == []
    await outbox.advance(60)
    assert (await outbox.claim_one()).id == 2
