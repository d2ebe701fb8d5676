"""What enqueue promises, over every kind of connection and on both databases."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import START, at

from dovecote.errors import InvalidNotification, UnknownBot
from dovecote.model import DeliveryPolicy, Notification, Priority
from dovecote.stores import enqueue_batch, enqueue_statements

if TYPE_CHECKING:
    from applications import Application
    from outboxes import Outbox

    from dovecote.stores.enqueue import Enqueuer


def greeting(chat: int = 7, **fields: Any) -> Notification:
    return Notification(bot="shop", chat_id=chat, text="hello", **fields)


class TestTransactions:
    async def test_what_is_committed_is_in_the_outbox(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        notification_id = await enqueuer.enqueue(application.connection, greeting())
        assert await outbox.rows("notification") == []
        await application.commit()

        assert await outbox.places() == {notification_id: "waiting"}

    async def test_what_is_rolled_back_never_was(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        await enqueuer.enqueue(application.connection, [greeting(key="a"), greeting()])
        await application.rollback()

        assert await outbox.rows("notification") == []
        assert await outbox.rows("notification_key") == []

    async def test_a_savepoint_takes_back_what_came_after_it(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        kept = await enqueuer.enqueue(application.connection, greeting())
        await application.savepoint()
        await enqueuer.enqueue(application.connection, greeting(key="a"))
        await application.go_back()
        await application.commit()

        assert await outbox.places() == {kept: "waiting"}
        assert await outbox.rows("notification_key") == []


class TestRows:
    async def test_a_plain_notification(self, application: Application, enqueuer: Enqueuer, outbox: Outbox) -> None:
        notification_id = await enqueuer.enqueue(application.connection, greeting(42))
        await application.commit()

        row = await outbox.waiting(notification_id)
        assert (row.chat, row.method, row.params) == ("42", "sendMessage", {"text": "hello"})
        assert (row.key, row.labels, row.priority, row.at_most_once, row.weight) == (None, None, 1, False, 1)
        assert (row.enqueued_at, row.planned_at, row.due_at, row.expires_at) == (START, START, START, None)
        assert (row.attempts, row.failures, row.lost_leases, row.lease_token) == (0, 0, 0, None)

    async def test_everything_that_can_be_said(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        params: dict[str, Any] = {
            "media": [{"type": "photo", "media": "x", "caption": 'Größe "1" \\u0000 😀 {}:a,%s'}] * 3,
            "number": 12345678901234567890,
            "small": 0.1,
            "nothing": [None, True, {}],
        }
        notification_id = await enqueuer.enqueue(
            application.connection,
            Notification(
                bot="shop",
                chat_id="@Shop_News",
                method="sendMediaGroup",
                params=params,
                key="ключ \"1\" \\ :x '%(y)s' $1",
                priority=Priority.URGENT,
                due_at=at(60.000001),
                expires_at=at(120.5),
                delivery=DeliveryPolicy.AT_MOST_ONCE,
                labels=("a,b", 'c"d', "{}"),
            ),
        )
        await application.commit()

        row = await outbox.waiting(notification_id)
        assert (row.chat, row.method, row.params) == ("@shop_news", "sendMediaGroup", params)
        assert (row.key, row.labels) == ("ключ \"1\" \\ :x '%(y)s' $1", ["a,b", 'c"d', "{}"])
        assert (row.priority, row.at_most_once, row.weight) == (0, True, 3)
        assert (row.enqueued_at, row.planned_at) == (START, at(60.000001))
        assert (row.due_at, row.expires_at) == (at(60.000001), at(120.5))

    async def test_a_due_time_in_the_past_is_now(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        notification_id = await enqueuer.enqueue(application.connection, greeting(due_at=at(-3600)))
        await application.commit()

        row = await outbox.waiting(notification_id)
        assert (row.planned_at, row.due_at) == (START, START)

    async def test_a_method_without_a_chat(self, application: Application, enqueuer: Enqueuer, outbox: Outbox) -> None:
        notification = Notification(bot="shop", method="setMyName", params={"name": "Shop"})
        notification_id = await enqueuer.enqueue(application.connection, notification)
        await application.commit()

        row = await outbox.waiting(notification_id)
        assert (row.chat, row.params) == (None, {"name": "Shop"})

    async def test_a_claim_finds_it(self, application: Application, enqueuer: Enqueuer, outbox: Outbox) -> None:
        notification_id = await enqueuer.enqueue(application.connection, greeting(42))
        await application.commit()

        claimed = await outbox.claim_one()

        assert (claimed.id, claimed.bot, claimed.chat) == (notification_id, "shop", "42")
        assert json.loads(claimed.params) == {"text": "hello"}


class TestKeys:
    async def test_a_key_again_changes_nothing_and_answers_the_first(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        first = await enqueuer.enqueue(application.connection, greeting(key="a"))
        await application.commit()
        before = await outbox.rows("notification"), await outbox.rows("notification_key")
        await outbox.advance(60)

        again = await enqueuer.enqueue(await application.again(), greeting(8, key="a"))
        await application.commit()

        assert again == first
        assert (await outbox.rows("notification"), await outbox.rows("notification_key")) == before

    async def test_a_key_is_one_bots_own(self, application: Application, enqueuer: Enqueuer, outbox: Outbox) -> None:
        await outbox.bot("support")
        other = Notification(bot="support", chat_id=7, text="hello", key="a")

        first, second = await enqueuer.enqueue(application.connection, [greeting(key="a"), other])

        assert first != second

    async def test_a_key_is_remembered_after_its_notification_has_left_the_outbox(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        first = await enqueuer.enqueue(application.connection, greeting(key="a"))
        await application.commit()
        await outbox.deliver(await outbox.claim_one())
        await outbox.advance(30 * 86400 - 1)

        again = await enqueuer.enqueue(await application.again(), greeting(key="a"))
        await application.commit()

        assert again == first
        assert await outbox.places() == {first: "delivered"}

    async def test_a_key_after_its_window_is_new(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        first = await enqueuer.enqueue(application.connection, greeting(key="a"))
        await application.commit()
        await outbox.advance(30 * 86400)

        again = await enqueuer.enqueue(await application.again(), greeting(key="a"))
        await application.commit()

        assert again > first
        assert await outbox.places() == {first: "waiting", again: "waiting"}
        (key,) = await outbox.rows("notification_key")
        assert (key.notification_id, key.expires_at) == (again, START + timedelta(days=60))

    async def test_a_key_twice_in_one_call_is_written_once(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        first = await enqueuer.enqueue(application.connection, greeting(key="old"))

        ids = await enqueuer.enqueue(
            application.connection,
            [greeting(key="b"), greeting(), greeting(key="a"), greeting(key="b"), greeting(key="old"), greeting()],
        )
        await application.commit()

        assert (ids[3], ids[4]) == (ids[0], first)
        assert ids[0] < ids[1] < ids[2] < ids[5]
        assert sorted(await outbox.places()) == sorted({first, *ids})


class TestSequences:
    async def test_nothing_is_nothing(self, application: Application, enqueuer: Enqueuer) -> None:
        assert await enqueuer.enqueue(application.connection, []) == []

    @pytest.mark.parametrize("keyed", [False, True], ids=["without-keys", "with-keys"])
    async def test_ids_grow_with_the_input_over_all_chunks(
        self,
        application: Application,
        enqueuer: Enqueuer,
        outbox: Outbox,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
        *,
        keyed: bool,
    ) -> None:
        # Of the real size over one kind for each database, over all others with smaller chunks: the time.
        count = 10_000
        if kind not in {"postgresql-asyncpg", "sqlite-sqlite3"}:
            count = 500
            for module in (enqueue_batch, enqueue_statements):
                monkeypatch.setattr(module, "CHUNK", 100)
        # The order of the keys is the opposite of the input's, and every tenth notification has none.
        ids = await enqueuer.enqueue(
            application.connection,
            [greeting(n + 1, key=f"{99999 - n}" if keyed and n % 10 else None, labels=(str(n),)) for n in range(count)],
        )
        await application.commit()

        assert len(ids) == count
        assert ids == sorted(set(ids))
        rows = await outbox.rows("notification")
        assert [row.id for row in rows] == ids
        assert [row.labels for row in rows] == [[str(n)] for n in range(count)]
        assert [row.chat for row in rows] == [str(n + 1) for n in range(count)]
        assert [row.key for row in rows] == [f"{99999 - n}" if keyed and n % 10 else None for n in range(count)]
        assert {row.due_at for row in rows} == {START}
        keys = {row.key: row.notification_id for row in await outbox.rows("notification_key")}
        assert keys == {row.key: row.id for row in rows if row.key is not None}

    async def test_rows_that_are_not_kept_are_written_all_the_same(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enqueue_batch, "KEPT", 200)
        monkeypatch.setattr(enqueue_batch, "CHUNK_CHARACTERS", 300)

        ids = await enqueuer.enqueue(application.connection, [greeting(n + 1) for n in range(50)])
        await application.commit()

        rows = await outbox.rows("notification")
        assert [(row.id, row.chat) for row in rows] == [(id_, str(n + 1)) for n, id_ in enumerate(ids)]

    async def test_one_bad_notification_keeps_all_from_being_written(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        with pytest.raises(InvalidNotification, match=r"^notification 2: chat_id: 0 is no chat") as caught:
            await enqueuer.enqueue(
                application.connection, [greeting(key="a"), greeting(), greeting(0), greeting(key="b")]
            )
        await application.commit()

        assert caught.value.index == 2
        assert await outbox.rows("notification") == []
        assert await outbox.rows("notification_key") == []

    async def test_an_error_of_a_single_notification_has_no_index(
        self, application: Application, enqueuer: Enqueuer
    ) -> None:
        with pytest.raises(InvalidNotification, match=r"^chat_id: 0 is no chat") as caught:
            await enqueuer.enqueue(application.connection, greeting(0))

        assert caught.value.index is None

    # It is refused before the connection is used: once for each way in.
    @pytest.mark.parametrize("kind", ["postgresql-asyncpg", "sqlite-sqlite3", "sqlite-sqlite3-sync"], indirect=True)
    @pytest.mark.parametrize("wrong", ["hello", {"bot": "shop"}, {1}, None, 7, iter([])])
    async def test_what_is_no_sequence_is_refused(
        self, application: Application, enqueuer: Enqueuer, wrong: Any
    ) -> None:
        with pytest.raises(InvalidNotification, match=r"^notifications: .* pass a list"):
            await enqueuer.enqueue(application.connection, wrong)


class TestBots:
    async def test_an_unknown_bot_keeps_all_from_being_written(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        await outbox.bot("support")
        with pytest.raises(UnknownBot, match=r'no bot is named "shpo" \(there are: "shop", "support"\)'):
            await enqueuer.enqueue(
                application.connection, [greeting(), Notification(bot="shpo", chat_id=7, text="hello")]
            )
        await application.commit()

        assert await outbox.rows("notification") == []

    async def test_a_bot_that_was_added_meanwhile_is_found(
        self, application: Application, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        await enqueuer.enqueue(application.connection, greeting())
        await application.commit()
        added = await outbox.bot("support")

        notification_id = await enqueuer.enqueue(
            await application.again(), Notification(bot="support", chat_id=7, text="hello")
        )
        await application.commit()

        assert (await outbox.waiting(notification_id)).bot_id == added.id
