"""Methods that pin messages, and those that let go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.emulator.methods.posting import own_message
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import integer_parameter
from dovecote.emulator.refusal import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.emulator.methods.registry import Call


def pinned(call: Call, chat_id: int) -> list[int]:
    """The messages that are pinned in the chat, the latest last."""
    return call.world.pins.setdefault((call.world.messages.space(call.viewer, chat_id), chat_id), [])


@method("pinChatMessage")
def pin_chat_message(call: Call) -> Any:
    """Pin a message."""
    chat, message = own_message(call, "Message to pin")
    pins = pinned(call, chat["id"])
    number = message["message_id"]
    if number in pins:
        pins.remove(number)
    pins.append(number)
    call.message_ids = (number,)
    return True


@method("unpinChatMessage")
def unpin_chat_message(call: Call) -> Any:
    """Unpin a message, or the last pinned one when none is named."""
    if integer_parameter(call.parameters, "message_id"):
        chat, message = own_message(call, "Message to unpin")
        number = message["message_id"]
        pins = pinned(call, chat["id"])
    else:
        pins = pinned(call, call.chat()["id"])
        if not pins:
            raise bad_request("Message to unpin not found")
        number = pins[-1]
    if number in pins:
        pins.remove(number)
    call.message_ids = (number,)
    return True


def _unpin(call: Call, which: Callable[[int], bool]) -> bool:
    """Unpin the messages of the topics for which `which` holds; 0 is the general one."""
    chat = call.chat()
    pins = pinned(call, chat["id"])
    gone: list[int] = []
    for number in pins:
        message = call.world.messages.find(call.viewer, chat["id"], number) or {}
        if which(message.get("message_thread_id", 0)):
            gone.append(number)
    pins[:] = [number for number in pins if number not in gone]
    call.message_ids = tuple(gone)
    return True


@method("unpinAllChatMessages")
def unpin_all_chat_messages(call: Call) -> Any:
    """Unpin all."""
    return _unpin(call, lambda _: True)


@method("unpinAllForumTopicMessages")
def unpin_all_forum_topic_messages(call: Call) -> Any:
    """Unpin all of a topic."""
    thread = integer_parameter(call.parameters, "message_thread_id")
    return _unpin(call, lambda topic: topic == thread)


@method("unpinAllGeneralForumTopicMessages")
def unpin_all_general_forum_topic_messages(call: Call) -> Any:
    """Unpin all of the general topic."""
    return _unpin(call, lambda topic: topic == 0)
