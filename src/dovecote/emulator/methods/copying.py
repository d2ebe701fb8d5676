"""Methods that send what has been sent before: copies and forwards."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dovecote.emulator.methods.posting import album_head, message_ids_parameter, post, put
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import integer_parameter, required_text
from dovecote.emulator.refusal import bad_request
from dovecote.emulator.text import caption, caption_fields, check_caption

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

# What belongs to one posting of a message and not to its content.
POSTING = frozenset(
    {
        "message_id",
        "from",
        "sender_chat",
        "chat",
        "date",
        "edit_date",
        "message_thread_id",
        "is_topic_message",
        "reply_to_message",
        "has_protected_content",
        "media_group_id",
        "forward_origin",
    }
)
CAPTIONED = ("photo", "video", "audio", "voice", "animation", "document", "live_photo", "paid_media")
# What Telegram writes into a chat by itself: it goes nowhere else.
SERVICE = frozenset({"new_chat_members", "left_chat_member", "migrate_to_chat_id", "migrate_from_chat_id"})
# What can be forwarded, and not copied.
UNCOPIED = SERVICE | {"paid_media", "invoice"}


def _source(call: Call, what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    required_text(call.parameters, "from_chat_id")
    there = call.chat("from_chat_id")
    found = call.world.messages.find(call.bot_id, there["id"], integer_parameter(call.parameters, "message_id"))
    if found is None:
        raise bad_request(f"{what} not found")
    return there, found


def _content(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in POSTING}


def _origin(message: dict[str, Any]) -> dict[str, Any]:
    if "forward_origin" in message:
        origin: dict[str, Any] = message["forward_origin"]
        return origin
    if "from" in message:
        return {"type": "user", "date": message["date"], "sender_user": message["from"]}
    return {
        "type": "channel",
        "date": message["date"],
        "chat": message["chat"],
        "message_id": message["message_id"],
    }


@method("copyMessage")
def copy_message(call: Call) -> Any:
    """A copy without a link to the original; its caption can be replaced."""
    _, message = _source(call, "Message to copy")
    if UNCOPIED & message.keys():
        raise bad_request("Message can't be copied")
    content = _content(message)
    content.pop("reply_markup", None)
    formatted = caption(call.parameters)
    if "caption" in call.parameters and any(kind in content for kind in CAPTIONED):
        for name in ("caption", "caption_entities"):
            content.pop(name, None)
        content |= caption_fields(formatted, call.parameters)
    post(call, content, lambda: check_caption(formatted))
    return {"message_id": call.message_ids[0]}


@method("forwardMessage")
def forward_message(call: Call) -> Any:
    """The message again, with its origin."""
    _, message = _source(call, "Message to forward")
    if SERVICE & message.keys():
        raise bad_request("Message can't be forwarded")
    content = _content(message)
    content.pop("reply_markup", None)
    return post(call, {"forward_origin": _origin(message), **content})


def _several(call: Call, what: str, *, forward: bool) -> Any:
    """Send again those of `message_ids` that are there; Telegram skips the others."""
    required_text(call.parameters, "from_chat_id")
    numbers = message_ids_parameter(call)
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise bad_request("Message identifiers must be in a strictly increasing order")
    there = call.chat("from_chat_id")
    chat = call.chat()
    found = [call.world.messages.find(call.bot_id, there["id"], number) for number in numbers]
    unsent = SERVICE if forward else UNCOPIED
    present = [message for message in found if message is not None and not unsent & message.keys()]
    if not present:
        raise bad_request(f"There are no messages to {what}")
    albums: dict[str, str] = {}
    for message in present:
        head = album_head(call, chat)
        if "media_group_id" in message:
            album = albums.setdefault(message["media_group_id"], "") or call.world.next_album()
            albums[message["media_group_id"]] = head["media_group_id"] = album
        if forward:
            head["forward_origin"] = _origin(message)
        content = _content(message)
        content.pop("reply_markup", None)
        put(call, chat, head | content)
    return [{"message_id": number} for number in call.message_ids]


@method("copyMessages")
def copy_messages(call: Call) -> Any:
    """Copies of 1-100 messages."""
    return _several(call, "copy", forward=False)


@method("forwardMessages")
def forward_messages(call: Call) -> Any:
    """1-100 messages again, with their origins."""
    return _several(call, "forward", forward=True)
