"""Methods that change or remove an ephemeral message; any method of sending sends one, with its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.emulator.markup import reply_markup
from dovecote.emulator.methods.editing import CAPTIONED, NOT_MODIFIED, TEXT_MEMBERS, TEXTUAL, new_text, with_markup
from dovecote.emulator.methods.media import input_media
from dovecote.emulator.methods.registry import method
from dovecote.emulator.methods.replacing import FILE_MEMBERS, MEDIA
from dovecote.emulator.reading import integer_parameter, json_of
from dovecote.emulator.refusal import bad_request
from dovecote.emulator.text import caption, caption_fields, check_caption

if TYPE_CHECKING:
    from dovecote.emulator.ephemerals import Key
    from dovecote.emulator.methods.registry import Call


def _named(call: Call, what: str) -> tuple[Key, dict[str, Any]]:
    """Where the message is that the call names, and it. Raises Refusal: "`what` not found"."""
    receiver = integer_parameter(call.parameters, "receiver_user_id")
    if receiver <= 0:
        raise bad_request("Invalid receiver_user_id specified")
    key = (call.bot_id, call.chat()["id"], receiver)
    found = call.world.ephemerals.find(key, integer_parameter(call.parameters, "ephemeral_message_id"))
    if found is None:
        raise bad_request(f"{what} not found")
    return key, found


def _edit(call: Call, place: tuple[Key, dict[str, Any]], changed: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Replace the members `names` by those of `changed`. Raises Refusal when nothing would change."""
    key, message = place
    edited = {name: value for name, value in message.items() if name not in names} | changed
    if edited == message:
        raise bad_request(NOT_MODIFIED)
    call.world.ephemerals.put(key, edited | {"edit_date": int(call.world.clock.time())})
    return True


@method("editEphemeralMessageText")
def edit_ephemeral_message_text(call: Call) -> Any:
    """New text, or new rich content; without `reply_markup` the keyboard goes."""
    changed, check = new_text(call)
    markup = reply_markup(call.parameters)
    place = _named(call, "Message to edit")
    if not TEXTUAL & place[1].keys():
        raise bad_request("There is no text in the message to edit")
    check()
    return _edit(call, place, with_markup(changed, markup), TEXT_MEMBERS)


@method("editEphemeralMessageCaption")
def edit_ephemeral_message_caption(call: Call) -> Any:
    """New caption; without `reply_markup` the keyboard goes."""
    formatted = caption(call.parameters)
    markup = reply_markup(call.parameters)
    place = _named(call, "Message to edit")
    if not any(kind in place[1] for kind in CAPTIONED):
        raise bad_request("There is no caption in the message to edit")
    check_caption(formatted)
    changed = with_markup(caption_fields(formatted, call.parameters), markup)
    members = ("caption", "caption_entities", "show_caption_above_media", "reply_markup")
    return _edit(call, place, changed, members)


@method("editEphemeralMessageMedia")
def edit_ephemeral_message_media(call: Call) -> Any:
    """Another file, with its own caption; without `reply_markup` the keyboard goes."""
    value = call.parameters.get("media", "")
    if value == "":
        raise bad_request("Input media is not specified")
    given = json_of(value, "input media")
    _, content = input_media(call, given, MEDIA)
    markup = reply_markup(call.parameters)
    place = _named(call, "Message to edit")
    if not any(kind in place[1] for kind in MEDIA):
        raise bad_request("There is no media in the message to edit")
    check_caption(caption(given))
    return _edit(call, place, with_markup(content, markup), FILE_MEMBERS)


@method("editEphemeralMessageReplyMarkup")
def edit_ephemeral_message_reply_markup(call: Call) -> Any:
    """New keyboard, or none."""
    markup = reply_markup(call.parameters)
    return _edit(call, _named(call, "Message to edit"), with_markup({}, markup), ("reply_markup",))


@method("deleteEphemeralMessage")
def delete_ephemeral_message(call: Call) -> Any:
    """It goes."""
    key, message = _named(call, "Message to delete")
    call.world.ephemerals.drop(key, message["ephemeral_message_id"])
    return True
