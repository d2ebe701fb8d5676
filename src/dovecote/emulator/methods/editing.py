"""Methods that change or remove what has been sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from dovecote.emulator.markup import reply_markup
from dovecote.emulator.methods.posting import check_author, kept_json, message_ids_parameter, own_message
from dovecote.emulator.methods.registry import method
from dovecote.emulator.methods.rich import rich_message
from dovecote.emulator.reading import integer_parameter, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request
from dovecote.emulator.text import Formatted, caption, caption_fields, check_caption, check_text, message_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovecote.emulator.methods.registry import Call

NOT_MODIFIED = (
    "Message is not modified: specified new message content and reply markup are exactly the same as "
    "a current content and reply markup of the message"
)
DELETABLE_SECONDS = 48 * 3600
TEXTUAL = frozenset({"text", "rich_message"})
TEXT_MEMBERS = ("text", "entities", "rich_message", "reply_markup")
CAPTIONED = ("photo", "video", "audio", "voice", "animation", "document", "live_photo", "paid_media")


def message_to_edit(call: Call) -> dict[str, Any]:
    """The message that the call names, one of the bot's own. Raises Refusal."""
    parameters = call.parameters
    if not text_parameter(parameters, "chat_id") and not integer_parameter(parameters, "message_id"):
        if not text_parameter(parameters, "inline_message_id"):
            raise bad_request("Message identifier is not specified")
        # Nobody sends inline messages here, so no identifier can be one of theirs.
        raise Refusal(400, "Bad Request: MESSAGE_ID_INVALID")
    _, message = own_message(call, "Message to edit")
    check_author(call, message, "message can't be edited")
    return message


def edit(call: Call, message: dict[str, Any], changed: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Replace the members `names` by those of `changed`. Raises Refusal when nothing would change."""
    edited = {name: value for name, value in message.items() if name not in names}
    edited |= changed
    if {name: message.get(name) for name in names} == {name: edited.get(name) for name in names}:
        raise bad_request(NOT_MODIFIED)
    edited["edit_date"] = int(call.world.clock.time())
    encoded = kept_json(edited)
    messages = call.world.messages
    call.space = messages.space(call.viewer, edited["chat"]["id"])
    call.message_ids = (edited["message_id"],)
    messages.put(call.space, edited["message_id"], encoded)
    return orjson.Fragment(encoded)


def with_markup(changed: dict[str, Any], markup: dict[str, Any] | None) -> dict[str, Any]:
    """The members with the keyboard, if there is one."""
    return changed if markup is None else changed | {"reply_markup": markup}


@method("editMessageText")
def edit_message_text(call: Call) -> Any:
    """New text, or new rich content; without `reply_markup` the keyboard goes."""
    changed, check = new_text(call)
    markup = reply_markup(call.parameters)
    message = message_to_edit(call)
    if not TEXTUAL & message.keys():
        raise bad_request("There is no text in the message to edit")
    check()
    return edit(call, message, with_markup(changed, markup), TEXT_MEMBERS)


def new_text(call: Call) -> tuple[dict[str, Any], Callable[[], None]]:
    """The members of a new text, or of rich content, and the check of its length. Raises Refusal."""
    if "rich_message" in call.parameters:
        return {"rich_message": rich_message(call)}, lambda: None
    formatted = message_text(call.parameters)
    return _text_fields(formatted), lambda: check_text(formatted)


def _text_fields(formatted: Formatted) -> dict[str, Any]:
    fields: dict[str, Any] = {"text": formatted.text}
    if formatted.entities:
        fields["entities"] = formatted.entities
    return fields


@method("editMessageCaption")
def edit_message_caption(call: Call) -> Any:
    """New caption; without `reply_markup` the keyboard goes."""
    formatted = caption(call.parameters)
    markup = reply_markup(call.parameters)
    message = message_to_edit(call)
    if not any(kind in message for kind in CAPTIONED):
        raise bad_request("There is no caption in the message to edit")
    check_caption(formatted)
    changed = with_markup(caption_fields(formatted, call.parameters), markup)
    return edit(call, message, changed, ("caption", "caption_entities", "show_caption_above_media", "reply_markup"))


@method("editMessageReplyMarkup")
def edit_message_reply_markup(call: Call) -> Any:
    """New keyboard, or none."""
    markup = reply_markup(call.parameters)
    message = message_to_edit(call)
    return edit(call, message, with_markup({}, markup), ("reply_markup",))


@method("deleteMessage")
def delete_message(call: Call) -> Any:
    """Remove one message."""
    chat, message = own_message(call, "Message to delete")
    _check_deletable(call, message)
    _delete(call, chat["id"], [message["message_id"]])
    return True


@method("deleteMessages")
def delete_messages(call: Call) -> Any:
    """Remove 1-100 messages; those that are not there are skipped."""
    numbers = message_ids_parameter(call)
    chat = call.chat()
    found = [call.world.messages.find(call.bot_id, chat["id"], number) for number in numbers]
    present = [message for message in found if message is not None]
    for message in present:
        _check_deletable(call, message)
    _delete(call, chat["id"], [message["message_id"] for message in present])
    return True


def _check_deletable(call: Call, message: dict[str, Any]) -> None:
    if call.world.clock.time() - message["date"] > DELETABLE_SECONDS:
        raise bad_request("Message can't be deleted for everyone")


def _delete(call: Call, chat_id: int, numbers: list[int]) -> None:
    messages = call.world.messages
    call.space = messages.space(call.bot_id, chat_id)
    call.message_ids = tuple(numbers)
    messages.forget(call.space, numbers)
