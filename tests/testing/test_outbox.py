"""`dovecote.testing`: what a bot's developer holds in hand, on either database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dovecote import Attachment, Dovecote, Notification, Priority, UnitOfWork, methods
from dovecote.schedule import Cron, Schedule, Timing

if TYPE_CHECKING:
    from dovecote.testing import BlockingOutbox, ManualClock, Outbox

on_both = pytest.mark.parametrize("dovecote_database_url", ["sqlite", "postgresql"], indirect=True)
START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def dovecote_start() -> datetime:
    return START


async def enqueue(dovecote: Dovecote, *texts: str, chat: int = 42, **given: Any) -> None:
    async with dovecote.transaction() as transaction:
        notes = [Notification(bot="shop", chat_id=chat, text=text, **given) for text in texts]
        await dovecote.enqueue(transaction, notes)


class TestDelivering:
    @on_both
    async def test_a_chats_messages_go_in_order_and_none_waits_for_a_pace(
        self, dovecote: Dovecote, outbox: Outbox
    ) -> None:
        await dovecote.add_bot("shop", token=f"1000000001:{'a' * 35}", pace=1.0)
        await enqueue(dovecote, "1", "2", "3", "4", "5", "6")
        await enqueue(dovecote, "0", priority=Priority.URGENT)

        sent = await outbox.deliver()

        assert [(each.bot, each.chat, each.text, each.at) for each in sent] == [
            ("shop", 42, text, START) for text in ("0", "1", "2", "3", "4", "5", "6")
        ]
        (bot,) = await dovecote.bots()
        assert (bot.pace, bot.private_limit, bot.group_limit) == (1.0, (3, 3.0), (20, 60.0))
        assert await outbox.deliver() == []

    @on_both
    async def test_what_failed_is_tried_again_in_its_time_and_the_next_of_its_chat_waits(
        self, dovecote: Dovecote, outbox: Outbox, dovecote_clock: ManualClock
    ) -> None:
        await outbox.bot()
        await enqueue(dovecote, "first", "second")
        await enqueue(dovecote, "other", chat=43)
        outbox.faults.server_error(chat=42)

        assert [each.text for each in await outbox.deliver()] == ["other"]
        dovecote_clock.advance(minutes=1)
        assert [each.text for each in await outbox.deliver()] == ["first", "second"]

    @on_both
    async def test_a_429_halts_the_bot_until_its_time(self, dovecote: Dovecote, outbox: Outbox) -> None:
        await outbox.bot()
        await enqueue(dovecote, "hello")
        await enqueue(dovecote, "hello", chat=43)
        outbox.faults.too_many_requests(retry_after=30)

        assert await outbox.deliver() == []
        assert await outbox.let_pass(seconds=29) == []
        assert {each.at - START for each in await outbox.let_pass(seconds=2)} == {timedelta(seconds=30)}

    async def test_a_lost_answer_is_sent_again_and_both_are_seen(self, dovecote: Dovecote, outbox: Outbox) -> None:
        await outbox.bot()
        await enqueue(dovecote, "hello")
        outbox.faults.answer_lost()

        await outbox.let_pass(hours=1)

        outbox.assert_sent(42, "hello", times=2)

    async def test_a_bot_whose_token_cannot_be_read_is_told_of_and_is_no_endless_loop(
        self, dovecote: Dovecote, outbox: Outbox
    ) -> None:
        await dovecote.add_bot("shop", token_variable="DOVECOTE_TOKEN_THAT_IS_NOT_SET")
        await enqueue(dovecote, "hello", "again")

        assert await outbox.deliver() == []

        with pytest.raises(AssertionError, match="the variable DOVECOTE_TOKEN_THAT_IS_NOT_SET"):
            outbox.assert_sent(42, "hello")

    async def test_one_picture_for_three_chats_is_uploaded_once(self, dovecote: Dovecote, outbox: Outbox) -> None:
        await outbox.bot()
        file = await dovecote.files.put(b"%PDF-1.7 ...", name="menu.pdf")
        async with dovecote.transaction() as transaction:
            for chat in (1, 2, 3):
                await dovecote.enqueue(transaction, methods.document("shop", chat, Attachment(file), caption="Menu"))

        sent = await outbox.deliver()

        assert [each.text for each in sent] == ["Menu", "Menu", "Menu"]
        files = [file for each in sent for file in each.files]
        assert [(each.kind, each.name, each.size) for each in files] == [
            ("document", "menu.pdf", 12),
            ("document", None, None),
            ("document", None, None),
        ]
        assert files[1].reference == files[2].reference is not None

    async def test_another_dovecote_of_the_process_has_the_same_time(
        self, dovecote: Dovecote, outbox: Outbox, dovecote_clock: ManualClock
    ) -> None:
        await outbox.bot()
        dovecote_clock.advance(days=400)
        async with Dovecote(settings=dovecote.settings) as application:
            await enqueue(application, "hello")

        (sent,) = await outbox.deliver()

        assert sent.at == START + timedelta(days=400)
        assert (await dovecote.notification(1)).enqueued_at == sent.at

    async def test_a_unit_of_work_is_on_the_tests_outbox(self, dovecote: Dovecote, outbox: Outbox) -> None:
        await outbox.bot()
        await enqueue(dovecote, "hello")

        async with UnitOfWork() as uow:
            claimed = await uow.outbox.claim_pending()
            await uow.outbox.mark_delivered(claimed[0].id)
            await uow.commit()
        await dovecote.close()

        assert await outbox.deliver() == []


class TestTime:
    @on_both
    async def test_a_jump_is_an_outage_and_time_that_passes_is_none(
        self, dovecote: Dovecote, outbox: Outbox, dovecote_clock: ManualClock
    ) -> None:
        await outbox.bot()
        note = Notification(bot="shop", chat_id=42, text="Good morning")
        timing = Timing(recurrence=Cron("0 9 * * *"), zone="UTC")
        await dovecote.schedules.add(Schedule(name="daily", timing=timing, notification=note))

        passed = await outbox.let_pass(days=2)
        dovecote_clock.advance(days=4, hours=-1)
        jumped = await outbox.deliver()

        assert [each.at for each in passed] == [datetime(2026, 1, day, 9, tzinfo=UTC) for day in (6, 7)]
        # Of the four fire times that were missed the newest, as schedules do by default.
        assert [each.at for each in jumped] == [datetime(2026, 1, 11, 11, tzinfo=UTC)]
        assert dovecote_clock.now == datetime(2026, 1, 11, 11, tzinfo=UTC)

    async def test_a_reminder_goes_at_its_instant(self, dovecote: Dovecote, outbox: Outbox) -> None:
        await outbox.bot()
        await enqueue(dovecote, "later", due_at=START + timedelta(minutes=90))

        assert [each.at - START for each in await outbox.let_pass(hours=10)] == [timedelta(minutes=90)]
        assert outbox.clock.now == START + timedelta(hours=10)

    async def test_time_goes_only_forward(self, outbox: Outbox, dovecote_clock: ManualClock) -> None:
        with pytest.raises(ValueError, match="2026-01-05T11:59:59"):
            dovecote_clock.advance(seconds=-1)
        with pytest.raises(ValueError, match="no zone"):
            dovecote_clock.move_to(datetime(2027, 1, 1))
        with pytest.raises(ValueError, match="cannot pass"):
            await outbox.let_pass(days=-1)


class TestAssertions:
    @on_both
    async def test_one_that_fails_says_what_was_sent_and_why_the_rest_was_not(
        self, dovecote: Dovecote, outbox: Outbox
    ) -> None:
        await outbox.bot()
        outbox.faults.refused(code=400, description="Bad Request: message is too sad", chat=42)
        await enqueue(dovecote, "refused", "sent")
        await enqueue(dovecote, "later", due_at=START + timedelta(hours=1))
        await enqueue(dovecote, "elsewhere", chat=43)
        await outbox.deliver()

        with pytest.raises(AssertionError) as raised:
            outbox.assert_sent(42, containing="later", method="sendMessage")

        assert str(raised.value).splitlines() == [
            "message to chat 42 with containing 'later', method 'sendMessage' was sent not at all.",
            "Sent to 42:",
            "  to 42: sendMessage 'sent'",
            "Not sent to 42:",
            "  notification 3 to 42 (sendMessage 'later') is scheduled; it waits: scheduled, for 1:00:00 by the clock",
            "  notification 1 to 42 (sendMessage 'refused') is dead: Bad Request: message is too sad",
            "Sent to others:",
            "  to 43: sendMessage 'elsewhere'",
        ]

    async def test_before_the_first_delivery_they_say_so(self, outbox: Outbox) -> None:
        with pytest.raises(AssertionError, match=r"call deliver\(\) first"):
            outbox.assert_sent(42)

    async def test_how_often_counts(self, dovecote: Dovecote, outbox: Outbox) -> None:
        await outbox.bot()
        await enqueue(dovecote, "hello", "hello")
        await outbox.deliver()

        assert outbox.assert_sent(42, "hello", times=2).message_ids == (2,)
        with pytest.raises(AssertionError, match="was sent 2 times, not 1"):
            outbox.assert_sent(42, "hello", times=1)

    async def test_nothing_sent_shows_what_was(self, dovecote: Dovecote, outbox: Outbox) -> None:
        await outbox.bot()
        await enqueue(dovecote, "hello")
        await outbox.deliver()

        outbox.assert_nothing_sent(43)
        for chat in (42, None):
            with pytest.raises(AssertionError, match="to 42: sendMessage 'hello'"):
                outbox.assert_nothing_sent(chat)


class TestPlainFunctions:
    def test_they_do_the_same(self, dovecote: Dovecote, blocking_outbox: BlockingOutbox) -> None:
        assert re.fullmatch("shop", blocking_outbox.bot().name)
        blocking_outbox.result_of(enqueue(dovecote, "hello"))
        blocking_outbox.result_of(enqueue(dovecote, "later", due_at=START + timedelta(hours=1)))

        assert [each.text for each in blocking_outbox.deliver()] == ["hello"]
        assert [each.text for each in blocking_outbox.let_pass(hours=1)] == ["later"]
        assert [each.text for each in blocking_outbox.sent_to(42, bot="shop")] == ["hello", "later"]
        assert blocking_outbox.sent_to(42, bot="other") == []
