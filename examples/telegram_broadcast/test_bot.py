"""The bot's own tests: `pytest`. The fixtures `dovecote` and `outbox` come with Dovecote."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import bot as news_bot
import pytest
import pytest_asyncio
from telegram import Update

from dovecote import Dovecote
from dovecote.testing import Outbox

pytestmark = pytest.mark.asyncio
Say = Callable[[int, str], Awaitable[None]]
ADMIN = 7


@pytest_asyncio.fixture
async def say(dovecote: Dovecote, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Say]:
    """Let somebody write to the bot, which answers."""
    monkeypatch.setenv(news_bot.TOKEN_VARIABLE, "4242:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr")
    monkeypatch.setattr(news_bot, "dovecote", dovecote)
    monkeypatch.setattr(news_bot, "ADMIN", ADMIN)
    application = news_bot.make_application()
    await news_bot.prepare(application)
    numbers = count(1)

    async def say(chat: int, text: str) -> None:
        writer = {"id": chat, "is_bot": False, "first_name": "Somebody"}
        command = {"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}
        message = {"message_id": 1, "date": 0, "chat": {"id": chat, "type": "private"}, "from": writer, "text": text}
        update = {"update_id": next(numbers), "message": {**message, "entities": [command]}}
        await application.process_update(Update.de_json(update, application.bot))

    async with application:
        yield say


async def test_everybody_who_has_started_is_told_once(say: Say, outbox: Outbox) -> None:
    """Those who have stopped, or blocked the bot, are left alone."""
    for chat in (42, 43, 44, 45):
        await say(chat, "/start")
    await say(43, "/stop")
    outbox.faults.blocked(44)
    await say(ADMIN, "/broadcast We open at nine.")
    outbox.assert_sent(ADMIN, "On its way to 3 recipients.")

    await outbox.let_pass(minutes=5)

    told = {message.chat for message in outbox.sent if message.text == "We open at nine."}
    assert told == {42, 45}
    outbox.assert_sent(42, "We open at nine.", times=1)


async def test_nobody_but_the_admin_broadcasts(say: Say, outbox: Outbox) -> None:
    """What others write behind /broadcast goes nowhere."""
    await say(42, "/start")
    await say(43, "/broadcast Buy my pigeons.")

    await outbox.let_pass(minutes=5)

    assert [message.text for message in outbox.sent] == ["You hear from us now. /stop ends it."]
