"""The clients that bots use parse what the emulator answers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiogram
import pytest
import telegram
from aiogram import types
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramRetryAfter, TelegramUnauthorizedError
from emulator_client import OTHER_TOKEN, PNG, aiogram_bot, telegram_bot
from telegram.error import BadRequest, Forbidden, InvalidToken, RetryAfter

from dovecote.emulator import Answer, Emulator, Match, Rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FILE_KINDS = ["document", "video", "audio", "voice", "animation", "sticker"]
LIMITED = Rule(Answer.error(429, "Too Many Requests: retry after 7", retry_after=7), Match(method="sendDice"))
BLOCKED = Rule(Answer.error(403, "Forbidden: bot was blocked by the user"), Match(method="sendPoll"))


class TestAiogram:
    @pytest.fixture
    async def bot(self, emulator: Emulator) -> AsyncIterator[aiogram.Bot]:
        async with aiogram_bot(emulator) as bot:
            yield bot

    async def test_messages_and_what_is_done_with_them(self, bot: aiogram.Bot) -> None:
        button = types.InlineKeyboardButton(text="Open", url="https://example.com/")
        sent = await bot.send_message(
            42,
            "<b>On its way</b>",
            parse_mode="HTML",
            reply_markup=types.InlineKeyboardMarkup(inline_keyboard=[[button]]),
        )
        edited = await bot.edit_message_text("Arrived", chat_id=42, message_id=sent.message_id)
        copied = await bot.copy_messages(43, 42, [sent.message_id])
        forwarded = await bot.forward_message("@news", 42, sent.message_id)

        assert sent.text == "On its way"
        assert sent.entities is not None
        assert sent.entities[0].type == "bold"
        assert sent.reply_markup is not None
        assert sent.reply_markup.inline_keyboard[0][0].url == "https://example.com/"
        assert isinstance(edited, types.Message)
        assert edited.text == "Arrived"
        assert [message.message_id for message in copied] == [2]
        assert forwarded.chat.username == "news"
        assert isinstance(forwarded.forward_origin, types.MessageOriginUser)
        assert await bot.pin_chat_message(42, sent.message_id)
        assert await bot.delete_message(42, sent.message_id)
        assert await bot.delete_messages(43, [2])

    @pytest.mark.parametrize("kind", FILE_KINDS)
    async def test_files(self, bot: aiogram.Bot, kind: str) -> None:
        sent = await getattr(bot, f"send_{kind}")(42, types.BufferedInputFile(b"12345", "file.bin"))

        assert getattr(sent, kind).file_size == 5

    async def test_an_album(self, bot: aiogram.Bot) -> None:
        first = await bot.send_photo(42, types.BufferedInputFile(PNG, "a.png"), caption="x")
        assert first.photo is not None
        sent = await bot.send_media_group(
            42,
            [
                types.InputMediaPhoto(media=types.BufferedInputFile(PNG, "b.png")),
                types.InputMediaPhoto(media=first.photo[0].file_id),
            ],
        )

        assert [message.message_id for message in sent] == [2, 3]

    async def test_the_others(self, bot: aiogram.Bot) -> None:
        poll = await bot.send_poll(42, "Tea?", [types.InputPollOption(text="Yes"), types.InputPollOption(text="No")])
        dice = await bot.send_dice(42)
        venue = await bot.send_venue(42, 1.5, 2.5, "Office", "Street 1")
        contact = await bot.send_contact(42, "+49", "Ada")
        location = await bot.send_location(42, 1.5, 2.5)

        assert poll.poll is not None
        assert [option.text for option in poll.poll.options] == ["Yes", "No"]
        assert dice.dice is not None
        assert venue.venue is not None
        assert contact.contact is not None
        assert location.location is not None
        assert await bot.send_chat_action(42, "typing")
        assert (await bot.get_chat("@news")).type == "channel"
        assert (await bot.get_chat(-5)).type == "group"
        assert (await bot.me()).id == 4242

    async def test_refusals_have_their_own_exceptions(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        emulator.script(LIMITED, BLOCKED)

        with pytest.raises(TelegramBadRequest, match="message text is empty"):
            await bot.send_message(42, "")
        with pytest.raises(TelegramRetryAfter) as limited:
            await bot.send_dice(42)
        with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
            await bot.send_poll(42, "?", ["a", "b"])
        async with aiogram_bot(emulator, OTHER_TOKEN) as stranger:
            with pytest.raises(TelegramUnauthorizedError):
                await stranger.get_me()

        assert limited.value.retry_after == 7


class TestPythonTelegramBot:
    @pytest.fixture
    async def bot(self, emulator: Emulator) -> AsyncIterator[telegram.Bot]:
        async with telegram_bot(emulator) as bot:
            yield bot

    async def test_messages_and_what_is_done_with_them(self, bot: telegram.Bot) -> None:
        button = telegram.InlineKeyboardButton("Open", callback_data="open")
        sent = await bot.send_message(
            42, "*On its way*", parse_mode="MarkdownV2", reply_markup=telegram.InlineKeyboardMarkup([[button]])
        )
        edited = await bot.edit_message_text("Arrived", chat_id=42, message_id=sent.message_id)
        copied = await bot.copy_messages(43, 42, [sent.message_id])
        forwarded = await bot.forward_message("@news", 42, sent.message_id)

        assert sent.text == "On its way"
        assert sent.entities[0].type == "bold"
        assert sent.reply_markup is not None
        assert sent.reply_markup.inline_keyboard[0][0].callback_data == "open"
        assert isinstance(edited, telegram.Message)
        assert edited.text == "Arrived"
        assert [message.message_id for message in copied] == [2]
        assert forwarded.chat.username == "news"
        assert isinstance(forwarded.forward_origin, telegram.MessageOriginUser)
        assert await bot.pin_chat_message(42, sent.message_id)
        assert await bot.delete_message(42, sent.message_id)
        assert await bot.delete_messages(43, [2])

    @pytest.mark.parametrize("kind", FILE_KINDS)
    async def test_files(self, bot: telegram.Bot, kind: str) -> None:
        # Nobody says how long or wide a file is; this client insists on no number of them.
        sent: Any = await getattr(bot, f"send_{kind}")(42, b"12345")

        assert getattr(sent, kind).file_size == 5

    async def test_an_album(self, bot: telegram.Bot) -> None:
        first = await bot.send_photo(42, PNG, caption="x")
        sent = await bot.send_media_group(
            42, [telegram.InputMediaPhoto(PNG), telegram.InputMediaPhoto(first.photo[0].file_id)]
        )

        assert [message.message_id for message in sent] == [2, 3]

    async def test_the_others(self, bot: telegram.Bot) -> None:
        poll = await bot.send_poll(42, "Tea?", ["Yes", "No"])
        dice = await bot.send_dice(42)
        venue = await bot.send_venue(42, 1.5, 2.5, "Office", "Street 1")
        contact = await bot.send_contact(42, "+49", "Ada")
        location = await bot.send_location(42, 1.5, 2.5)

        assert poll.poll is not None
        assert [option.text for option in poll.poll.options] == ["Yes", "No"]
        assert dice.dice is not None
        assert venue.venue is not None
        assert contact.contact is not None
        assert location.location is not None
        assert await bot.send_chat_action(42, "typing")
        assert (await bot.get_chat("@news")).type == "channel"
        assert (await bot.get_chat(-5)).type == "group"
        assert bot.id == 4242

    async def test_refusals_have_their_own_exceptions(
        self, emulator: Emulator, bot: telegram.Bot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Without it this client warns that its number of seconds will be a timedelta.
        monkeypatch.setenv("PTB_TIMEDELTA", "true")
        emulator.script(LIMITED, BLOCKED)

        with pytest.raises(BadRequest, match="Message text is empty"):
            await bot.send_message(42, "")
        with pytest.raises(RetryAfter) as limited:
            await bot.send_dice(42)
        with pytest.raises(Forbidden, match="bot was blocked by the user"):
            await bot.send_poll(42, "?", ["a", "b"])
        stranger = telegram_bot(emulator, OTHER_TOKEN)
        with pytest.raises(InvalidToken):
            await stranger.get_me()
        await stranger.request.shutdown()

        assert limited.value.retry_after == timedelta(seconds=7)
