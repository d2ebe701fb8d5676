"""The bot's own tests: `pytest`. The fixtures `dovecote` and `outbox` come with Dovecote."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import bot as digest_bot
import pytest
import pytest_asyncio

from dovecote import Dovecote
from dovecote.testing import Outbox

pytestmark = pytest.mark.asyncio
Say = Callable[[int, str], Awaitable[None]]
EDITOR = 7


@pytest.fixture
def dovecote_start() -> datetime:
    """The clock begins at noon in London."""
    return datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest_asyncio.fixture
async def say(dovecote: Dovecote, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Say]:
    """Let somebody write to the bot, which answers."""
    monkeypatch.setenv(digest_bot.TOKEN_VARIABLE, "4242:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr")
    monkeypatch.setattr(digest_bot, "dovecote", dovecote)
    monkeypatch.setattr(digest_bot, "EDITOR", EDITOR)
    await digest_bot.prepare()
    bot, dispatcher = digest_bot.make_bot(), digest_bot.make_dispatcher()

    async def say(chat: int, text: str) -> None:
        writer = {"id": chat, "is_bot": False, "first_name": "Somebody"}
        message = {"message_id": 1, "date": 0, "chat": {"id": chat, "type": "private"}, "from": writer, "text": text}
        await dispatcher.feed_raw_update(bot, {"update_id": 1, "message": message})

    async with bot:
        yield say


def digests(outbox: Outbox, chat: int) -> list[datetime]:
    """When digests were sent to a chat."""
    return [message.at for message in outbox.sent_to(chat) if message.text.startswith("Your digest:")]


async def test_a_digest_comes_at_nine_where_its_reader_lives(say: Say, outbox: Outbox) -> None:
    """Nine in Tokyo is midnight in London; nine in New York is two in the afternoon there."""
    await say(42, "/start")
    await say(42, "/zone Asia/Tokyo")
    await say(43, "/start")
    await say(43, "/zone America/New_York")

    await outbox.let_pass(days=1)

    assert digests(outbox, 42) == [datetime(2026, 1, 6, 0, tzinfo=UTC)]
    assert digests(outbox, 43) == [datetime(2026, 1, 5, 14, tzinfo=UTC)]


async def test_whoever_stops_gets_none(say: Say, outbox: Outbox) -> None:
    """Until the next /start."""
    await say(42, "/start")
    await say(42, "/stop")

    await outbox.let_pass(days=1)
    assert digests(outbox, 42) == []

    await say(42, "/start")
    await outbox.let_pass(days=1)
    assert len(digests(outbox, 42)) == 1


async def test_the_editor_says_what_is_in_it(say: Say, outbox: Outbox) -> None:
    """And nobody else does."""
    await say(42, "/start")
    await say(EDITOR, "/news The loft is full.")
    await say(42, "/news I say so.")

    await outbox.let_pass(days=1)

    outbox.assert_sent(42, "Your digest: The loft is full.", times=1)
