"""Business accounts, their chats and checklists, and games: what the clients that bots use make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiogram
import pytest
import pytest_asyncio
import telegram
from aiogram import types
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from emulator_client import PNG, TOKEN, StoppedClock, running, telegram_bot

from dovecote.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dovecote.emulator.user import User

SHOP, ADA = 7, 42
TASKS = [types.InputChecklistTask(id=1, text="Wash"), types.InputChecklistTask(id=2, text="<b>Dry</b>")]


@pytest_asyncio.fixture
async def clock() -> StoppedClock:
    return StoppedClock()


@pytest_asyncio.fixture
async def emulator(clock: StoppedClock) -> AsyncIterator[Emulator]:
    async with Emulator(tokens=[TOKEN], clock=clock) as emulator:
        yield emulator


@pytest.fixture
def ada(emulator: Emulator) -> User:
    return emulator.user(ADA, first_name="Ada")


@pytest.fixture
def account(emulator: Emulator, ada: User) -> str:
    """The bot is connected to the shop's account, and Ada has written there."""
    connection = emulator.user(SHOP, first_name="Shop").connects().connection_id
    ada.writes("Is it open?", business=SHOP)
    return connection


class TestAccounts:
    async def test_the_bot_is_told_of_connections(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        emulator.user(SHOP, first_name="Shop").connects(rights=["can_reply"])
        emulator.user(SHOP).disconnects()
        connected, ended = [update.business_connection for update in await bot.get_updates()]

        assert connected is not None
        assert (connected.user.first_name, connected.is_enabled) == ("Shop", True)
        assert connected.rights is not None
        assert (connected.rights.can_reply, connected.rights.can_read_messages) == (True, None)
        assert ended is not None
        assert not ended.is_enabled
        assert not (await bot.get_business_connection(connected.id)).is_enabled

    async def test_a_chat_of_the_account_is_another_than_the_bots_own(
        self, emulator: Emulator, bot: aiogram.Bot, ada: User, account: str
    ) -> None:
        ada.writes("To the bot itself")
        answer = await bot.send_message(ADA, "Until six", business_connection_id=account)
        photo = types.BufferedInputFile(PNG, "a.png")
        album: list[Any] = [types.InputMediaPhoto(media=photo), types.InputMediaPhoto(media=photo)]
        await bot.send_media_group(ADA, album, business_connection_id=account)

        assert answer.from_user is not None
        assert answer.from_user.first_name == "Shop"
        assert answer.sender_business_bot is not None
        assert answer.sender_business_bot.id == 4242
        assert answer.business_connection_id == account
        there = emulator.messages(ADA, business=SHOP)
        assert [message.get("text", "photo") for message in there] == ["Is it open?", "Until six", "photo", "photo"]
        assert [message["text"] for message in emulator.messages(ADA)] == ["To the bot itself"]

    async def test_what_people_do_there(self, emulator: Emulator, bot: aiogram.Bot, ada: User, account: str) -> None:
        yes = types.InlineKeyboardButton(text="Yes", callback_data="yes")
        asked = await bot.send_message(
            ADA,
            "A table?",
            business_connection_id=account,
            reply_markup=types.InlineKeyboardMarkup(inline_keyboard=[[yes]]),
        )
        ada.presses(asked.message_id, "yes", business=SHOP)
        ada.edits(1, "Is it open today?", business=SHOP)
        emulator.user(SHOP).writes("I am here myself", chat=ADA, business=SHOP)
        ada.deletes(1, business=SHOP)
        _, wrote, pressed, edited, owner, deleted = await bot.get_updates()

        assert wrote.business_message is not None
        assert wrote.business_message.text == "Is it open?"
        assert pressed.callback_query is not None
        assert isinstance(pressed.callback_query.message, types.Message)
        assert pressed.callback_query.message.business_connection_id == account
        assert edited.edited_business_message is not None
        assert edited.edited_business_message.text == "Is it open today?"
        assert owner.business_message is not None
        assert owner.business_message.from_user is not None
        assert (owner.business_message.from_user.id, owner.business_message.chat.id) == (SHOP, ADA)
        assert deleted.deleted_business_messages is not None
        assert deleted.deleted_business_messages.message_ids == [1]

    async def test_messages_are_changed_pinned_read_and_deleted(
        self, emulator: Emulator, bot: aiogram.Bot, account: str
    ) -> None:
        sent = await bot.send_message(ADA, "Until six", business_connection_id=account)
        where = {"chat_id": ADA, "message_id": sent.message_id, "business_connection_id": account}
        edited = await bot.edit_message_text("Until seven", **where)  # type: ignore[arg-type]  # numbers and a text
        assert isinstance(edited, types.Message)
        assert edited.text == "Until seven"
        assert await bot.pin_chat_message(**where)  # type: ignore[arg-type]  # as above
        assert await bot.unpin_chat_message(**where)  # type: ignore[arg-type]  # as above
        assert await bot.read_business_message(account, ADA, 1)
        with pytest.raises(TelegramBadRequest, match="message can't be edited"):
            await bot.edit_message_text("Mine?", chat_id=ADA, message_id=1, business_connection_id=account)
        assert await bot.delete_business_messages(account, [1, sent.message_id])
        assert emulator.messages(ADA, business=SHOP) == []

    async def test_the_bot_does_no_more_than_it_may(self, emulator: Emulator, bot: aiogram.Bot, ada: User) -> None:
        rights = ["can_reply", "can_delete_sent_messages"]
        account = emulator.user(SHOP).connects(rights=rights).connection_id
        ada.writes("Is it open?", business=SHOP)
        sent = await bot.send_message(ADA, "Until six", business_connection_id=account)

        for call in (
            bot.read_business_message(account, ADA, 1),
            bot.delete_business_messages(account, [1]),
            bot.set_business_account_bio(account, "Open"),
            bot.set_business_account_name(account, "Tea"),
        ):
            with pytest.raises(TelegramForbiddenError, match="BOT_ACCESS_FORBIDDEN"):
                await call
        assert await bot.delete_business_messages(account, [sent.message_id])

    async def test_a_chat_that_is_still_for_a_day(
        self, clock: StoppedClock, bot: aiogram.Bot, ada: User, account: str
    ) -> None:
        clock.advance(24 * 3600 + 1)
        with pytest.raises(TelegramBadRequest, match="BUSINESS_PEER_USAGE_MISSING"):
            await bot.send_message(ADA, "Until six", business_connection_id=account)
        ada.writes("Hello?", business=SHOP)

        assert (await bot.send_message(ADA, "Until six", business_connection_id=account)).text == "Until six"

    async def test_where_it_cannot_write(self, emulator: Emulator, bot: aiogram.Bot, account: str) -> None:
        for chat, words in ((-5, "chat must be a private chat"), (SHOP, "messages must not be sent to self")):
            with pytest.raises(TelegramBadRequest, match=words):
                await bot.send_message(chat, "x", business_connection_id=account)
        with pytest.raises(TelegramBadRequest, match="BUSINESS_PEER_USAGE_MISSING"):
            await bot.send_message(43, "x", business_connection_id=account)
        with pytest.raises(TelegramBadRequest, match="business connection not found"):
            await bot.send_message(ADA, "x", business_connection_id="another")
        emulator.user(SHOP).disconnects()
        with pytest.raises(TelegramBadRequest, match="BUSINESS_CONNECTION_INVALID"):
            await bot.send_message(ADA, "x", business_connection_id=account)

    async def test_the_profile(self, bot: aiogram.Bot, account: str) -> None:
        await bot.set_business_account_name(account, "Tea", last_name="House")
        await bot.set_business_account_username(account, "tea_house")
        await bot.set_business_account_bio(account, "Open")
        picture = types.InputProfilePhotoStatic(photo=types.BufferedInputFile(PNG, "a.png"))
        await bot.set_business_account_profile_photo(account, picture)
        accepted = types.AcceptedGiftTypes(
            unlimited_gifts=True,
            limited_gifts=False,
            unique_gifts=False,
            premium_subscription=False,
            gifts_from_channels=False,
        )
        await bot.set_business_account_gift_settings(account, show_gift_button=True, accepted_gift_types=accepted)
        shop = await bot.get_chat(SHOP)

        assert (shop.first_name, shop.last_name, shop.username, shop.bio) == ("Tea", "House", "tea_house", "Open")
        assert not shop.accepted_gift_types.limited_gifts
        assert (await bot.get_user_profile_photos(SHOP)).total_count == 1
        await bot.remove_business_account_profile_photo(account)
        assert (await bot.get_user_profile_photos(SHOP)).total_count == 0
        assert (await bot.get_business_account_star_balance(account)).amount == 0
        with pytest.raises(TelegramBadRequest, match="BALANCE_TOO_LOW"):
            await bot.transfer_business_account_stars(account, 5)

    async def test_what_cannot_happen(self, emulator: Emulator, ada: User) -> None:
        with pytest.raises(ValueError, match="business 7: bot 4242 is not connected"):
            ada.writes("Is it open?", business=SHOP)
        with pytest.raises(ValueError, match="rights can_fly: use those of can_reply"):
            emulator.user(SHOP).connects(rights=["can_fly"])
        emulator.user(SHOP).connects()
        with pytest.raises(ValueError, match="name the person whom 7 talks to"):
            emulator.user(SHOP).writes("To myself", business=SHOP)
        with pytest.raises(ValueError, match="7 and 43 are alone in that chat"):
            ada.writes("Hello", chat=43, business=SHOP)
        with pytest.raises(ValueError, match="message_id 5: chat 42 of 7's account has no such message"):
            ada.deletes(5, business=SHOP)


class TestChecklists:
    async def test_one_is_sent_ticked_off_and_changed(
        self, emulator: Emulator, bot: aiogram.Bot, ada: User, account: str
    ) -> None:
        tasks = [TASKS[0], TASKS[1].model_copy(update={"parse_mode": "HTML"})]
        given = types.InputChecklist(title="Cups", tasks=tasks, others_can_mark_tasks_as_done=True)
        sent = await bot.send_checklist(account, ADA, given)
        ada.ticks(sent.message_id, 2, business=SHOP)
        told = (await bot.get_updates())[-1].business_message
        changed = types.InputChecklist(title="Cups", tasks=[tasks[1], types.InputChecklistTask(id=3, text="Shelve")])
        edited = await bot.edit_message_checklist(account, ADA, sent.message_id, changed)

        assert sent.checklist is not None
        assert [task.text for task in sent.checklist.tasks] == ["Wash", "Dry"]
        assert sent.checklist.tasks[1].text_entities is not None
        assert told is not None
        assert told.checklist_tasks_done is not None
        assert told.checklist_tasks_done.marked_as_done_task_ids == [2]
        assert edited.checklist is not None
        assert [(task.id, task.completed_by_user is not None) for task in edited.checklist.tasks] == [
            (2, True),
            (3, False),
        ]
        with pytest.raises(ValueError, match="others cannot mark tasks of this checklist as done"):
            ada.ticks(sent.message_id, 3, business=SHOP)
        emulator.user(SHOP).ticks(sent.message_id, 2, chat=ADA, business=SHOP, done=False)
        last = emulator.messages(ADA, business=SHOP)[-1]
        assert last["checklist_tasks_done"]["marked_as_not_done_task_ids"] == [2]

    @pytest.mark.parametrize(
        ("checklist", "words"),
        [
            ("", 'parameter "checklist" is required'),
            ("[", "can't parse input checklist JSON object"),
            ([], "can't parse InputChecklist: expected an Object"),
            ({"title": "x"}, "can't parse InputChecklist: Can't find field \"tasks\""),
            ({"title": "x", "tasks": []}, "too few checklist tasks specified"),
            ({"title": "x", "tasks": [{"id": n, "text": "x"} for n in range(1, 32)]}, "too many checklist tasks"),
            ({"title": "x", "tasks": [{"id": 1, "text": "x"}] * 2}, "checklist task identifiers must be unique"),
            ({"title": "x", "tasks": [{"id": 0, "text": "x"}]}, "checklist task identifier must be positive"),
            ({"title": "x" * 256, "tasks": []}, "checklist title length must not exceed 255"),
            ({"title": "x", "tasks": [{"id": 1, "text": " "}]}, "text must be non-empty"),
        ],
    )
    async def test_refusals(self, checklist: Any, words: str) -> None:
        async with running(tokens=[TOKEN]) as api:
            connection = api.emulator.user(SHOP).connects(bot=4242).connection_id
            api.emulator.user(ADA).writes("Hello", bot=4242, business=SHOP)
            given = {"business_connection_id": connection, "chat_id": ADA, "checklist": checklist}

            assert words in await api.refusal("sendChecklist", **given)

    async def test_without_an_account_there_is_none(self) -> None:
        async with running(tokens=[TOKEN]) as api:
            given: dict[str, Any] = {"chat_id": ADA, "checklist": {"title": "x", "tasks": [{"id": 1, "text": "x"}]}}

            assert await api.refusal("sendChecklist", **given) == "business connection not found"


async def test_python_telegram_bot_in_an_account(emulator: Emulator, ada: User, account: str) -> None:
    async with telegram_bot(emulator) as bot:
        _, wrote = await bot.get_updates()
        assert wrote.business_message is not None
        answer = await bot.send_message(ADA, "Until six", business_connection_id=account)
        tasks = [telegram.InputChecklistTask(1, "Wash"), telegram.InputChecklistTask(2, "Dry")]
        listed = await bot.send_checklist(account, ADA, telegram.InputChecklist("Cups", tasks))
        ada.writes("Thanks", business=SHOP)
        assert await bot.read_business_message(account, ADA, 1)
        assert await bot.delete_business_messages(account, [answer.message_id])
        connection = await bot.get_business_connection(account)

    assert answer.sender_business_bot is not None
    assert listed.checklist is not None
    assert [task.text for task in listed.checklist.tasks] == ["Wash", "Dry"]
    assert connection.rights is not None
    assert connection.rights.can_reply


async def test_the_control_api_connects_an_account() -> None:
    async with running(tokens=[TOKEN]) as api:
        events = [
            {"event": "connect", "user": SHOP, "bot": 4242},
            {"event": "message", "user": ADA, "text": "Hello", "business": SHOP, "bot": 4242},
        ]
        _, answer = await api.control("POST", "updates", events)
        account = answer["happened"][0]["connection_id"]
        await api.result("sendMessage", chat_id=ADA, text="Hi", business_connection_id=account)
        _, told = await api.control("GET", f"messages?chat={ADA}&business={SHOP}")

    assert [message["text"] for message in told["messages"]] == ["Hello", "Hi"]


class TestGames:
    async def test_one_is_played(self, bot: aiogram.Bot, ada: User) -> None:
        sent = await bot.send_game(ADA, "doves_race")
        ada.presses(sent.message_id, button="Play Doves Race")
        (update,) = await bot.get_updates()
        scores = {ADA: 5, 43: 9, 44: 7, 45: 6, 46: 1, 47: 3}
        for user, score in scores.items():
            edited = await bot.set_game_score(user, score, chat_id=ADA, message_id=sent.message_id)
        best = await bot.get_game_high_scores(ADA, chat_id=ADA, message_id=sent.message_id)
        worst = await bot.get_game_high_scores(46, chat_id=ADA, message_id=sent.message_id)

        assert sent.game is not None
        assert sent.game.title == "Doves Race"
        assert update.callback_query is not None
        assert update.callback_query.game_short_name == "doves_race"
        assert isinstance(edited, types.Message)
        assert edited.game is not None
        assert edited.game.text is not None
        assert edited.game.text.splitlines()[:2] == ["1. User 43: 9", "2. User 44: 7"]
        assert [(one.position, one.score) for one in best] == [(2, 7), (3, 6), (4, 5), (5, 3), (6, 1)]
        assert [(one.position, one.score) for one in worst] == [(1, 9), (2, 7), (3, 6), (4, 5), (5, 3), (6, 1)]
        assert await bot.delete_message(ADA, sent.message_id)

    async def test_a_score_gets_better_or_is_forced(self, bot: aiogram.Bot) -> None:
        sent = await bot.send_game(ADA, "doves_race")
        where: dict[str, Any] = {"chat_id": ADA, "message_id": sent.message_id}
        await bot.set_game_score(ADA, 5, **where)
        for score, force in ((5, False), (4, False), (5, True)):
            with pytest.raises(TelegramBadRequest, match="BOT_SCORE_NOT_MODIFIED"):
                await bot.set_game_score(ADA, score, force=force, **where)
        await bot.set_game_score(ADA, 4, force=True, disable_edit_message=True, **where)

        assert [one.score for one in await bot.get_game_high_scores(ADA, **where)] == [4]

    async def test_its_keyboard_begins_with_it(self, bot: aiogram.Bot) -> None:
        play = types.InlineKeyboardButton(text="Go", callback_game=types.CallbackGame())
        other = types.InlineKeyboardButton(text="Site", url="https://example.com/")
        keyboard = types.InlineKeyboardMarkup(inline_keyboard=[[play, other]])
        sent = await bot.send_game(ADA, "doves_race", reply_markup=keyboard)
        edited = await bot.edit_message_reply_markup(
            chat_id=ADA,
            message_id=sent.message_id,
            reply_markup=types.InlineKeyboardMarkup(inline_keyboard=[[play]]),
        )

        assert sent.reply_markup is not None
        assert [button.text for button in sent.reply_markup.inline_keyboard[0]] == ["Go", "Site"]
        assert isinstance(edited, types.Message)
        for row, words in (([other, play], "BUTTON_POS_INVALID"), ([other], "REPLY_MARKUP_GAME_EMPTY")):
            with pytest.raises(TelegramBadRequest, match=words):
                await bot.send_game(ADA, "doves_race", reply_markup=types.InlineKeyboardMarkup(inline_keyboard=[row]))

    async def test_python_telegram_bot(self, emulator: Emulator) -> None:
        async with telegram_bot(emulator) as bot:
            sent = await bot.send_game(ADA, "doves_race")
            await bot.set_game_score(ADA, 5, chat_id=ADA, message_id=sent.message_id)
            (best,) = await bot.get_game_high_scores(ADA, chat_id=ADA, message_id=sent.message_id)

        assert sent.game is not None
        assert (best.position, best.score) == (1, 5)

    @pytest.mark.parametrize(
        ("method", "parameters", "words"),
        [
            ("sendGame", {}, "game_short_name is empty"),
            ("sendGame", {"game_short_name": "a game"}, "wrong game short name specified"),
            ("setGameScore", {"score": 1, "message_id": 1}, "MESSAGE_ID_INVALID"),
            ("setGameScore", {"score": 1, "message_id": 9}, "message to set game score not found"),
            ("setGameScore", {"score": 1, "message_id": 2, "user_id": 0}, "invalid user_id specified"),
            ("setGameScore", {"score": -1, "message_id": 2}, "SCORE_INVALID"),
            ("getGameHighScores", {"message_id": 9}, "message with game high scores not found"),
            ("getGameHighScores", {"chat_id": "", "inline_message_id": "x"}, "MESSAGE_ID_INVALID"),
            ("getGameHighScores", {"chat_id": ""}, "message identifier is not specified"),
        ],
    )
    async def test_refusals(self, method: str, parameters: dict[str, Any], words: str) -> None:
        async with running(tokens=[TOKEN]) as api:
            await api.result("sendMessage", chat_id=ADA, text="no game")
            await api.result("sendGame", chat_id=ADA, game_short_name="doves_race")

            assert await api.refusal(method, **{"chat_id": ADA, "user_id": ADA, **parameters}) == words
