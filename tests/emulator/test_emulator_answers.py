"""Every method that there is, called as aiogram calls it: the answer is what aiogram's own types take it for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiogram
import pytest
from aiogram import methods, types
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from emulator_client import PNG, TOKEN

from dovecote.emulator import Emulator
from dovecote.emulator.methods import METHODS

if TYPE_CHECKING:
    from aiogram.methods import TelegramMethod

GROUP = -1000000000005
# What is in the group before each call, by message id.
TEXT, PHOTO, PLACE, POLL, INVOICE = 1, 2, 3, 4, 5
PICTURE = types.BufferedInputFile(PNG, "a.png")
FILE = types.BufferedInputFile(b"12345", "a.bin")
TEXT_HERE = {"chat_id": GROUP, "message_id": TEXT}
MEMBER = {"chat_id": GROUP, "user_id": 42}
FROM = {"chat_id": 43, "from_chat_id": GROUP}
BILL: dict[str, Any] = {
    "title": "Tea",
    "description": "A pot",
    "payload": "x",
    "currency": "XTR",
    "prices": [types.LabeledPrice(label="Tea", amount=5)],
}
PERSON = {"id": 42, "is_bot": False, "first_name": "Ada"}
ADDRESS = dict.fromkeys(("country_code", "state", "city", "street_line1", "street_line2", "post_code"), "x")
QUERIES: list[dict[str, Any]] = [
    {"callback_query": {"id": "1", "from": PERSON, "chat_instance": "1", "data": "x"}},
    {"inline_query": {"id": "2", "from": PERSON, "query": "x", "offset": ""}},
    {"shipping_query": {"id": "3", "from": PERSON, "invoice_payload": "x", "shipping_address": ADDRESS}},
    {"pre_checkout_query": {"id": "4", "from": PERSON, "currency": "XTR", "total_amount": 5, "invoice_payload": "x"}},
]
ARTICLE = types.InlineQueryResultArticle(
    id="1", title="x", input_message_content=types.InputTextMessageContent(message_text="x")
)
TOPIC = {"chat_id": GROUP, "message_thread_id": 9}

SENT: dict[str, dict[str, Any]] = {
    "sendMessage": {"text": "x"},
    "sendMessageDraft": {"chat_id": 42, "draft_id": 1, "text": "x"},
    "sendPhoto": {"photo": PICTURE},
    "sendLivePhoto": {"live_photo": FILE, "photo": PICTURE},
    "sendDocument": {"document": FILE},
    "sendVideo": {"video": FILE},
    "sendVideoNote": {"video_note": FILE},
    "sendAudio": {"audio": FILE},
    "sendVoice": {"voice": FILE},
    "sendAnimation": {"animation": FILE},
    "sendSticker": {"sticker": FILE},
    "sendPaidMedia": {"star_count": 5, "media": [types.InputPaidMediaPhoto(media=PICTURE)]},
    "sendMediaGroup": {"media": [types.InputMediaDocument(media=FILE), types.InputMediaDocument(media=FILE)]},
    "sendLocation": {"latitude": 1.5, "longitude": 2.5},
    "sendVenue": {"latitude": 1.5, "longitude": 2.5, "title": "x", "address": "x"},
    "sendContact": {"phone_number": "+49", "first_name": "Ada"},
    "sendPoll": {"question": "?", "options": ["a", "b"]},
    "sendDice": {},
    "sendInvoice": BILL,
    "sendChatAction": {"action": "typing"},
    "copyMessage": {**FROM, "message_id": TEXT},
    "copyMessages": {**FROM, "message_ids": [TEXT, PHOTO]},
    "forwardMessage": {**FROM, "message_id": PHOTO},
    "forwardMessages": {**FROM, "message_ids": [PHOTO, INVOICE]},
}
CHANGED: dict[str, dict[str, Any]] = {
    "editMessageText": {**TEXT_HERE, "text": "y"},
    "editMessageCaption": {**TEXT_HERE, "message_id": PHOTO, "caption": "y"},
    "editMessageMedia": {**TEXT_HERE, "message_id": PHOTO, "media": types.InputMediaDocument(media=FILE)},
    "editMessageReplyMarkup": {
        **TEXT_HERE,
        "reply_markup": types.InlineKeyboardMarkup(
            inline_keyboard=[[types.InlineKeyboardButton(text="x", callback_data="x")]]
        ),
    },
    "editMessageLiveLocation": {**TEXT_HERE, "message_id": PLACE, "latitude": 3, "longitude": 4},
    "stopMessageLiveLocation": {**TEXT_HERE, "message_id": PLACE},
    "stopPoll": {**TEXT_HERE, "message_id": POLL},
    "deleteMessage": TEXT_HERE,
    "deleteMessages": {"message_ids": [TEXT, PHOTO]},
    "pinChatMessage": TEXT_HERE,
    "unpinChatMessage": TEXT_HERE,
    "unpinAllChatMessages": {},
    "unpinAllForumTopicMessages": TOPIC,
    "unpinAllGeneralForumTopicMessages": {},
    "setMessageReaction": {**TEXT_HERE, "reaction": [types.ReactionTypeEmoji(emoji="👍")]},
    "deleteMessageReaction": {**TEXT_HERE, "user_id": 42},
    "deleteAllMessageReactions": {"user_id": 42},
}
CHATS: dict[str, dict[str, Any]] = {
    "getChat": {},
    "getChatMember": MEMBER,
    "getChatAdministrators": {},
    "getChatMemberCount": {},
    "banChatMember": MEMBER,
    "unbanChatMember": MEMBER,
    "restrictChatMember": {**MEMBER, "permissions": types.ChatPermissions(can_send_messages=True)},
    "promoteChatMember": {**MEMBER, "can_pin_messages": True},
    "setChatAdministratorCustomTitle": {**MEMBER, "user_id": 44, "custom_title": "Boss"},
    "banChatSenderChat": {"sender_chat_id": -1000000000009},
    "unbanChatSenderChat": {"sender_chat_id": -1000000000009},
    "approveChatJoinRequest": MEMBER,
    "declineChatJoinRequest": MEMBER,
    "leaveChat": {},
    "setChatTitle": {"title": "x"},
    "setChatDescription": {"description": "x"},
    "setChatPermissions": {"permissions": types.ChatPermissions(can_send_messages=True)},
    "setChatPhoto": {"photo": PICTURE},
    "deleteChatPhoto": {},
    "exportChatInviteLink": {},
    "createChatInviteLink": {"name": "x"},
    "createChatSubscriptionInviteLink": {"subscription_period": 2592000, "subscription_price": 5},
    "editChatInviteLink": {"invite_link": "LINK", "name": "y"},
    "editChatSubscriptionInviteLink": {"invite_link": "LINK", "name": "y"},
    "revokeChatInviteLink": {"invite_link": "LINK"},
    "createForumTopic": {"name": "x"},
    "editForumTopic": {**TOPIC, "name": "y"},
    "closeForumTopic": TOPIC,
    "reopenForumTopic": TOPIC,
    "deleteForumTopic": TOPIC,
    "editGeneralForumTopic": {"name": "x"},
    "closeGeneralForumTopic": {},
    "reopenGeneralForumTopic": {},
    "hideGeneralForumTopic": {},
    "unhideGeneralForumTopic": {},
    "getUserChatBoosts": MEMBER,
}
OTHERS: dict[str, dict[str, Any]] = {
    "getMe": {},
    "getFile": {"file_id": "FILE"},
    "getUpdates": {},
    "setWebhook": {"url": ""},
    "deleteWebhook": {},
    "getWebhookInfo": {},
    "answerCallbackQuery": {"callback_query_id": "1"},
    "answerInlineQuery": {"inline_query_id": "2", "results": [ARTICLE]},
    "answerShippingQuery": {"shipping_query_id": "3", "ok": False, "error_message": "x"},
    "answerPreCheckoutQuery": {"pre_checkout_query_id": "4", "ok": True},
    "createInvoiceLink": BILL,
    "getMyStarBalance": {},
    "getStarTransactions": {},
    "setMyCommands": {"commands": [types.BotCommand(command="x", description="x")]},
    "getMyCommands": {},
    "deleteMyCommands": {},
    "setMyName": {"name": "x"},
    "getMyName": {},
    "setMyDescription": {"description": "x"},
    "getMyDescription": {},
    "setMyShortDescription": {"short_description": "x"},
    "getMyShortDescription": {},
    "setChatMenuButton": {"chat_id": 42, "menu_button": types.MenuButtonCommands()},
    "getChatMenuButton": {"chat_id": 42},
    "setMyDefaultAdministratorRights": {},
    "getMyDefaultAdministratorRights": {},
    "setMyProfilePhoto": {"photo": types.InputProfilePhotoStatic(photo=PICTURE)},
    "removeMyProfilePhoto": {},
    "getUserProfilePhotos": {"user_id": 42},
    "getUserProfileAudios": {"user_id": 42},
    "logOut": {},
    "close": {},
}
CALLS = SENT | CHANGED | CHATS | OTHERS


def test_every_method_that_there_is_is_called_here() -> None:
    assert CALLS.keys() == {method.name for method in METHODS.values()}


def call_of(name: str, given: dict[str, str]) -> TelegramMethod[Any]:
    """aiogram's own object of the call; in a group unless its parameters say otherwise."""
    kind: Any = getattr(methods, name[0].upper() + name[1:])
    parameters = {"chat_id": GROUP} | CALLS[name] if "chat_id" in kind.model_fields else CALLS[name]
    call: TelegramMethod[Any] = kind(
        **{key: given.get(value, value) if isinstance(value, str) else value for key, value in parameters.items()}
    )
    return call


async def prepared(emulator: Emulator, bot: aiogram.Bot) -> dict[str, str]:
    """Put into the group what the calls are about; answers what stands for LINK and FILE."""
    emulator.reset()
    await bot.send_message(GROUP, "x")
    await bot.send_photo(GROUP, PICTURE)
    await bot.send_location(GROUP, 1.5, 2.5, live_period=60)
    await bot.send_poll(GROUP, "?", ["a", "b"])
    await bot.send_invoice(GROUP, **BILL)
    await bot.promote_chat_member(GROUP, 44, can_pin_messages=True)
    emulator.user(42).writes("hello", bot=4242)
    for query in QUERIES:
        emulator.update(query, bot=4242)
    link = await bot.create_chat_invite_link(GROUP)
    return {"LINK": link.invite_link, "FILE": emulator.receive_file(4242, b"x")}


@pytest.mark.parametrize("names", [SENT, CHANGED, CHATS, OTHERS], ids=["sent", "changed", "chats", "others"])
async def test_the_answer_is_what_aiogram_takes_it_for(names: dict[str, Any]) -> None:
    wrong: dict[str, str] = {}
    async with (
        Emulator(tokens=[TOKEN]) as emulator,
        aiogram.Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(emulator.url))) as bot,
    ):
        given: dict[str, str] = {}
        for name in names:
            # What changes messages, and leaving, leave nothing for the next call.
            if not given or name in CHANGED:
                given = await prepared(emulator, bot)
            try:
                answer = await bot(call_of(name, given))
            except aiogram.exceptions.AiogramError as error:
                wrong[name] = str(error)
                continue
            if answer is None or emulator.requests[-1].status != 200:
                wrong[name] = f"answered {answer}"
            if name == "leaveChat":
                given = {}

    assert not wrong
