"""What a bot's own code sends: it shares the pace, is not delayed by bulk, and goes when the database is away."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from deliveries import Delivery, fresh_outbox, until
from framework_bots import FRAMEWORKS

from dovecote import Notification, Priority, UnknownBot
from dovecote.direct import PAUSE, DirectMessages, messages_of
from dovecote.emulator import Answer, BotLimit, Limits, Match, Rule
from dovecote.errors import StoreUnavailable
from dovecote.model import DirectTurn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from databases import PostgresDatabases
    from framework_bots import FrameworkBot

    from dovecote.emulator import Emulator
    from dovecote.model import Bot

AWAY = StoreUnavailable("the database cannot be used just now")
LIMITED = Rule(Answer.error(429, "Too Many Requests: retry after 100", retry_after=100), times=1)


async def shop(parts: Delivery) -> Bot:
    """The bot as the database has it."""
    (bot,) = await parts.dovecote.bots()
    return bot


class TestBothFrameworks:
    async def test_a_message_takes_a_slot_and_other_calls_take_none(
        self, parts: Delivery, bot: FrameworkBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await parts.dovecote.set_limits("shop", pace=0.1)
        turns: list[int] = []
        take = parts.dovecote.direct._slots.take

        async def counted(name: str, slots: int, *, longest_wait: float) -> DirectTurn | None:
            turns.append(slots)
            return await take(name, slots, longest_wait=longest_wait)

        monkeypatch.setattr(parts.dovecote.direct._slots, "take", counted)
        await bot.say(42)
        await bot.show_typing(42)

        assert turns == [1]
        # At a slot in ten seconds, the outbox is behind the message.
        await parts.enqueue(Notification(bot="shop", chat_id=7, text="hello"))
        assert await parts.dovecote.unit_of_work().outbox.claim_pending() == []

    async def test_it_is_sent_at_once_behind_a_backlog_of_bulk(
        self, parts: Delivery, emulator: Emulator, bot: FrameworkBot
    ) -> None:
        await parts.dovecote.set_limits("shop", pace=0.05, private_limit=None)
        bulk = [Notification(bot="shop", chat_id=chat, text="news", priority=Priority.BULK) for chat in range(100, 200)]
        await parts.enqueue(*bulk)
        assert len(await parts.dovecote.unit_of_work().outbox.claim_pending()) == 1

        async with asyncio.timeout(15):  # the slot behind the reserved one is twenty seconds away
            await bot.say(42, "your answer")

        assert [record.parameters["text"] for record in emulator.accepted] == ["your answer"]

    async def test_after_a_429_no_worker_sends_and_neither_does_the_bot(
        self, parts: Delivery, emulator: Emulator, bot: FrameworkBot
    ) -> None:
        emulator.script(LIMITED)
        await parts.enqueue(Notification(bot="shop", chat_id=7, text="hello"))

        with pytest.raises(bot.too_many):
            await bot.say(42)

        assert (await shop(parts)).halted_until is not None
        assert await parts.dovecote.unit_of_work().outbox.claim_pending() == []
        requests = len(emulator.requests)
        with pytest.raises(bot.too_many):
            await bot.say(42)
        assert len(emulator.requests) == requests

    async def test_a_429_of_a_group_makes_the_group_wait(
        self, parts: Delivery, emulator: Emulator, bot: FrameworkBot
    ) -> None:
        emulator.script(LIMITED)
        await parts.enqueue(
            Notification(bot="shop", chat_id=-7, text="to the group"), Notification(bot="shop", chat_id=8, text="other")
        )

        with pytest.raises(bot.too_many):
            await bot.say(-7)

        assert (await shop(parts)).halted_until is None
        claimed = await parts.dovecote.unit_of_work().outbox.claim_pending()
        assert [each.chat for each in claimed] == ["8"]

    async def test_a_429_to_a_call_that_is_no_message_is_heard_as_well(
        self, parts: Delivery, emulator: Emulator, bot: FrameworkBot
    ) -> None:
        emulator.script(Rule(LIMITED.answer, Match(method="sendChatAction")))

        with pytest.raises(bot.too_many):
            await bot.show_typing(42)

        assert (await shop(parts)).halted_until is not None

    async def test_a_database_that_is_away_holds_nothing_up_and_is_told_once(
        self,
        parts: Delivery,
        emulator: Emulator,
        bot: FrameworkBot,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def away(*_arguments: object, **_named: object) -> None:
            raise AWAY

        monkeypatch.setattr(parts.dovecote.direct._slots, "take", away)
        with caplog.at_level(logging.WARNING, logger="dovecote"):
            for number in range(3):
                await bot.say(42, f"answer {number}")

        assert len(emulator.accepted) == 3
        assert [record.message for record in caplog.records if record.name.startswith("dovecote")] == [
            "direct messages do not share the pace until the database can be asked again: " + str(AWAY)
        ]

    async def test_a_transaction_of_the_handlers_own_on_sqlite_holds_nothing_up(
        self, parts: Delivery, emulator: Emulator, bot: FrameworkBot
    ) -> None:
        async with parts.dovecote.transaction() as transaction:
            await parts.dovecote.enqueue(transaction, Notification(bot="shop", chat_id=7, text="hello"))
            async with asyncio.timeout(30):
                await bot.say(42)

        assert [record.chat_id for record in emulator.accepted] == [42]
        assert (await parts.dovecote.stats()).due == 1

    async def test_a_bot_that_the_outbox_does_not_know_is_named(self, parts: Delivery, emulator: Emulator) -> None:
        with pytest.raises(UnknownBot, match='no bot is named "shpo"'):
            await parts.dovecote.direct.turn("shpo", 1)
        assert not emulator.requests


async def test_answers_and_bulk_together_keep_to_the_pace_and_no_answer_waits_for_the_bulk(
    parts: Delivery, emulator: Emulator
) -> None:
    emulator.limits = Limits(bot=BotLimit(rate=30))
    await parts.dovecote.set_limits("shop", pace=30)
    await parts.enqueue(
        *[Notification(bot="shop", chat_id=chat, text="news", priority=Priority.BULK) for chat in range(100, 160)]
    )
    bot = FRAMEWORKS["aiogram"](parts.dovecote, emulator)
    working = asyncio.create_task(parts.dovecote.worker().run(until_empty=True))

    await until(lambda: len(emulator.accepted) >= 5)
    await asyncio.gather(*[bot.say(chat) for chat in range(1, 11)])
    before = len(emulator.accepted)
    await working
    await bot.stop()

    assert before < 50
    traffic = emulator.traffic()[4242]
    assert (traffic.messages, traffic.limited) == (70, 0)


class Slots:
    """Slots that answer what they are told to, and are counted."""

    def __init__(self, *answers: DirectTurn | Exception | None) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def take(self, bot: str, slots: int, *, longest_wait: float) -> DirectTurn | None:
        del bot, slots, longest_wait
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def direct(slots: Slots, clock: Clock) -> DirectMessages:
    """Direct messages that ask these slots alone."""
    nothing: Any = None
    return DirectMessages(slots, nothing, nothing, sleep=clock.sleep, monotonic=clock.monotonic)


class TestTurns:
    async def test_a_short_wait_is_waited_and_a_long_one_is_answered(self) -> None:
        clock = Clock()
        turns = direct(Slots(DirectTurn(1, 0.0), DirectTurn(1, 30.0), DirectTurn(1, 30.5)), clock)

        assert [await turns.turn("shop", 1) for _ in range(3)] == [0.0, 0.0, 30.5]
        assert clock.now == 1030.0

    async def test_a_call_that_makes_no_message_asks_nobody(self) -> None:
        slots = Slots()

        assert await direct(slots, Clock()).turn("shop", 0) == 0.0
        assert slots.asked == 0

    async def test_a_database_without_an_answer_is_asked_again_after_a_pause(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()
        slots = Slots(TimeoutError(), TimeoutError(), DirectTurn(1, 0.0), TimeoutError())
        turns = direct(slots, clock)
        asked = []
        with caplog.at_level(logging.WARNING, logger="dovecote"):
            for pause in (0.0, 1.0, PAUSE, PAUSE, 0.0):
                clock.now += pause
                await turns.turn("shop", 1)
                asked.append(slots.asked)

        assert asked == [1, 1, 2, 3, 4]
        # Once for each time that it was away.
        assert [record.message for record in caplog.records] == [
            "direct messages do not share the pace until the database can be asked again: it gave no answer within 1 s"
        ] * 2


@pytest.mark.parametrize(
    ("method", "params", "messages"),
    [
        ("sendMessage", {"chat_id": 42}, 1),
        ("sendmessage", {}, 1),
        ("sendMediaGroup", {"media": [{}, {}, {}]}, 3),
        ("forwardMessages", {"message_ids": (1, 2)}, 2),
        ("copyMessage", {}, 1),
        ("sendChatAction", {}, 0),
        ("sendMessageDraft", {}, 0),
        ("editMessageText", {}, 0),
        ("answerCallbackQuery", {}, 0),
        ("getUpdates", {}, 0),
    ],
)
def test_what_counts_is_messages(method: str, params: dict[str, Any], messages: int) -> None:
    assert messages_of(method, params) == messages


class TestStatements:
    """Counted by PostgreSQL itself."""

    @pytest.fixture
    def postgresql_outbox_url(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
        request.param = "postgresql"
        yield from fresh_outbox(request, tmp_path)

    @pytest.fixture
    async def served(
        self, request: pytest.FixtureRequest, postgresql_outbox_url: str, emulator: Emulator
    ) -> AsyncIterator[FrameworkBot]:
        parts = Delivery(postgresql_outbox_url, emulator.url)
        await parts.bot(pace=1000)
        parts.dovecote.direct._patience = 60
        bot: FrameworkBot = FRAMEWORKS[request.param](parts.dovecote, emulator)
        await bot.start()
        yield bot
        await bot.stop()
        await parts.dovecote.close()

    @pytest.mark.parametrize("served", FRAMEWORKS, indirect=True)
    async def test_a_message_costs_one_statement(
        self, postgres: PostgresDatabases, postgresql_outbox_url: str, served: FrameworkBot, emulator: Emulator
    ) -> None:
        await served.say(42)
        postgres.forget_statements(postgresql_outbox_url)

        for _ in range(10):
            await served.say(42)

        assert postgres.statement_count(postgresql_outbox_url) == 10
        assert len(emulator.accepted) == 11
