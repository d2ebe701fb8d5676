"""Every method that there is, called as aiogram calls it: the answer is what aiogram's own types take it for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiogram
import pytest
from aiogram import methods, types
from emulator_client import PNG, TOKEN, StoppedClock, aiogram_bot, png

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
CUP: dict[str, Any] = {
    "sticker": types.BufferedInputFile(png(512, 512), "a.png"),
    "format": "static",
    "emoji_list": ["😺"],
}
INPUT_STICKER: Any = types.InputSticker(**CUP)
INPUT_MASK: Any = types.InputSticker(**CUP | {"sticker": types.BufferedInputFile(png(512, 300), "b.png")})
INPUT_EMOJI: Any = types.InputSticker(**CUP | {"sticker": types.BufferedInputFile(png(100, 100), "c.png")})
SET_NAME = "cups_by_bot4242_bot"
STICKERS: dict[str, dict[str, Any]] = {
    "getStickerSet": {"name": SET_NAME},
    "uploadStickerFile": {"user_id": 42, "sticker": CUP["sticker"], "sticker_format": "static"},
    "createNewStickerSet": {
        "user_id": 42,
        "name": "pots_by_bot4242_bot",
        "title": "x",
        "stickers": [INPUT_EMOJI],
        "sticker_type": "custom_emoji",
    },
    "getCustomEmojiStickers": {"custom_emoji_ids": ["7"]},
    "setCustomEmojiStickerSetThumbnail": {"name": "pots_by_bot4242_bot"},
    "addStickerToSet": {"user_id": 42, "name": SET_NAME, "sticker": INPUT_STICKER},
    "replaceStickerInSet": {"user_id": 42, "name": SET_NAME, "old_sticker": "STICKER", "sticker": INPUT_STICKER},
    "setStickerEmojiList": {"sticker": "STICKER", "emoji_list": ["😺"]},
    "setStickerKeywords": {"sticker": "STICKER", "keywords": ["x"]},
    "setStickerPositionInSet": {"sticker": "STICKER", "position": 0},
    "setStickerSetTitle": {"name": SET_NAME, "title": "y"},
    "setStickerSetThumbnail": {"name": SET_NAME, "user_id": 42, "format": "static"},
    "setChatStickerSet": {"sticker_set_name": SET_NAME},
    "deleteChatStickerSet": {},
    "setStickerMaskPosition": {"sticker": "MASK"},
    "deleteStickerFromSet": {"sticker": "STICKER"},
    "deleteStickerSet": {"name": SET_NAME},
}
LIST = types.InputChecklist(title="x", tasks=[types.InputChecklistTask(id=1, text="x")])
IN_ACCOUNT = {"business_connection_id": "ACCOUNT"}
WITH_ADA: dict[str, Any] = {**IN_ACCOUNT, "chat_id": 42}
NO_GIFTS = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
ACCOUNTS: dict[str, dict[str, Any]] = {
    "getBusinessConnection": IN_ACCOUNT,
    "readBusinessMessage": {**WITH_ADA, "message_id": 1},
    "sendChecklist": {**WITH_ADA, "checklist": LIST},
    "editMessageChecklist": {
        **WITH_ADA,
        "message_id": 2,
        "checklist": types.InputChecklist(title="y", tasks=LIST.tasks),
    },
    "deleteBusinessMessages": {**IN_ACCOUNT, "message_ids": [1, 2]},
    "setBusinessAccountName": {**IN_ACCOUNT, "first_name": "x"},
    "setBusinessAccountUsername": {**IN_ACCOUNT, "username": "x"},
    "setBusinessAccountBio": {**IN_ACCOUNT, "bio": "x"},
    "setBusinessAccountProfilePhoto": {**IN_ACCOUNT, "photo": types.InputProfilePhotoStatic(photo=PICTURE)},
    "removeBusinessAccountProfilePhoto": IN_ACCOUNT,
    "setBusinessAccountGiftSettings": {
        **IN_ACCOUNT,
        "show_gift_button": True,
        "accepted_gift_types": types.AcceptedGiftTypes(**dict.fromkeys(NO_GIFTS, False)),
    },
    "getBusinessAccountStarBalance": IN_ACCOUNT,
    "getBusinessAccountGifts": IN_ACCOUNT,
    "repostStory": {**IN_ACCOUNT, "from_chat_id": 7, "from_story_id": 1, "active_period": 21600},
    "deleteStory": {**IN_ACCOUNT, "story_id": 1},
}
# What aiogram cannot be answered here: the account has no Stars, and this client uploads no file for a story.
REFUSED: dict[str, dict[str, Any]] = {"transferBusinessAccountStars": {}, "postStory": {}, "editStory": {}}
KEYBOARD = types.InlineKeyboardMarkup(inline_keyboard=[[types.InlineKeyboardButton(text="x", callback_data="x")]])
BLOCKS = types.InputRichMessage(blocks=[types.InputRichBlockParagraph(text="x")])
HERE_FOR_ADA = {"receiver_user_id": 42, "ephemeral_message_id": 1}
PICTURE_FOR_ADA = {"receiver_user_id": 42, "ephemeral_message_id": 2}
KINDS: dict[str, dict[str, Any]] = {
    "sendChatJoinRequestWebApp": {"chat_join_request_query_id": "WISH", "web_app_url": "https://example.com/"},
    "answerChatJoinRequestQuery": {"chat_join_request_query_id": "WISH", "result": "approve"},
    "editUserStarSubscription": {"user_id": 42, "telegram_payment_charge_id": "c", "is_canceled": True},
    "sendGame": {"game_short_name": "race"},
    "setGameScore": {"user_id": 42, "score": 1, "message_id": 6},
    "getGameHighScores": {"user_id": 42, "message_id": 6},
    "sendRichMessage": {"rich_message": BLOCKS},
    "sendRichMessageDraft": {"chat_id": 42, "draft_id": 1, "rich_message": BLOCKS},
    "editEphemeralMessageText": {**HERE_FOR_ADA, "text": "y"},
    "editEphemeralMessageReplyMarkup": {**HERE_FOR_ADA, "reply_markup": KEYBOARD},
    "editEphemeralMessageCaption": {**PICTURE_FOR_ADA, "caption": "y"},
    "editEphemeralMessageMedia": {**PICTURE_FOR_ADA, "media": types.InputMediaDocument(media=FILE)},
    "deleteEphemeralMessage": HERE_FOR_ADA,
    "getAvailableGifts": {},
    "sendGift": {"gift_id": "5000000000000000001", "user_id": 42, "chat_id": None},
    "giftPremiumSubscription": {"user_id": 42, "month_count": 3, "star_count": 1000},
    "getUserGifts": {"user_id": 42},
    "getChatGifts": {},
}
CALLS = SENT | CHANGED | CHATS | OTHERS | STICKERS | ACCOUNTS | REFUSED | KINDS


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
    return {"LINK": link.invite_link, "FILE": emulator.receive_file(4242, b"x")} | await prepared_kinds(emulator, bot)


async def prepared_kinds(emulator: Emulator, bot: aiogram.Bot) -> dict[str, str]:
    """The same of sticker sets, a business account, and what one member sees."""
    masks = "masks_by_bot4242_bot"
    await bot.create_new_sticker_set(42, SET_NAME, "x", [INPUT_STICKER])
    await bot.create_new_sticker_set(42, masks, "x", [INPUT_MASK], sticker_type="mask")
    account = emulator.user(7).connects(bot=4242).connection_id
    emulator.user(42).writes("hello", business=7, bot=4242)
    emulator.give_stars(2000, bot=4242)
    emulator._application._world.stories.add(7, {}, 0)
    for_ada = types.EphemeralMessageParameters(receiver_user_id=42)
    await bot.send_message(GROUP, "x", ephemeral_message_parameters=for_ada)
    await bot.send_photo(GROUP, PICTURE, ephemeral_message_parameters=for_ada)
    paid = {"currency": "XTR", "total_amount": 5, "invoice_payload": "x", "telegram_payment_charge_id": "c"}
    paid |= {"provider_payment_charge_id": "x", "subscription_expiration_date": 2_000_000_000}
    emulator.user(42).writes("", bot=4242, successful_payment=paid)
    wish = emulator.user(45).asks_to_join(GROUP, query=True, bot=4242).query_id
    (cup,), (mask,) = [(await bot.get_sticker_set(name)).stickers for name in (SET_NAME, masks)]
    return {"STICKER": cup.file_id, "MASK": mask.file_id, "ACCOUNT": account, "WISH": wish}


@pytest.mark.parametrize(
    "names",
    [SENT, CHANGED, CHATS, OTHERS, STICKERS, ACCOUNTS, KINDS],
    ids=["sent", "changed", "chats", "others", "stickers", "accounts", "kinds"],
)
async def test_the_answer_is_what_aiogram_takes_it_for(names: dict[str, Any]) -> None:
    wrong: dict[str, str] = {}
    async with (
        Emulator(tokens=[TOKEN], clock=StoppedClock()) as emulator,
        aiogram_bot(emulator) as bot,
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
