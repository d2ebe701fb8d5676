"""One claimed notification to one outcome, and the tokens that it takes."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from scripted_worker import ScriptedWorker, claimed
from virtual_time import BEGINNING, in_virtual_time

from dovecote.errors import StoreUnavailable, TokenUnreadable
from dovecote.model import Bot, BotStopped, Delivered, Released, Scope, Snoozed, Unknown
from dovecote.stores.bots import Bots
from dovecote.tokens import BotTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.model import Outcome

LATER = BEGINNING + 1000


class TestTheSender:
    @in_virtual_time
    async def test_the_time_of_the_request_is_told_with_its_outcome(self) -> None:
        parts = ScriptedWorker()
        parts.channel.hold(1)
        asyncio.get_running_loop().call_later(2.5, parts.channel.let_go, 1)
        assert await parts.sender.send(claimed(1), LATER) == (Delivered((7,)), 2.5)

    @in_virtual_time
    async def test_a_request_starts_only_while_its_whole_timeout_fits_into_the_lease(self) -> None:
        parts = ScriptedWorker(request_timeout=20)
        assert await parts.sender.send(claimed(1), BEGINNING + 20) == (Released(), 0.0)
        assert await parts.sender.send(claimed(2), BEGINNING + 20.001) == (Delivered((7,)), 0.0)
        assert [id_ for _, id_ in parts.channel.started] == [2]

    @in_virtual_time
    async def test_a_channel_that_breaks_makes_it_unknown(self, caplog: pytest.LogCaptureFixture) -> None:
        parts = ScriptedWorker()

        async def broken(*_: object, **__: object) -> Outcome:
            raise ZeroDivisionError

        parts.channel.send = broken  # type: ignore[method-assign]
        assert await parts.sender.send(claimed(1), LATER) == (Unknown("the channel broke: ZeroDivisionError"), 0.0)
        assert [record.message for record in caplog.records] == ["the channel broke"]

    @in_virtual_time
    async def test_a_refused_token_is_read_afresh_next_time(self) -> None:
        parts = ScriptedWorker()
        parts.channel.outcomes = {1: BotStopped("Unauthorized", 401)}
        assert await parts.sender.send(claimed(1), LATER) == (BotStopped("Unauthorized", 401), 0.0)
        assert parts.tokens.forgotten == [1]

    @in_virtual_time
    async def test_a_refusal_of_a_token_that_was_replaced_meanwhile_stops_nobody(self) -> None:
        parts = ScriptedWorker()
        parts.channel.outcomes = {1: BotStopped("Unauthorized", 401)}
        given = iter(["42:old", "42:new"])

        async def replaced(bot_id: int) -> str:
            assert bot_id == 1
            return next(given)

        parts.tokens.token = replaced  # type: ignore[method-assign]
        assert await parts.sender.send(claimed(1), LATER) == (Released(), 0.0)
        assert parts.tokens.forgotten == [1]

    @in_virtual_time
    async def test_a_refusal_while_nobody_can_tell_the_token_in_force_stops_nobody(self) -> None:
        parts = ScriptedWorker()
        parts.channel.outcomes = {1: BotStopped("Unauthorized", 401)}
        asked = 0

        async def away(bot_id: int) -> str:
            nonlocal asked
            asked += bot_id
            if asked > 1:
                raise StoreUnavailable("the database is away")
            return "42:token"

        parts.tokens.token = away  # type: ignore[method-assign]
        assert await parts.sender.send(claimed(1), LATER) == (Released(), 0.0)

    @in_virtual_time
    async def test_cut_off_while_its_token_is_read_it_was_never_tried(self) -> None:
        parts = ScriptedWorker()
        reading = asyncio.Event()

        async def slow(bot_id: int) -> str:
            del bot_id
            await reading.wait()
            return "42:token"

        parts.tokens.token = slow  # type: ignore[method-assign]
        sending = asyncio.create_task(parts.sender.send(claimed(1), LATER))
        await asyncio.sleep(1)
        sending.cancel()
        assert await sending == (Released(), 0.0)
        assert parts.channel.started == []

    @in_virtual_time
    async def test_a_token_that_cannot_be_read_is_told_once_in_a_pause(self, caplog: pytest.LogCaptureFixture) -> None:
        parts = ScriptedWorker()
        parts.tokens.raises = TokenUnreadable('bot "shop": the variable SHOP_TOKEN is not set: set it.')
        error = 'bot "shop": the variable SHOP_TOKEN is not set: set it.'
        expected = Snoozed(timedelta(seconds=30), Scope.NOTIFICATION, error)
        for pause in (0, 0, 29, 2):
            await asyncio.sleep(pause)
            assert await parts.sender.send(claimed(1), LATER) == (expected, 0.0)
        assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 2


class TestTokens:
    async def test_all_who_ask_at_once_are_answered_by_one_reading(self) -> None:
        bots = OneBot()
        tokens = BotTokens(bots, lambda bot: f"{bot.id}:token")
        assert await asyncio.gather(*(tokens.token(1) for _ in range(100))) == ["1:token"] * 100
        assert await tokens.token(1) == "1:token"
        assert bots.readings == 1
        tokens.forget(1)
        assert await tokens.token(1) == "1:token"
        assert bots.readings == 2

    async def test_one_who_gives_up_waiting_takes_it_from_no_other(self) -> None:
        tokens = BotTokens(OneBot(), lambda bot: f"{bot.id}:token")
        first, second = (asyncio.create_task(tokens.token(1)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "1:token"
        assert first.cancelled()

    async def test_what_cannot_be_read_is_asked_for_again(self) -> None:
        tokens = BotTokens(OneBot(), lambda bot: f"{bot.id}:token")
        for _ in range(2):
            with pytest.raises(TokenUnreadable, match="no bot with the id 5"):
                await tokens.token(5)

    async def test_a_thousand_bots_are_read_once(self) -> None:
        bots = OneBot(1000)
        tokens = BotTokens(bots, lambda bot: f"{bot.id}:token")
        asked = await asyncio.gather(*(tokens.token(id_) for id_ in range(1, 501)))
        asked += [await tokens.token(id_) for id_ in range(501, 1001)]
        assert asked == [f"{id_}:token" for id_ in range(1, 1001)]
        assert bots.readings == 1

    async def test_what_was_read_is_used_for_a_second_and_no_longer(self) -> None:
        bots, now = OneBot(3), [10.0]
        tokens = BotTokens(bots, lambda bot: f"{bot.id}:token", monotonic=lambda: now[0])
        await tokens.token(1)
        now[0] = 10.9
        await tokens.token(2)
        assert bots.readings == 1
        now[0] = 11.0
        await tokens.token(3)
        assert bots.readings == 2

    async def test_a_bot_that_was_added_since_the_reading_is_found_at_once(self) -> None:
        bots = OneBot(1)
        tokens = BotTokens(bots, lambda bot: f"{bot.id}:token", monotonic=lambda: 10.0)
        await tokens.token(1)
        bots.count = 2
        assert await tokens.token(2) == "2:token"
        assert bots.readings == 2

    async def test_a_bot_that_was_added_while_a_reading_was_on_its_way_is_found_by_the_next(self) -> None:
        bots = OneBot(1)
        tokens = BotTokens(bots, lambda bot: f"{bot.id}:token", monotonic=lambda: 10.0)
        first = asyncio.create_task(tokens.token(1))
        await asyncio.sleep(0)
        second = asyncio.create_task(tokens.token(2))
        await asyncio.sleep(0)
        bots.count = 2
        assert await first == "1:token"
        assert await second == "2:token"

    async def test_a_database_that_is_away_is_told_to_all_who_ask_and_asked_again(self) -> None:
        bots = OneBot()
        bots.away = StoreUnavailable("away")
        tokens = BotTokens(bots, lambda bot: f"{bot.id}:token")
        answers = await asyncio.gather(*(tokens.token(1) for _ in range(3)), return_exceptions=True)
        assert answers == [bots.away] * 3
        bots.away = None
        assert await tokens.token(1) == "1:token"


class OneBot(Bots):
    """One bot, or more, and how often they were read."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.readings = 0
        self.away: StoreUnavailable | None = None

    async def bots(self) -> Sequence[Bot]:
        self.readings += 1
        count = self.count  # a picture of when it began
        await asyncio.sleep(0)
        if self.away is not None:
            raise self.away
        created_at = datetime(2026, 1, 5, tzinfo=UTC)
        return [
            Bot(id=id_, name=f"shop-{id_}", token_variable="TOKEN", created_at=created_at)
            for id_ in range(1, count + 1)
        ]
