"""The conformance suite of `ports.RecipientBook`, and of what the cycle notes of recipients."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest
from outboxes import Outbox, at, settlement

from dovecote.errors import UnknownBot, UnknownRecipient
from dovecote.model import Dead, QuietHours, Recipient, RecipientChange, Refusal

NIGHT = QuietHours(time(22), time(7, 30), silent=True)


async def arrived(outbox: Outbox, id_: int, chat: str) -> None:
    """Let something arrive there."""
    await outbox.put(id_, chat=chat)
    await outbox.deliver(await outbox.claim_one())


async def test_all_that_is_told_is_read_again(outbox: Outbox) -> None:
    known: dict[str, Any] = {"zone": "Asia/Tokyo", "language": "pt-BR", "labels": ("gold", "b"), "opted_out": ("news",)}

    await outbox.tell("42", **known, quiet_hours=NIGHT, seen=True)

    assert await outbox.people.get("shop", "42") == Recipient(
        bot="shop", chat="42", **known, quiet_hours=NIGHT, told_at=at(0), seen_at=at(0)
    )


async def test_what_is_not_told_stays_and_what_is_taken_back_goes(outbox: Outbox) -> None:
    await outbox.tell("42", zone="Asia/Tokyo", language="pt", labels=("gold",), opted_out=("news",), quiet_hours=NIGHT)
    await outbox.advance(5)

    await outbox.tell("42", language="de")
    first = await outbox.people.get("shop", "42")
    await outbox.tell("42", labels=(), opted_out=(), quiet_hours=None, zone=None)
    second = await outbox.people.get("shop", "42")

    assert (first.language, first.zone, first.labels, first.opted_out) == ("de", "Asia/Tokyo", ("gold",), ("news",))
    assert (first.quiet_hours, first.told_at) == (NIGHT, at(0))
    assert second == Recipient(bot="shop", chat="42", language="de", told_at=at(5))
    (row,) = await outbox.rows("recipient")
    assert (row.labels, row.opted_out, row.quiet_from, row.quiet_silent) == (None, None, None, None)


async def test_an_earlier_instant_does_not_replace_when_it_was_seen(outbox: Outbox) -> None:
    for instant in (at(5), at(3), True, at(9), at(8)):
        await outbox.tell("42", seen=instant)

    assert (await outbox.people.get("shop", "42")).seen_at == at(9)


async def test_many_are_told_of_at_once_each_with_its_own_fields(outbox: Outbox) -> None:
    changes = [
        RecipientChange(chat="1", zone="Asia/Tokyo"),
        RecipientChange(chat="2", language="de", labels=("gold",)),
        RecipientChange(chat="3", zone="Europe/Berlin"),
        RecipientChange(chat="2", language="pt"),
    ]

    await outbox.people.tell("shop", changes)

    page = await outbox.people.page("shop", limit=2)
    rest = await outbox.people.page("shop", before_chat="2", limit=2)
    assert [(one.chat, one.zone, one.language, one.labels) for one in [*page, *rest]] == [
        ("3", "Europe/Berlin", None, ()),
        ("2", None, "pt", ()),
        ("1", "Asia/Tokyo", None, ()),
    ]


async def test_what_arrived_last_is_read_from_the_history(outbox: Outbox) -> None:
    await outbox.tell("42", language="de")
    await arrived(outbox, 1, "42")
    await outbox.advance(5)
    await arrived(outbox, 2, "42")
    await arrived(outbox, 3, "43")
    await outbox.advance(5)
    await outbox.put(4, chat="42")
    await outbox.settle(settlement(await outbox.claim_one(), Dead("Bad Request", 400)))

    assert (await outbox.people.get("shop", "42")).delivered_at == at(5)
    assert [(one.chat, one.delivered_at) for one in await outbox.people.page("shop")] == [("42", at(5))]
    # Nobody has told of this one, and something has arrived there.
    assert await outbox.people.get("shop", "43") == Recipient(bot="shop", chat="43", delivered_at=at(5))


async def test_when_it_blocked_last_is_known_after_it_came_back(outbox: Outbox) -> None:
    for id_ in (1, 2):
        await outbox.put(id_, chat="42")
        await outbox.settle(settlement(await outbox.claim_one(), Dead("Forbidden", 403, Refusal.BLOCKED)))
        await outbox.recipients.enable("shop", "42")
        await outbox.advance(5)

    assert await outbox.people.get("shop", "42") == Recipient(bot="shop", chat="42", blocked_at=at(5))
    await outbox.recipients.disable("shop", "42", "blocked")
    assert (await outbox.people.get("shop", "42")).blocked_at == at(10)
    await outbox.recipients.disable("shop", "43", "opted_out")
    assert (await outbox.people.get("shop", "43")).blocked_at is None


async def test_a_welcome_is_a_sign_of_life_and_keeps_what_is_known(outbox: Outbox) -> None:
    await outbox.tell("42", zone="Asia/Tokyo", labels=("gold",))
    await outbox.advance(5)

    await outbox.recipients.welcome("shop", "42")

    found = await outbox.people.get("shop", "42")
    assert (found.zone, found.labels, found.told_at, found.seen_at) == ("Asia/Tokyo", ("gold",), at(0), at(5))


async def test_what_is_not_known_is_named(outbox: Outbox) -> None:
    with pytest.raises(UnknownRecipient, match=r"of the recipient 42 of the bot \"shop\": tell of it with"):
        await outbox.people.get("shop", "42")
    for call in (
        outbox.people.get("shpo", "42"),
        outbox.people.page("shpo"),
        outbox.people.tell("shpo", [RecipientChange(chat="42")]),
    ):
        with pytest.raises(UnknownBot, match='no bot is named "shpo"'):
            await call
