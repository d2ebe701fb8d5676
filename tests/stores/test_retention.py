"""The conformance suite of `ports.RetentionStore`, and of `ports.PruneStore` for each bot and with payloads."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from broadcasting import Broadcasting
from outboxes import at

from dovecote.errors import UnknownBot
from dovecote.model import (
    Addressee,
    BotRetention,
    Broadcast,
    Dead,
    Delivered,
    Notification,
    Pruned,
    PrunedOutcome,
    Retention,
    State,
)
from dovecote.stores import emptying
from dovecote.stores.pruning import Pruning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outboxes import Outbox

DAY = 86_400.0
DAYS = timedelta(days=1)
RETENTION = Retention(
    delivered=9 * DAYS,
    delivered_payload=3 * DAYS,
    dead=20 * DAYS,
    dead_payload=10 * DAYS,
    unknown=20 * DAYS,
    unknown_payload=20 * DAYS,
)


async def put(outbox: Outbox, *rows: tuple[int, str, float], bot: str = "shop") -> None:
    """Settled notifications: their id, outcome, and for how many days they are."""
    values = [
        {
            "id": id_,
            "outcome": outcome,
            "settled_at": at(-days * DAY),
            "chat": str(id_),
            "key": f"k{id_}",
            "labels": ["a"],
            "error": None if outcome == "delivered" else "Bad Request",
            "message_ids": [id_] if outcome == "delivered" else None,
        }
        for id_, outcome, days in rows
    ]
    await outbox.put_history(values, bot=bot)


async def payloads(outbox: Outbox) -> dict[int, bool]:
    """Whether each notification of the history has its payload."""
    return {row.id: row.params != {} for row in await outbox.rows("history")}


async def enqueued(outbox: Outbox, key: str) -> list[int]:
    """The id of what is enqueued with that key."""
    wanted = [Notification(bot="shop", chat_id=7, text="hello", key=key)]
    return await outbox.database.run(lambda connection: outbox.enqueuer.write(connection, wanted), write=True)


def of(bot: str, outcome: State, notifications: int = 0, payloads: int = 0) -> PrunedOutcome:
    return PrunedOutcome(bot=bot, outcome=outcome, notifications=notifications, payloads=payloads)


class TestPayloads:
    async def test_they_go_earlier_than_what_is_known_of_the_delivery(self, outbox: Outbox) -> None:
        await put(outbox, (1, "delivered", 2), (2, "delivered", 4), (3, "delivered", 10), (4, "dead", 4))

        pruned = await outbox.pruning.prune(RETENTION)

        assert pruned == Pruned(history=(of("shop", State.DELIVERED, 1, 1),))
        assert await payloads(outbox) == {1: True, 2: False, 4: True}
        record = await outbox.history.notification(2)
        assert (record.params, record.payload_removed_at) == ({}, outbox.now)
        assert (record.chat, record.key, record.labels, record.settled_at) == ("2", "k2", ("a",), at(-4 * DAY))
        assert record.attempts[-1].message_ids == (2,)
        assert (await outbox.history.notification(1)).payload_removed_at is None
        assert not await outbox.pruning.prune(RETENTION)

    async def test_what_has_lost_it_is_removed_in_its_time(self, outbox: Outbox) -> None:
        await put(outbox, (1, "delivered", 4), (2, "dead", 11))
        assert (await outbox.pruning.prune(RETENTION)).payloads == 2

        await outbox.advance(6 * DAY)
        assert await outbox.pruning.prune(RETENTION) == Pruned(history=(of("shop", State.DELIVERED, 1),))

        await outbox.advance(6 * DAY)
        assert await outbox.pruning.prune(RETENTION) == Pruned(history=(of("shop", State.DEAD, 1),))
        assert await payloads(outbox) == {}

    async def test_a_dead_letter_without_it_cannot_be_replayed_and_can_be_purged(self, outbox: Outbox) -> None:
        await put(outbox, (1, "dead", 11), (2, "dead", 1))
        await outbox.pruning.prune(RETENTION)

        assert await outbox.history.replay([1, 2]) == [2]

        assert await outbox.retentions.emptied([1, 2, 3, 2**70]) == [1]
        assert await outbox.places() == {1: "dead", 2: "waiting"}
        assert (await outbox.history.notification(1)).error == "Bad Request"
        assert await outbox.history.purge(State.DEAD, [1]) == [1]

    async def test_an_unknown_one_without_it_is_delivered_on_an_operators_word_and_not_sent_again(
        self, outbox: Outbox
    ) -> None:
        await put(outbox, (1, "unknown", 11), (2, "unknown", 11))
        await outbox.pruning.prune(Retention(unknown_payload=10 * DAYS))

        assert await outbox.history.resolve_unknown([1, 2], delivered=False) == []
        assert await outbox.history.resolve_unknown([1], delivered=True) == [1]

        assert await outbox.places() == {1: "delivered", 2: "unknown"}
        assert (await outbox.history.stats()).delivered == 1

    async def test_its_key_goes_on_working(self, outbox: Outbox) -> None:
        ids = await enqueued(outbox, "order-1")
        await outbox.deliver(*await outbox.claim())
        await outbox.advance(4 * DAY)

        assert (await outbox.pruning.prune(RETENTION)).payloads == 1

        assert await outbox.history.id_of_key("shop", "order-1") == ids[0]
        assert await enqueued(outbox, "order-1") == ids

    async def test_no_number_changes(self, outbox: Outbox) -> None:
        await put(outbox, (1, "delivered", 4), (2, "dead", 11), (3, "unknown", 1))
        before = await outbox.history.stats()

        assert (await outbox.pruning.prune(RETENTION)).payloads == 2

        assert await outbox.history.stats() == before


class TestBots:
    async def test_each_has_its_own_times_and_for_the_rest_those_of_the_settings(self, outbox: Outbox) -> None:
        await outbox.bot("support")
        for bot, first in (("shop", 0), ("support", 100)):
            await put(
                outbox,
                *((first + day, "delivered", day) for day in (1, 5, 15)),
                *((first + 20 + day, "dead", day) for day in (5, 15, 25)),
                bot=bot,
            )
        own = BotRetention(delivered=30 * DAYS, delivered_payload=timedelta(hours=12), dead=12 * DAYS)
        await outbox.retentions.set_retention("support", own)

        pruned = await outbox.pruning.prune(RETENTION)

        assert pruned == Pruned(
            history=(
                of("shop", State.DEAD, 1, 1),
                of("shop", State.DELIVERED, 1, 1),
                of("support", State.DEAD, 2),
                of("support", State.DELIVERED, 0, 3),
            )
        )
        assert await payloads(outbox) == {
            **dict.fromkeys((1, 25, 125), True),
            **dict.fromkeys((5, 35, 101, 105, 115), False),
        }

    async def test_what_a_bot_has_of_its_own_is_kept_changed_and_taken_back(self, outbox: Outbox) -> None:
        assert await outbox.retentions.retentions() == {}
        own = BotRetention(delivered=timedelta(hours=1), unknown_payload=timedelta(seconds=0.5))

        await outbox.retentions.set_retention("shop", own)
        assert await outbox.retentions.retentions() == {"shop": own}
        await outbox.retentions.set_retention("shop", BotRetention(dead=3 * DAYS))
        assert await outbox.retentions.retentions() == {"shop": BotRetention(dead=3 * DAYS)}
        await outbox.retentions.set_retention("shop", BotRetention())
        assert await outbox.retentions.retentions() == {}

    async def test_what_cannot_be_is_refused_with_all_faults(self, outbox: Outbox) -> None:
        wrong = BotRetention(delivered=timedelta(minutes=59), dead_payload=timedelta(0), unknown=timedelta.max)
        words = r"delivered is 3540s.*3600s or more\.\ndead_payload is 0s.*\nunknown is 999999999 days: give 3650 days"

        with pytest.raises(ValueError, match=words):
            await outbox.retentions.set_retention("shop", wrong)
        with pytest.raises(UnknownBot, match="shpo"):
            await outbox.retentions.set_retention("shpo", BotRetention(dead=DAYS))

        assert await outbox.retentions.retentions() == {}


class TestDryRun:
    async def test_it_says_what_would_be_removed_and_changes_nothing(self, outbox: Outbox) -> None:
        await outbox.bot("support")
        await put(outbox, (1, "delivered", 4), (2, "delivered", 5), (3, "delivered", 10), (4, "dead", 30))
        await put(outbox, (5, "delivered", 4), (6, "unknown", 21), (7, "dead", 11), bot="support")
        await outbox.pruning.prune(Retention(delivered_payload=timedelta(days=4.5), dead_payload=29 * DAYS))
        await outbox.retentions.set_retention("support", BotRetention(delivered=2 * DAYS))
        key = outbox.database.tables.notification_key
        row = {"bot_id": 1, "key": "a", "notification_id": 1, "expires_at": at(-1)}
        await outbox.database.run(lambda c: c.execute(key.insert(), [row]), write=True)
        before = [await outbox.rows(name) for name in ("history", "notification_key", "history_count")]

        due = await outbox.pruning.due(RETENTION)

        assert due == Pruned(
            history=(
                of("shop", State.DEAD, 1),
                of("shop", State.DELIVERED, 1, 1),
                of("support", State.DEAD, 0, 1),
                of("support", State.DELIVERED, 1),
                of("support", State.UNKNOWN, 1),
            ),
            keys=1,
        )
        assert [await outbox.rows(name) for name in ("history", "notification_key", "history_count")] == before
        assert await outbox.pruning.prune(RETENTION) == due
        assert not await outbox.pruning.due(RETENTION)


class TestPieces:
    async def test_none_is_larger_than_asked_whatever_is_due(self, outbox: Outbox) -> None:
        await outbox.bot("support")
        for bot, first in (("shop", 0), ("support", 1000)):
            await put(outbox, *((first + n, "delivered", 4 + n / 1000) for n in range(1, 8)), bot=bot)
            await put(outbox, *((first + 100 + n, "delivered", 10 + n / 1000) for n in range(1, 8)), bot=bot)
        pieces = []

        while piece := await outbox.pruning.prune(RETENTION, limit=3):
            pieces.append((piece.delivered, piece.payloads))

        assert all(removed <= 3 and emptied <= 3 for removed, emptied in pieces)
        assert [sum(column) for column in zip(*pieces, strict=True)] == [14, 14]

    async def test_those_who_prune_at_once_take_each_their_own(self, outbox: Outbox) -> None:
        await put(outbox, *((n, "delivered", 4 + n / 1000) for n in range(1, 101)))
        others = [Pruning(outbox.database, clock=outbox._microseconds) for _ in range(3)]

        found = await asyncio.gather(*(other.prune(RETENTION, limit=50) for other in others))

        left = (await outbox.pruning.prune(RETENTION)).payloads
        assert sum(piece.payloads for piece in found) + left == 100
        assert not any((await payloads(outbox)).values())


NEWS = Broadcast(name="news", bot="shop", text="Hello {{ name }}", template=True)


@pytest_asyncio.fixture
async def broadcasts(outbox: Outbox) -> AsyncIterator[Broadcasting]:
    broadcasting = Broadcasting(outbox)
    yield broadcasting
    await broadcasting.close()


class TestBroadcasts:
    async def begin(self, broadcasts: Broadcasting, count: int) -> None:
        """A broadcast to so many, each with a name."""
        addressees = [Addressee(chat, None, {"name": f"n{chat}"}) for chat in range(1, count + 1)]
        await broadcasts.draft([], NEWS)
        await broadcasts.recipients.add("news", addressees)
        await broadcasts.change("running")

    async def variables(self, broadcasts: Broadcasting) -> dict[str, bool]:
        """Whether each recipient has some."""
        return {row.chat: row.variables is not None for row in await broadcasts.outbox.rows("broadcast_recipient")}

    async def test_the_variables_of_a_recipient_go_with_the_payload(self, broadcasts: Broadcasting) -> None:
        await self.begin(broadcasts, 3)
        await broadcasts.move_on()
        first, second, third = sorted(await broadcasts.claim(), key=lambda claimed: claimed.id)
        await broadcasts.settle((first, Delivered((1,))), (second, Dead("no")), (third, Delivered((3,))))
        await broadcasts.move_on()
        before = await broadcasts.book.get("news")
        await broadcasts.outbox.advance(4 * DAY)

        assert (await broadcasts.outbox.pruning.prune(RETENTION)).payloads == 2

        assert await self.variables(broadcasts) == {"1": False, "2": True, "3": False}
        assert await broadcasts.states() == {"1": "delivered", "2": "dead", "3": "delivered"}
        assert (await broadcasts.book.get("news")).counts == before.counts
        assert [row.message_ids for row in await broadcasts.page()] == [(1,), (), (3,)]
        # The dead letter is replayed with all that it needs.
        await broadcasts.outbox.history.replay([second.id])
        assert await broadcasts.contents.personal(before.id, [second.id]) == {second.id: (None, {"name": "n2"})}

    async def test_of_those_that_never_had_one_they_go_when_it_is_over_for_long_enough(
        self, broadcasts: Broadcasting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(emptying, "RECIPIENTS_AT_ONCE", 2)
        await self.begin(broadcasts, 5)
        await broadcasts.change("cancelled")
        await broadcasts.outbox.advance(10 * DAY)
        pruning = broadcasts.outbox.pruning
        short = Retention(delivered_payload=DAYS, dead_payload=10 * DAYS, unknown_payload=DAYS)
        assert not await pruning.due(short)
        await broadcasts.outbox.advance(1)

        assert await pruning.due(short) == Pruned(broadcasts=1)
        assert [await pruning.prune(short) for _ in range(4)] == [
            Pruned(unfinished=True),
            Pruned(unfinished=True),
            Pruned(broadcasts=1),
            Pruned(),
        ]

        assert await self.variables(broadcasts) == dict.fromkeys("12345", False)
        assert await pruning.due(short) == Pruned()
