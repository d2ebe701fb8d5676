"""Messages of other kinds: those that one member sees; and stories and gifts, which are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiogram
import pytest
import pytest_asyncio
import telegram
from aiogram import types
from aiogram.exceptions import TelegramBadRequest
from emulator_client import PNG, TOKEN, aiogram_bot, running, telegram_bot
from telegram.error import BadRequest, Forbidden

from dovecote.emulator.ephemerals import KEPT, Ephemerals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dovecote.emulator import Emulator

ADA, SHOP = 42, 7
GROUP = -1000000000005
FOR_ADA = types.EphemeralMessageParameters(receiver_user_id=ADA)
PHOTO = types.BufferedInputFile(PNG, "a.png")
FILM = types.BufferedInputFile(b"film", "a.mp4")
YES = types.InlineKeyboardMarkup(inline_keyboard=[[types.InlineKeyboardButton(text="Yes", callback_data="yes")]])


class TestEphemeral:
    async def test_one_member_alone_sees_it(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        sent = await bot.send_message(GROUP, "Psst", ephemeral_message_parameters=FOR_ADA, reply_markup=YES)
        await bot.send_message(GROUP, "All hear this")

        assert sent.receiver_user is not None
        assert (sent.message_id, sent.ephemeral_message_id, sent.receiver_user.id) == (0, 1, ADA)
        assert [message["text"] for message in emulator.messages(GROUP, receiver=ADA)] == ["Psst"]
        assert [message["text"] for message in emulator.messages(GROUP)] == ["All hear this"]
        assert emulator.messages(GROUP, receiver=43) == []

    async def test_its_button_is_pressed_and_it_changes(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        await bot.send_message(GROUP, "Shall we?", ephemeral_message_parameters=FOR_ADA, reply_markup=YES)
        emulator.user(ADA).presses(1, "yes", chat=GROUP, ephemeral=True)
        (update,) = await bot.get_updates()
        assert update.callback_query is not None
        answered = types.EphemeralMessageParameters(receiver_user_id=ADA, callback_query_id=update.callback_query.id)
        await bot.send_photo(GROUP, PHOTO, caption="We shall", ephemeral_message_parameters=answered)
        assert await bot.edit_ephemeral_message_text(GROUP, ADA, 1, text="<b>We shall</b>", parse_mode="HTML")
        assert await bot.edit_ephemeral_message_reply_markup(GROUP, ADA, 1, reply_markup=YES)
        assert await bot.edit_ephemeral_message_caption(GROUP, ADA, 2, caption="Soon")
        assert await bot.edit_ephemeral_message_media(GROUP, ADA, 2, types.InputMediaVideo(media=FILM))
        first, second = emulator.messages(GROUP, receiver=ADA)

        assert isinstance(update.callback_query.message, types.Message)
        assert update.callback_query.message.ephemeral_message_id == 1
        assert (first["text"], first["entities"][0]["type"]) == ("We shall", "bold")
        assert first["reply_markup"]["inline_keyboard"][0][0]["text"] == "Yes"
        assert {"photo", "caption", "video"} & second.keys() == {"video"}
        assert await bot.delete_ephemeral_message(GROUP, ADA, 1)
        assert [message["ephemeral_message_id"] for message in emulator.messages(GROUP, receiver=ADA)] == [2]

    @pytest.mark.parametrize(
        ("method", "parameters", "words"),
        [
            ("sendMessage", {"chat_id": ADA, "text": "x"}, "ephemeral messages can be sent to groups and supergroups"),
            (
                "sendMessage",
                {"text": "x", "ephemeral_message_parameters": {"receiver_user_id": 0}},
                "invalid receiver_user_id specified",
            ),
            (
                "sendMessage",
                {"text": "x", "ephemeral_message_parameters": {"receiver_user_id": ADA, "callback_query_id": "7"}},
                "query is too old",
            ),
            ("editEphemeralMessageText", {"ephemeral_message_id": 1, "text": "x"}, "message is not modified"),
            ("editEphemeralMessageText", {"ephemeral_message_id": 9, "text": "x"}, "message to edit not found"),
            ("editEphemeralMessageText", {"ephemeral_message_id": 1}, "message text is empty"),
            ("editEphemeralMessageCaption", {"ephemeral_message_id": 1, "caption": "x"}, "there is no caption in the"),
            ("editEphemeralMessageMedia", {"ephemeral_message_id": 1}, "input media is not specified"),
            ("editEphemeralMessageReplyMarkup", {"ephemeral_message_id": 1}, "message is not modified"),
            ("deleteEphemeralMessage", {"ephemeral_message_id": 9}, "message to delete not found"),
            ("deleteEphemeralMessage", {"receiver_user_id": 0}, "invalid receiver_user_id specified"),
        ],
    )
    async def test_refusals(self, method: str, parameters: dict[str, Any], words: str) -> None:
        async with running(tokens=[TOKEN]) as api:
            await api.result("sendMessage", chat_id=GROUP, text="x", receiver_user_id=ADA)
            given: dict[str, Any] = {"chat_id": GROUP, "receiver_user_id": ADA, **parameters}

            assert (await api.refusal(method, **given)).startswith(words)

    def test_the_oldest_expire(self) -> None:
        ephemerals = Ephemerals()
        for _ in range(KEPT + 1):
            ephemerals.add((4242, GROUP, ADA), {})

        assert ephemerals.find((4242, GROUP, ADA), 1) is None
        assert ephemerals.find((4242, GROUP, ADA), 2) is not None


class TestStories:
    """Posted with python-telegram-bot: aiogram uploads no file for a story."""

    @pytest_asyncio.fixture
    async def bot(self, emulator: Emulator) -> AsyncIterator[telegram.Bot]:
        async with telegram_bot(emulator) as bot:
            yield bot

    async def test_one_is_posted_changed_posted_again_and_deleted(self, emulator: Emulator, bot: telegram.Bot) -> None:
        mine, other = [emulator.user(user).connects(bot=4242).connection_id for user in (SHOP, 8)]
        posted = await bot.post_story(mine, telegram.InputStoryContentPhoto(PNG), 6 * 3600, caption="Open")
        async with aiogram_bot(emulator) as other_client:
            again = await other_client.repost_story(other, SHOP, posted.id, 24 * 3600)
        edited = await bot.edit_story(mine, posted.id, telegram.InputStoryContentVideo(b"film"))

        assert (posted.chat.id, posted.id) == (SHOP, 1)
        assert (again.chat.id, again.id) == (8, 1)
        assert edited.id == posted.id
        with pytest.raises(BadRequest, match="Story_not_modified"):
            await bot.edit_story(mine, posted.id, telegram.InputStoryContentVideo(b"film"))
        assert await bot.delete_story(mine, posted.id)
        with pytest.raises(BadRequest, match="Story_id_invalid"):
            await bot.delete_story(mine, posted.id)

    async def test_refusals(self, emulator: Emulator, bot: telegram.Bot) -> None:
        mine = emulator.user(SHOP).connects(bot=4242).connection_id
        replying = emulator.user(8).connects(rights=["can_reply"], bot=4242).connection_id
        photo = telegram.InputStoryContentPhoto(PNG)
        with pytest.raises(BadRequest, match="Story_period_invalid"):
            await bot.post_story(mine, photo, 60)
        with pytest.raises(Forbidden, match="BOT_ACCESS_FORBIDDEN"):
            await bot.post_story(replying, photo, 6 * 3600)
        with pytest.raises(BadRequest, match="Business connection not found"):
            await bot.post_story("another", photo, 6 * 3600)
        with pytest.raises(BadRequest, match="Message caption is too long"):
            await bot.post_story(mine, photo, 6 * 3600, caption="x" * 2049)
        async with aiogram_bot(emulator) as other:
            with pytest.raises(TelegramBadRequest, match="photo must be uploaded as a new file"):
                await other.post_story(mine, types.InputStoryContentPhoto(photo="x" * 30), 6 * 3600)
            with pytest.raises(TelegramBadRequest, match="STORY_ID_INVALID"):
                await other.repost_story(mine, 9, 1, 6 * 3600)


class TestGifts:
    async def test_one_is_paid_for_and_somebody_has_it(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        gifts = (await bot.get_available_gifts()).gifts
        rose, cheap = gifts[3], gifts[0]
        with pytest.raises(TelegramBadRequest, match="BALANCE_TOO_LOW"):
            await bot.send_gift(rose.id, user_id=ADA)
        assert emulator.give_stars(60, bot=4242) == 60
        await bot.send_gift(cheap.id, user_id=ADA)
        await bot.send_gift(rose.id, user_id=ADA, text="<b>For you</b>", text_parse_mode="HTML")
        had = await bot.get_user_gifts(ADA)
        first = await bot.get_user_gifts(ADA, limit=1)

        assert (await bot.get_my_star_balance()).amount == 60 - rose.star_count - cheap.star_count
        assert had.total_count == 2
        assert isinstance(had.gifts[0], types.OwnedGiftRegular)
        assert (had.gifts[0].gift.id, had.gifts[0].text) == (rose.id, "For you")
        assert (len(first.gifts), first.next_offset) == (1, "1")
        assert (await bot.get_user_gifts(ADA, exclude_unlimited=True)).total_count == 0

    async def test_a_channel_and_an_account_have_theirs(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        account = emulator.user(SHOP).connects(bot=4242).connection_id
        emulator.give_stars(1050, bot=4242)
        gift = (await bot.get_available_gifts()).gifts[2].id
        await bot.send_gift(gift, chat_id="@news")
        await bot.send_gift(gift, user_id=SHOP)
        await bot.gift_premium_subscription(ADA, 3, 1000)

        assert (await bot.get_chat_gifts("@news")).total_count == 1
        assert (await bot.get_business_account_gifts(account)).total_count == 1
        emulator.user(ADA).writes("Thanks", bot=4242)
        assert (await bot.get_updates())[-1].message.from_user.is_premium  # type: ignore[union-attr]  # a message it is

    async def test_python_telegram_bot(self, emulator: Emulator) -> None:
        emulator.give_stars(100, bot=4242)
        async with telegram_bot(emulator) as bot:
            gift = (await bot.get_available_gifts()).gifts[0]
            assert await bot.send_gift(gift.id, user_id=ADA, text="For you")

            assert (await bot.get_my_star_balance()).amount == 100 - gift.star_count

    @pytest.mark.parametrize(
        ("method", "parameters", "words"),
        [
            ("sendGift", {"gift_id": "7", "user_id": ADA}, "STARGIFT_INVALID"),
            ("sendGift", {"gift_id": "5000000000000000001"}, "invalid user_id specified"),
            ("sendGift", {"gift_id": "5000000000000000001", "chat_id": GROUP}, "PEER_ID_INVALID"),
            ("sendGift", {"gift_id": "7", "user_id": ADA, "text": "x" * 129}, "message is too long"),
            (
                "sendGift",
                {"gift_id": "5000000000000000001", "user_id": ADA, "pay_for_upgrade": True},
                "STARGIFT_UPGRADE_UNAVAILABLE",
            ),
            ("giftPremiumSubscription", {"user_id": ADA, "month_count": 3, "star_count": 5}, "STARS_AMOUNT_INVALID"),
        ],
    )
    async def test_refusals(self, method: str, parameters: dict[str, Any], words: str) -> None:
        async with running(tokens=[TOKEN]) as api:
            assert await api.refusal(method, **parameters) == words

    async def test_the_control_api_gives_stars(self) -> None:
        async with running(tokens=[TOKEN]) as api:
            assert await api.control("POST", "stars?bot=4242&amount=5") == (200, {"stars": 5})
            assert (await api.control("POST", "stars?bot=4242"))[0] == 400
