"""Putting a message into a chat: what every sending method has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from dovecote.emulator.markup import reply_markup
from dovecote.emulator.reading import boolean_parameter, integer_parameter, json_of, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call


# Those that take an ephemeral message's parameters; to the others they are as unknown as any other.
EPHEMERALLY: Final = frozenset(
    {
        "sendAnimation",
        "sendAudio",
        "sendContact",
        "sendDocument",
        "sendLivePhoto",
        "sendLocation",
        "sendMessage",
        "sendPhoto",
        "sendRichMessage",
        "sendSticker",
        "sendVenue",
        "sendVideo",
        "sendVideoNote",
        "sendVoice",
    }
)
_EPHEMERAL: Final = frozenset({"ephemeral_message_parameters", "receiver_user_id"})


def post(
    call: Call, content: dict[str, Any], check: Callable[[], None] | None = None
) -> orjson.Fragment | dict[str, Any]:
    """Send one message with this content. Raises Refusal.

    The order of the checks is Telegram's: the content's syntax (the caller has done it), the keyboard, the chat, the
    message replied to, and only then lengths (`check`).
    """
    parameters = call.parameters
    receiver = _receiver(call) if parameters.keys() & _EPHEMERAL else 0
    markup = reply_markup(parameters) if "reply_markup" in parameters else None
    chat = call.chat()
    head = _head(call, chat)
    reply = replied(call, chat)
    if reply is not None:
        head["reply_to_message"] = reply
    if check is not None:
        check()
    head.update(content)
    if markup is not None:
        head["reply_markup"] = markup
    return _show(call, chat, head, receiver) if receiver else put(call, chat, head)


def _receiver(call: Call) -> int:
    """Who alone is to see the message; 0: everybody. Raises Refusal."""
    if call.method.name not in EPHEMERALLY:
        return 0
    value = call.parameters.get("ephemeral_message_parameters")
    # The parameters stood by themselves in Bot API 10.2, and may still.
    given = json_of(value, "ephemeral message parameters") if value else call.parameters
    if not isinstance(given, Mapping):
        raise bad_request("Object expected as ephemeral message parameters")
    receiver = integer_parameter(given, "receiver_user_id")
    if receiver <= 0:
        if value:
            raise bad_request("Invalid receiver_user_id specified")
        return 0
    query = text_parameter(given, "callback_query_id")
    if query and not call.world.queries.are_for(call.bot_id, query):
        raise bad_request("Query is too old and response timeout expired or query ID is invalid")
    return receiver


def _show(call: Call, chat: Mapping[str, Any], message: dict[str, Any], receiver: int) -> dict[str, Any]:
    """Let one member of a group alone see the message, and note it in the call. Raises Refusal in any other chat."""
    if chat["type"] not in {"group", "supergroup"}:
        raise bad_request("Ephemeral messages can be sent to groups and supergroups only")
    world = call.world
    # Its own number stands beside this one, which is 0 for all of them.
    call.message_ids = (0,)
    message["receiver_user"] = world.people.user(receiver)
    return world.ephemerals.add((call.bot_id, chat["id"], receiver), message)


def put(call: Call, chat: Mapping[str, Any], message: dict[str, Any]) -> orjson.Fragment:
    """Give the message its id, keep it, and note it in the call."""
    messages = call.world.messages
    space = messages.space(call.viewer, chat["id"])
    message_id = messages.next_id(space)
    message["message_id"] = message_id
    encoded = kept_json(message)
    messages.put(space, message_id, encoded)
    call.space = space
    call.message_ids += (message_id,)
    return orjson.Fragment(encoded)


def kept_json(message: dict[str, Any]) -> bytes:
    """The message as JSON, in no more memory than it needs: orjson's own result sits in a buffer of 4 KiB."""
    return bytes(memoryview(orjson.dumps(message)))


def _head(call: Call, chat: dict[str, Any]) -> dict[str, Any]:
    world = call.world
    # `message_id` stands first as Telegram writes it; `put` fills it in.
    head: dict[str, Any] = {"message_id": 0}
    if call.account is not None:
        head |= {
            "from": world.people.user(call.account.user),
            "sender_business_bot": world.bot_json(call.bot_id),
            "business_connection_id": call.account.id,
        }
    elif chat["type"] == "channel":
        head["sender_chat"] = chat
    else:
        head["from"] = world.bot_json(call.bot_id)
    head["chat"] = chat
    head["date"] = int(world.clock.time())
    parameters = call.parameters
    if "message_thread_id" in parameters:
        thread = integer_parameter(parameters, "message_thread_id")
        if thread < 0:
            raise bad_request("Message thread not found")
        if thread:
            head["message_thread_id"] = thread
    if "protect_content" in parameters and boolean_parameter(parameters, "protect_content"):
        head["has_protected_content"] = True
    return head


def album_head(call: Call, chat: dict[str, Any]) -> dict[str, Any]:
    """The members that every message of a call to `chat` begins with."""
    return _head(call, chat)


def replied(call: Call, chat: dict[str, Any]) -> dict[str, Any] | None:
    """The message that is replied to. Raises Refusal when it is gone, unless the call allows that."""
    parameters = call.parameters
    if "reply_parameters" in parameters:
        given = json_of(parameters["reply_parameters"], "reply parameters")
        if not isinstance(given, Mapping):
            raise bad_request("Object expected as reply parameters")
    elif "reply_to_message_id" in parameters:
        given = {
            "message_id": parameters["reply_to_message_id"],
            "allow_sending_without_reply": parameters.get("allow_sending_without_reply"),
        }
    else:
        return None
    message_id = integer_parameter(given, "message_id")
    if message_id <= 0:
        return None
    there = call.world.chat(given["chat_id"]) if text_parameter(given, "chat_id") else chat
    found = call.world.messages.find(call.viewer, there["id"], message_id)
    if found is None:
        if boolean_parameter(given, "allow_sending_without_reply"):
            return None
        raise bad_request("Message to be replied not found")
    if there["id"] != chat["id"]:
        # A reply into another chat shows as an external reply, which these clients need not parse.
        return None
    found.pop("reply_to_message", None)
    return found


def message_ids_parameter(call: Call) -> list[int]:
    """The parameter `message_ids`: 1-100 numbers, strictly increasing. Raises Refusal."""
    value = call.parameters.get("message_ids", "")
    if value == "":
        raise bad_request("Message identifiers are not specified")
    given = json_of(value, "message identifiers")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of message identifiers")
    if not given:
        raise bad_request("Too few message identifiers specified")
    if len(given) > 100:  # noqa: PLR2004 - Telegram's limit, named in the answer
        raise bad_request("Too many message identifiers specified")
    try:
        numbers = [int(number) for number in given]
    except (TypeError, ValueError):
        raise bad_request("Message identifier is not a Number") from None
    if any(number <= 0 for number in numbers):
        raise bad_request("Invalid message identifier specified")
    return numbers


def own_message(call: Call, what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The chat and the message that the call names. Raises Refusal: "`what` not found"."""
    chat = call.chat()
    found = call.world.messages.find(call.viewer, chat["id"], integer_parameter(call.parameters, "message_id"))
    if found is None:
        raise bad_request(f"{what} not found")
    return chat, found


def check_author(call: Call, message: Mapping[str, Any], refusal: str) -> None:
    """Raises Refusal when another bot wrote the message, or in a business account's chat somebody else."""
    author = message.get("from") if call.account is None else message.get("sender_business_bot", {"id": 0})
    if author is not None and author["id"] != call.bot_id:
        raise Refusal(400, f"Bad Request: {refusal}")
