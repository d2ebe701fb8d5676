"""Typed helpers: a `Notification` for each of the common methods of the Bot API.

They only spell the parameters; whatever the Bot API takes beyond them goes into `params`, and a method without a
helper is `Notification(bot=..., method="...", params={...})`. None means not given. A file is an `Attachment`, a
`file_id` of that bot, or a URL that Telegram fetches. Nothing is checked here: enqueue does that, whoever made the
notification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from dovecote.model import Notification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Unpack

    from dovecote.model import Attachment, DeliveryPolicy, Priority, Quiet

    File = str | Attachment

ParseMode = Literal["HTML", "MarkdownV2", "Markdown"]
ChatId = int | str


class Delivery(TypedDict, total=False):
    """How to deliver it, as in `Notification`; `params` is for what a helper does not know."""

    key: str | None
    priority: Priority
    due_at: datetime | None
    expires_at: datetime | None
    delivery: DeliveryPolicy
    labels: Sequence[str]
    category: str | None
    quiet: Quiet | None
    params: Mapping[str, Any]


class Sending(Delivery, total=False):
    """What every method takes that makes a new message, in the words of the Bot API."""

    business_connection_id: str | None
    message_thread_id: int | None
    disable_notification: bool | None
    protect_content: bool | None
    message_effect_id: str | None
    reply_parameters: Mapping[str, Any] | None
    reply_markup: Mapping[str, Any] | None


class Captioned(Sending, total=False):
    """What the methods take besides that send something with a caption."""

    caption: str | None
    parse_mode: ParseMode | None
    caption_entities: Sequence[Mapping[str, Any]] | None
    show_caption_above_media: bool | None
    has_spoiler: bool | None


class Described(Captioned, total=False):
    """What the methods take besides that send a file with a thumbnail."""

    thumbnail: Attachment | None


_OF_THE_NOTIFICATION = frozenset(Delivery.__annotations__) - {"params"}


def message(
    bot: str,
    chat_id: ChatId,
    text: str,
    *,
    parse_mode: ParseMode | None = None,
    entities: Sequence[Mapping[str, Any]] | None = None,
    link_preview_options: Mapping[str, Any] | None = None,
    **more: Unpack[Sending],
) -> Notification:
    """SendMessage."""
    own = {"parse_mode": parse_mode, "entities": entities, "link_preview_options": link_preview_options}
    return _made(bot, chat_id, "sendMessage", {"text": text, **own}, more)


def photo(bot: str, chat_id: ChatId, photo: File, **more: Unpack[Captioned]) -> Notification:
    """SendPhoto."""
    return _made(bot, chat_id, "sendPhoto", {"photo": photo}, more)


def document(bot: str, chat_id: ChatId, document: File, **more: Unpack[Described]) -> Notification:
    """SendDocument."""
    return _made(bot, chat_id, "sendDocument", {"document": document}, more)


def video(bot: str, chat_id: ChatId, video: File, **more: Unpack[Described]) -> Notification:
    """SendVideo."""
    return _made(bot, chat_id, "sendVideo", {"video": video}, more)


def audio(
    bot: str,
    chat_id: ChatId,
    audio: File,
    *,
    performer: str | None = None,
    title: str | None = None,
    **more: Unpack[Described],
) -> Notification:
    """SendAudio."""
    return _made(bot, chat_id, "sendAudio", {"audio": audio, "performer": performer, "title": title}, more)


def voice(bot: str, chat_id: ChatId, voice: File, **more: Unpack[Captioned]) -> Notification:
    """SendVoice."""
    return _made(bot, chat_id, "sendVoice", {"voice": voice}, more)


def animation(bot: str, chat_id: ChatId, animation: File, **more: Unpack[Described]) -> Notification:
    """SendAnimation."""
    return _made(bot, chat_id, "sendAnimation", {"animation": animation}, more)


def sticker(bot: str, chat_id: ChatId, sticker: File, **more: Unpack[Sending]) -> Notification:
    """SendSticker."""
    return _made(bot, chat_id, "sendSticker", {"sticker": sticker}, more)


def album(bot: str, chat_id: ChatId, media: Sequence[Mapping[str, Any]], **more: Unpack[Sending]) -> Notification:
    """SendMediaGroup: 2 to 10 items such as `{"type": "photo", "media": Attachment(file)}`, a slot for each."""
    return _made(bot, chat_id, "sendMediaGroup", {"media": list(media)}, more)


def location(
    bot: str,
    chat_id: ChatId,
    latitude: float,
    longitude: float,
    *,
    horizontal_accuracy: float | None = None,
    live_period: int | None = None,
    **more: Unpack[Sending],
) -> Notification:
    """SendLocation. Degrees, metres, seconds."""
    own = {"latitude": latitude, "longitude": longitude}
    own |= {"horizontal_accuracy": horizontal_accuracy, "live_period": live_period}  # type: ignore[dict-item]
    return _made(bot, chat_id, "sendLocation", own, more)


def venue(
    bot: str,
    chat_id: ChatId,
    latitude: float,
    longitude: float,
    *,
    title: str,
    address: str,
    **more: Unpack[Sending],
) -> Notification:
    """SendVenue."""
    own = {"latitude": latitude, "longitude": longitude, "title": title, "address": address}
    return _made(bot, chat_id, "sendVenue", own, more)


def contact(
    bot: str,
    chat_id: ChatId,
    phone_number: str,
    first_name: str,
    *,
    last_name: str | None = None,
    vcard: str | None = None,
    **more: Unpack[Sending],
) -> Notification:
    """SendContact."""
    own = {"phone_number": phone_number, "first_name": first_name, "last_name": last_name, "vcard": vcard}
    return _made(bot, chat_id, "sendContact", own, more)


def poll(
    bot: str,
    chat_id: ChatId,
    question: str,
    options: Sequence[str | Mapping[str, Any]],
    *,
    is_anonymous: bool | None = None,
    allows_multiple_answers: bool | None = None,
    open_period: int | None = None,
    **more: Unpack[Sending],
) -> Notification:
    """SendPoll. An option that is text becomes `{"text": option}`; `open_period` is in seconds."""
    own = {
        "question": question,
        "options": [{"text": option} if isinstance(option, str) else option for option in options],
        "is_anonymous": is_anonymous,
        "allows_multiple_answers": allows_multiple_answers,
        "open_period": open_period,
    }
    return _made(bot, chat_id, "sendPoll", own, more)


def dice(bot: str, chat_id: ChatId, emoji: str | None = None, **more: Unpack[Sending]) -> Notification:
    """SendDice."""
    return _made(bot, chat_id, "sendDice", {"emoji": emoji}, more)


def copy_message(
    bot: str, chat_id: ChatId, from_chat_id: ChatId, message_id: int, **more: Unpack[Captioned]
) -> Notification:
    """CopyMessage; a `caption` replaces the original's."""
    return _made(bot, chat_id, "copyMessage", {"from_chat_id": from_chat_id, "message_id": message_id}, more)


def forward_message(
    bot: str,
    chat_id: ChatId,
    from_chat_id: ChatId,
    message_id: int,
    *,
    message_thread_id: int | None = None,
    disable_notification: bool | None = None,
    protect_content: bool | None = None,
    **more: Unpack[Delivery],
) -> Notification:
    """ForwardMessage."""
    own = {
        "from_chat_id": from_chat_id,
        "message_id": message_id,
        "message_thread_id": message_thread_id,
        "disable_notification": disable_notification,
        "protect_content": protect_content,
    }
    return _made(bot, chat_id, "forwardMessage", own, more)


def edit_text(
    bot: str,
    chat_id: ChatId,
    message_id: int,
    text: str,
    *,
    parse_mode: ParseMode | None = None,
    entities: Sequence[Mapping[str, Any]] | None = None,
    link_preview_options: Mapping[str, Any] | None = None,
    reply_markup: Mapping[str, Any] | None = None,
    **more: Unpack[Delivery],
) -> Notification:
    """EditMessageText."""
    own = {
        "message_id": message_id,
        "text": text,
        "parse_mode": parse_mode,
        "entities": entities,
        "link_preview_options": link_preview_options,
        "reply_markup": reply_markup,
    }
    return _made(bot, chat_id, "editMessageText", own, more)


def edit_caption(
    bot: str,
    chat_id: ChatId,
    message_id: int,
    caption: str | None = None,
    *,
    parse_mode: ParseMode | None = None,
    caption_entities: Sequence[Mapping[str, Any]] | None = None,
    reply_markup: Mapping[str, Any] | None = None,
    **more: Unpack[Delivery],
) -> Notification:
    """EditMessageCaption; without a caption it is taken away."""
    own = {
        "message_id": message_id,
        "caption": caption,
        "parse_mode": parse_mode,
        "caption_entities": caption_entities,
        "reply_markup": reply_markup,
    }
    return _made(bot, chat_id, "editMessageCaption", own, more)


def edit_reply_markup(
    bot: str,
    chat_id: ChatId,
    message_id: int,
    reply_markup: Mapping[str, Any] | None = None,
    **more: Unpack[Delivery],
) -> Notification:
    """EditMessageReplyMarkup; without a markup it is taken away."""
    own = {"message_id": message_id, "reply_markup": reply_markup}
    return _made(bot, chat_id, "editMessageReplyMarkup", own, more)


def delete_message(bot: str, chat_id: ChatId, message_id: int, **more: Unpack[Delivery]) -> Notification:
    """DeleteMessage; Telegram allows it for 48 hours."""
    return _made(bot, chat_id, "deleteMessage", {"message_id": message_id}, more)


def pin_message(
    bot: str,
    chat_id: ChatId,
    message_id: int,
    *,
    disable_notification: bool | None = None,
    **more: Unpack[Delivery],
) -> Notification:
    """PinChatMessage."""
    own = {"message_id": message_id, "disable_notification": disable_notification}
    return _made(bot, chat_id, "pinChatMessage", own, more)


def _made(bot: str, chat_id: ChatId, method: str, own: Mapping[str, Any], more: Mapping[str, Any]) -> Notification:
    """Part `more` into what is the notification's and what is the method's."""
    params = dict(own)
    fields: dict[str, Any] = {}
    for name, value in more.items():
        (fields if name in _OF_THE_NOTIFICATION else params)[name] = value
    params.update(params.pop("params", {}))
    given = {name: value for name, value in params.items() if value is not None}
    return Notification(bot=bot, chat_id=chat_id, method=method, params=given, **fields)
