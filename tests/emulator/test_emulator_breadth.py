"""How much of the Bot API there is: each method that the clients know is there, or is named with why it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiogram
import pytest
import pytest_asyncio
import telegram
from aiogram import methods, types
from aiogram.exceptions import TelegramBadRequest
from emulator_client import PNG, TOKEN, StoppedClock, aiogram_bot, running

from dovecote.emulator import Emulator
from dovecote.emulator.methods import METHODS
from dovecote.emulator.methods.lacking import LACKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FAMILIES = ("send", "edit", "delete", "copy", "forward", "pin", "unpin", "stop")
IMPLEMENTED = {method.name for method in METHODS.values()}
GROUP = -1000000000005
PHOTO = types.BufferedInputFile(PNG, "a.png")
FILM = types.BufferedInputFile(b"film", "a.mp4")
PRICES = [types.LabeledPrice(label="Tea", amount=300), types.LabeledPrice(label="Cup", amount=200)]


def known_to_aiogram() -> set[str]:
    """The Bot API's methods, as aiogram names them."""
    classes = [getattr(methods, name) for name in methods.__all__]
    return {one.__api_method__ for one in classes if isinstance(getattr(one, "__api_method__", None), str)}


def known_to_python_telegram_bot() -> set[str]:
    """The same of python-telegram-bot, whose methods have a second name in Telegram's spelling."""
    by_name = {name for name in vars(telegram.Bot) if not name.startswith("_") and name != name.lower()}
    return {name for name in by_name if callable(getattr(telegram.Bot, name))}


class TestTheList:
    def test_every_method_is_there_or_is_named_with_its_reason(self) -> None:
        known = known_to_aiogram()

        assert len(known) > 180
        assert known - IMPLEMENTED == LACKING.keys()
        assert not IMPLEMENTED - known

    def test_the_other_client_knows_no_more(self) -> None:
        assert len(known_to_python_telegram_bot()) > 150
        assert not known_to_python_telegram_bot() - IMPLEMENTED - LACKING.keys()

    def test_nothing_lacks_of_sending_editing_deleting_copying_forwarding_and_pinning(self) -> None:
        assert [name for name in LACKING if name.startswith(FAMILIES) or "media" in name.lower()] == []

    async def test_the_answer_says_that_it_is_the_emulator_that_lacks_it(self) -> None:
        async with running() as telegram_:
            status, body = await telegram_.post("UPGRADEGIFT", owned_gift_id="1")
            unknown = await telegram_.post("sendCarrierPigeon")

        assert (status, body["error_code"]) == (404, 404)
        assert body["description"].startswith("Not Found: method not found in Dovecote's emulator: its gifts stay")
        assert unknown[1]["description"] == "Not Found: method not found"


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(tokens=[TOKEN], seed=1) as emulator:
        yield emulator


class TestSending:
    """What aiogram's own types make of the answers."""

    async def test_files_of_every_kind(self, bot: aiogram.Bot) -> None:
        round_film = await bot.send_video_note(42, FILM, length=240, duration=3)
        moving = await bot.send_live_photo(42, FILM, PHOTO, caption="It moves")
        paid = await bot.send_paid_media(
            42, 5, [types.InputPaidMediaPhoto(media=PHOTO), types.InputPaidMediaVideo(media=FILM)], caption="Pay"
        )

        assert round_film.video_note is not None
        assert (round_film.video_note.length, round_film.video_note.duration) == (240, 3)
        assert moving.live_photo is not None
        assert moving.live_photo.photo is not None
        assert moving.live_photo.photo[-1].width == 640
        assert moving.caption == "It moves"
        assert paid.paid_media is not None
        assert paid.paid_media.star_count == 5
        assert [item.type for item in paid.paid_media.paid_media] == ["photo", "video"]

    async def test_a_bill_and_its_payment(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        bill = await bot.send_invoice(42, "Tea", "A pot", "order-17", "XTR", PRICES)
        emulator.update(
            {
                "pre_checkout_query": {
                    "id": "31",
                    "from": {"id": 42, "is_bot": False, "first_name": "Ada"},
                    "currency": "XTR",
                    "total_amount": 500,
                    "invoice_payload": "order-17",
                }
            }
        )
        (update,) = await bot.get_updates()

        assert bill.invoice is not None
        assert bill.invoice.total_amount == 500
        assert update.pre_checkout_query is not None
        assert await bot.answer_pre_checkout_query(update.pre_checkout_query.id, ok=True)
        with pytest.raises(aiogram.exceptions.TelegramBadRequest, match="query is too old"):
            await bot.answer_pre_checkout_query("32", ok=True)

    async def test_another_file(self, bot: aiogram.Bot) -> None:
        sent = await bot.send_photo(42, PHOTO, caption="Before")
        edited = await bot.edit_message_media(
            types.InputMediaVideo(media=FILM, caption="<i>After</i>", parse_mode="HTML"),
            chat_id=42,
            message_id=sent.message_id,
        )

        assert isinstance(edited, types.Message)
        assert edited.photo is None
        assert edited.video is not None
        assert (edited.caption, edited.message_id) == ("After", sent.message_id)

    async def test_a_place_that_moves(self, bot: aiogram.Bot) -> None:
        sent = await bot.send_location(42, 1.5, 2.5, live_period=600)
        moved = await bot.edit_message_live_location(1.75, 2.5, chat_id=42, message_id=sent.message_id, heading=90)
        stopped = await bot.stop_message_live_location(chat_id=42, message_id=sent.message_id)

        assert isinstance(moved, types.Message)
        assert moved.location is not None
        assert (moved.location.latitude, moved.location.live_period, moved.location.heading) == (1.75, 600, 90)
        assert isinstance(stopped, types.Message)
        assert stopped.location is not None
        assert (stopped.location.latitude, stopped.location.live_period) == (1.75, None)

    async def test_a_poll_ends_with_what_was_voted(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        sent = await bot.send_poll(42, "Tea?", ["Yes", "No"])
        emulator.user(43).votes(sent.message_id, 0, chat=42)
        poll = await bot.stop_poll(42, sent.message_id)

        assert poll.is_closed
        assert [option.voter_count for option in poll.options] == [1, 0]
        with pytest.raises(aiogram.exceptions.TelegramBadRequest, match="poll has already been closed"):
            await bot.stop_poll(42, sent.message_id)

    async def test_pins(self, bot: aiogram.Bot) -> None:
        first, second = [await bot.send_message(42, text) for text in ("1", "2")]
        await bot.pin_chat_message(42, first.message_id)
        await bot.pin_chat_message(42, second.message_id)
        shown = (await bot.get_chat(42)).pinned_message
        await bot.unpin_chat_message(42)
        then = (await bot.get_chat(42)).pinned_message
        await bot.unpin_all_chat_messages(42)

        assert (shown and shown.message_id, then and then.message_id) == (2, 1)
        assert (await bot.get_chat(42)).pinned_message is None
        with pytest.raises(aiogram.exceptions.TelegramBadRequest, match="message to unpin not found"):
            await bot.unpin_chat_message(42)

    async def test_a_topics_pins_are_its_own(self, bot: aiogram.Bot) -> None:
        topic = await bot.create_forum_topic(GROUP, "Orders")
        inside = await bot.send_message(GROUP, "1", message_thread_id=topic.message_thread_id)
        outside = await bot.send_message(GROUP, "2")
        for message in (inside, outside):
            await bot.pin_chat_message(GROUP, message.message_id)
        await bot.unpin_all_general_forum_topic_messages(GROUP)
        assert ((await bot.get_chat(GROUP)).pinned_message or outside).message_id == inside.message_id
        await bot.unpin_all_forum_topic_messages(GROUP, topic.message_thread_id)
        assert (await bot.get_chat(GROUP)).pinned_message is None

        await bot.delete_forum_topic(GROUP, topic.message_thread_id)
        with pytest.raises(aiogram.exceptions.TelegramBadRequest, match="message thread not found"):
            await bot.send_message(GROUP, "3", message_thread_id=topic.message_thread_id)

    async def test_a_reaction(self, bot: aiogram.Bot) -> None:
        sent = await bot.send_message(42, "1")

        assert await bot.set_message_reaction(42, sent.message_id, [types.ReactionTypeEmoji(emoji="❤️")])
        assert await bot.set_message_reaction(42, sent.message_id, [])
        with pytest.raises(aiogram.exceptions.TelegramBadRequest, match="REACTION_INVALID"):
            await bot.set_message_reaction(42, sent.message_id, [types.ReactionTypeEmoji(emoji="🫖")])


LOCATED = {"latitude": 1.5, "longitude": 2.5}
BILL = {"title": "Tea", "description": "A pot", "payload": "x", "currency": "XTR"}
PRICE = [{"label": "Tea", "amount": 300}]


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "parameters", "words"),
        [
            ("sendVideoNote", {}, "there is no video_note in the request"),
            ("sendPaidMedia", {"star_count": 5, "media": [{"type": "audio", "media": "x"}]}, 'type "audio" is unsupp'),
            ("sendPaidMedia", {"star_count": 5, "media": []}, "there are no media to send"),
            ("sendInvoice", {**BILL, "prices": "["}, "can't parse prices JSON object"),
            ("sendInvoice", {**BILL, "prices": [{"label": "Tea"}]}, "can't parse labeled price: Can't find field"),
            ("sendInvoice", {**BILL, "prices": []}, "PRICES_INVALID"),
            ("sendInvoice", {**BILL, "currency": "EUR", "prices": PRICE}, "PAYMENT_PROVIDER_INVALID"),
            ("sendInvoice", {**BILL, "title": "", "prices": PRICE}, 'parameter "title" is required'),
            ("sendMessageDraft", {"text": "x"}, "DRAFT_ID_INVALID"),
            ("sendMessage", {"text": "x", "business_connection_id": "7"}, "business connection not found"),
            ("sendMessage", {"text": "x", "receiver_user_id": 7}, "ephemeral messages can be sent to groups and"),
            ("editMessageMedia", {"message_id": 1}, "input media is not specified"),
            ("editMessageMedia", {"message_id": 1, "media": {"type": "photo", "media": "x" * 30}}, "there is no media"),
            ("editMessageMedia", {"message_id": 1, "media": {"type": "sticker", "media": "x"}}, "is unsupported"),
            ("editMessageLiveLocation", {"message_id": 1, **LOCATED}, "there is no live location in the message"),
            ("editMessageLiveLocation", {"message_id": 9, **LOCATED}, "message to edit not found"),
            ("stopMessageLiveLocation", {"message_id": 1}, "there is no live location in the message to edit"),
            ("stopPoll", {"message_id": 1}, "message is not a poll"),
            ("stopPoll", {"message_id": 9}, "message with poll to stop not found"),
            ("setMessageReaction", {"message_id": 9}, "message to react not found"),
            ("answerInlineQuery", {"inline_query_id": "1", "results": "x"}, "can't parse inline query results JSON"),
            ("answerInlineQuery", {"inline_query_id": "1", "results": [{"id": ""}]}, "RESULT_ID_INVALID"),
            ("answerInlineQuery", {"inline_query_id": "1", "results": []}, "query is too old"),
            ("getChatMember", {"user_id": 0}, "invalid user_id specified"),
            ("getChatAdministrators", {}, "there are no administrators in the private chat"),
            ("promoteChatMember", {"chat_id": -5, "user_id": 1}, "available for supergroup and channel chats only"),
            ("restrictChatMember", {"chat_id": -5, "user_id": 1, "permissions": {}}, "available only for supergroups"),
            ("setChatAdministratorCustomTitle", {"chat_id": GROUP, "user_id": 1}, "user is not an administrator"),
            ("setChatTitle", {"chat_id": -5, "title": " "}, "title must be non-empty"),
            ("setChatDescription", {"chat_id": -5}, "chat description is not modified"),
            ("setMyCommands", {"commands": "["}, "can't parse commands JSON object"),
            ("setMyCommands", {"commands": [{"command": "Go", "description": "x"}]}, "BOT_COMMAND_INVALID"),
            ("setMyCommands", {"commands": [{"command": "go"}]}, "can't parse BotCommand: Can't find field \"descr"),
            ("setMyCommands", {"commands": [], "scope": {"type": "moon"}}, "unsupported type specified"),
            ("createForumTopic", {"chat_id": -5, "name": "x"}, "the chat is not a forum"),
            ("editChatInviteLink", {"chat_id": -5, "invite_link": "x"}, "INVITE_HASH_EXPIRED"),
            ("leaveChat", {}, "chat member status can't be changed in private chats"),
        ],
    )
    async def test_refusals(self, method: str, parameters: dict[str, Any], words: str) -> None:
        async with running(tokens=[TOKEN]) as api:
            await api.result("sendMessage", chat_id=42, text="the first")

            assert words in await api.refusal(method, **{"chat_id": 42, **parameters})


class TestOfItself:
    async def test_commands_are_kept_by_scope_and_language(self, bot: aiogram.Bot) -> None:
        start, stop = [types.BotCommand(command=name, description=name.title()) for name in ("start", "stop")]
        scope = types.BotCommandScopeChat(chat_id=42)
        await bot.set_my_commands([start, stop])
        await bot.set_my_commands([stop], scope=scope, language_code="de")

        async def names(**where: Any) -> list[str]:
            return [command.command for command in await bot.get_my_commands(**where)]

        assert await names() == ["start", "stop"]
        assert await names(scope=scope) == []
        assert await names(scope=scope, language_code="de") == ["stop"]
        await bot.delete_my_commands()
        assert await names() == []

    async def test_names_descriptions_buttons_rights_and_pictures(self, bot: aiogram.Bot) -> None:
        await bot.set_my_name("Dove")
        await bot.set_my_description("Brings news", language_code="de")
        await bot.set_my_short_description("News")
        await bot.set_chat_menu_button(42, types.MenuButtonDefault())
        await bot.set_my_default_administrator_rights()
        await bot.set_my_profile_photo(types.InputProfilePhotoStatic(photo=PHOTO))

        assert (await bot.get_my_name(language_code="fr")).name == "Dove"
        assert [(await bot.get_my_description(language_code=code)).description for code in ("de", "en")] == [
            "Brings news",
            "",
        ]
        assert (await bot.get_my_short_description()).short_description == "News"
        assert (await bot.get_chat_menu_button(42)).type == "commands"
        assert not (await bot.get_my_default_administrator_rights()).can_delete_messages
        assert (await bot.get_user_profile_photos(4242)).total_count == 1
        assert (await bot.get_user_profile_photos(42)).total_count == 0


class TestGroups:
    async def test_members(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        emulator.user(42, first_name="Ada").joins(GROUP)
        emulator.user(43).joins(GROUP)
        await bot.promote_chat_member(GROUP, 42, can_pin_messages=True)
        await bot.set_chat_administrator_custom_title(GROUP, 42, "Boss")
        await bot.restrict_chat_member(GROUP, 43, types.ChatPermissions(can_send_messages=True))

        ada = await bot.get_chat_member(GROUP, 42)
        assert isinstance(ada, types.ChatMemberAdministrator)
        assert (ada.user.first_name, ada.custom_title, ada.can_pin_messages) == ("Ada", "Boss", True)
        restricted = await bot.get_chat_member(GROUP, 43)
        assert isinstance(restricted, types.ChatMemberRestricted)
        assert (restricted.can_send_messages, restricted.can_send_polls) == (True, False)
        assert [one.user.id for one in await bot.get_chat_administrators(GROUP)] == [42, 4242]
        assert await bot.get_chat_member_count(GROUP) == 3
        await bot.ban_chat_member(GROUP, 43)
        assert (await bot.get_chat_member(GROUP, 43)).status == "kicked"
        await bot.unban_chat_member(GROUP, 43)
        assert (await bot.get_chat_member(GROUP, 43)).status == "left"
        await bot.leave_chat(GROUP)
        with pytest.raises(aiogram.exceptions.TelegramForbiddenError, match="bot is not a member of the supergroup"):
            await bot.send_message(GROUP, "hello")

    async def test_what_a_group_is_called_and_who_may_come(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        await bot.set_chat_title(GROUP, "Team")
        await bot.set_chat_description(GROUP, "Ours")
        await bot.set_chat_photo(GROUP, PHOTO)
        link = await bot.create_chat_invite_link(GROUP, name="Door", creates_join_request=True)
        emulator.user(44).asks_to_join(GROUP)
        (request,) = await bot.get_updates()

        chat = await bot.get_chat(GROUP)
        assert (chat.title, chat.description) == ("Team", "Ours")
        assert chat.photo is not None
        assert link.name == "Door"
        assert (await bot.revoke_chat_invite_link(GROUP, link.invite_link)).is_revoked
        assert request.chat_join_request is not None
        assert request.chat_join_request.from_user.id == 44
        assert await bot.approve_chat_join_request(GROUP, 44)
        assert (await bot.get_chat_member(GROUP, 44)).status == "member"


class TestJoinQueries:
    async def test_a_bot_decides_at_once_or_after_a_mini_app(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        first = emulator.user(44).asks_to_join(GROUP, query=True).query_id
        second = emulator.user(45).asks_to_join(GROUP, query=True).query_id
        asked = [update.chat_join_request for update in await bot.get_updates()]
        assert await bot.send_chat_join_request_web_app(second, "https://example.com/join")
        assert await bot.answer_chat_join_request_query(first, "approve")
        assert await bot.answer_chat_join_request_query(second, "decline")

        assert [request.query_id for request in asked if request] == [first, second]
        assert (await bot.get_chat_member(GROUP, 44)).status == "member"
        assert (await bot.get_chat_member(GROUP, 45)).status == "left"

    async def test_ten_seconds_are_given_and_an_answer_is_the_only_one(self) -> None:
        clock = StoppedClock()
        async with Emulator(tokens=[TOKEN], clock=clock) as emulator, aiogram_bot(emulator) as bot:
            late = emulator.user(44).asks_to_join(GROUP, query=True).query_id
            shown = emulator.user(45).asks_to_join(GROUP, query=True).query_id
            with pytest.raises(TelegramBadRequest, match="query result specified"):
                await bot.answer_chat_join_request_query(shown, "perhaps")
            with pytest.raises(TelegramBadRequest, match="Only HTTPS links are allowed"):
                await bot.send_chat_join_request_web_app(shown, "http://example.com/join")
            assert await bot.send_chat_join_request_web_app(shown, "https://example.com/join")
            clock.advance(11)
            with pytest.raises(TelegramBadRequest, match="query is too old and response timeout expired"):
                await bot.answer_chat_join_request_query(late, "approve")
            assert await bot.answer_chat_join_request_query(shown, "queue")
            with pytest.raises(TelegramBadRequest, match="query is too old and response timeout expired"):
                await bot.answer_chat_join_request_query(shown, "approve")


async def test_a_subscription_that_was_paid_with_stars_is_edited() -> None:
    clock = StoppedClock()
    async with Emulator(tokens=[TOKEN], clock=clock) as emulator, aiogram_bot(emulator) as bot:
        paid = {"currency": "XTR", "total_amount": 5, "invoice_payload": "tea", "provider_payment_charge_id": "p"}
        paid |= {"telegram_payment_charge_id": "c", "subscription_expiration_date": int(clock.time()) + 60}
        emulator.user(44).writes("", successful_payment=paid)

        assert await bot.edit_user_star_subscription(44, "c", is_canceled=True)
        for user, charge in ((45, "c"), (44, "d")):
            with pytest.raises(TelegramBadRequest, match="CHARGE_ID_INVALID"):
                await bot.edit_user_star_subscription(user, charge, is_canceled=True)
        with pytest.raises(TelegramBadRequest, match="invalid user_id specified"):
            await bot.edit_user_star_subscription(0, "c", is_canceled=True)
        clock.advance(61)
        with pytest.raises(TelegramBadRequest, match="subscription is not active"):
            await bot.edit_user_star_subscription(44, "c", is_canceled=True)


async def test_python_telegram_bot_reads_them_as_well() -> None:
    async with (
        Emulator(tokens=[TOKEN]) as emulator,
        telegram.Bot(TOKEN, base_url=f"{emulator.url}/bot", base_file_url=f"{emulator.url}/file/bot") as bot,
    ):
        note = await bot.send_video_note(42, b"film", length=240)
        photo = await bot.send_photo(42, PNG, filename="a.png")
        edited = await bot.edit_message_media(telegram.InputMediaDocument(b"%PDF", filename="a.pdf"), 42, 2)
        poll = await bot.send_poll(42, "Tea?", ["Yes", "No"])
        bill = await bot.send_invoice(42, "Tea", "A pot", "x", "XTR", [telegram.LabeledPrice("Tea", 500)])
        await bot.set_my_commands([("start", "Begin")])

        assert note.video_note is not None
        assert photo.message_id == 2
        assert isinstance(edited, telegram.Message)
        assert edited.document is not None
        assert (await bot.stop_poll(42, poll.message_id)).is_closed
        assert bill.invoice is not None
        assert bill.invoice.total_amount == 500
        assert [command.command for command in await bot.get_my_commands()] == ["start"]
        assert (await bot.get_chat_member(-5, 4242)).status == "administrator"
        assert (await bot.get_webhook_info()).url == ""
        assert (await bot.get_user_profile_photos(42)).total_count == 0
