"""Methods that change what is no text: a file, a place, a poll, reactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.markup import reply_markup
from dovecote.emulator.methods.editing import edit, message_to_edit, with_markup
from dovecote.emulator.methods.media import input_media
from dovecote.emulator.methods.posting import check_author, own_message
from dovecote.emulator.methods.registry import method
from dovecote.emulator.methods.sending import location_of
from dovecote.emulator.reading import integer_parameter, json_of, text_of
from dovecote.emulator.refusal import Refusal, bad_request
from dovecote.emulator.text import caption, check_caption

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

MEDIA: Final = frozenset({"photo", "live_photo", "video", "audio", "document", "animation"})
# All that a file gives a message, and that goes with it.
FILE_MEMBERS: Final = (
    *sorted(MEDIA),
    "caption",
    "caption_entities",
    "show_caption_above_media",
    "has_media_spoiler",
    "reply_markup",
)
REACTIONS: Final = frozenset(
    "👍👎❤🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣⚡🍌🏆💔🤨😐🍓🍾💋🖕😈😴😭🤓👻👀🎃🙈😇😨🤝✍🤗🫡🎅🎄☃💅🤪🗿🆒💘🙉🦄😘💊🙊😎👾😡"
) | {"❤️\u200d🔥", "👨\u200d💻", "🤷\u200d♂", "🤷", "🤷\u200d♀"}
_VARIATION: Final = "\ufe0f"
_PLAIN: Final = frozenset(emoji.replace(_VARIATION, "") for emoji in REACTIONS) - {""}


@method("editMessageMedia")
def edit_message_media(call: Call) -> Any:
    """Another file, with its own caption; without `reply_markup` the keyboard goes."""
    value = call.parameters.get("media", "")
    given = None if value == "" else json_of(value, "input media")
    if given is None:
        raise bad_request("Input media is not specified")
    _, content = input_media(call, given, MEDIA)
    markup = reply_markup(call.parameters)
    message = message_to_edit(call)
    if not any(kind in message for kind in MEDIA):
        raise bad_request("There is no media in the message to edit")
    if "media_group_id" in message and "animation" in content:
        raise bad_request("Can't use the media of the specified type in the album")
    check_caption(caption(given))
    return edit(call, message, with_markup(content, markup), FILE_MEMBERS)


@method("editMessageLiveLocation")
def edit_message_live_location(call: Call) -> Any:
    """A live location moves."""
    location = location_of(call.parameters)
    markup = reply_markup(call.parameters)
    message = _live(call)
    period = integer_parameter(call.parameters, "live_period")
    location["live_period"] = period or message["location"]["live_period"]
    for name in ("heading", "proximity_alert_radius"):
        if integer_parameter(call.parameters, name):
            location[name] = integer_parameter(call.parameters, name)
    return edit(call, message, with_markup({"location": location}, markup), ("location", "reply_markup"))


@method("stopMessageLiveLocation")
def stop_message_live_location(call: Call) -> Any:
    """A live location moves no more."""
    markup = reply_markup(call.parameters)
    message = _live(call)
    location = {name: message["location"][name] for name in ("latitude", "longitude")}
    return edit(call, message, with_markup({"location": location}, markup), ("location", "reply_markup"))


def _live(call: Call) -> dict[str, Any]:
    message = message_to_edit(call)
    if "live_period" not in message.get("location", {}):
        raise bad_request("There is no live location in the message to edit")
    return message


@method("stopPoll")
def stop_poll(call: Call) -> Any:
    """End a poll; answers it."""
    markup = reply_markup(call.parameters)
    _, message = own_message(call, "Message with poll to stop")
    check_author(call, message, "poll can't be stopped")
    poll = message.get("poll")
    if poll is None:
        raise bad_request("Message is not a poll")
    if poll["is_closed"]:
        raise bad_request("Poll has already been closed")
    edit(call, message, with_markup({"poll": poll | {"is_closed": True}}, markup), ("poll", "reply_markup"))
    return poll | {"is_closed": True}


@method("setMessageReaction")
def set_message_reaction(call: Call) -> Any:
    """The bot's reaction to a message: one of Telegram's emoji, a custom one, or none."""
    given = json_of(call.parameters.get("reaction") or [], "reaction types")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of ReactionType")
    emoji = [_reaction(one) for one in given]
    chat, message = own_message(call, "Message to react")
    if len(emoji) > 1:
        raise Refusal(400, "Bad Request: REACTIONS_TOO_MANY")
    key = (call.bot_id, chat["id"], message["message_id"], call.bot_id)
    call.world.reactions[key] = tuple(emoji)
    call.message_ids = (message["message_id"],)
    return True


def _reaction(given: Any) -> str:
    if not isinstance(given, dict):
        raise bad_request("Can't parse ReactionType: expected an Object")
    match given.get("type"):
        case "emoji":
            emoji = text_of(given.get("emoji", ""))
            if emoji.replace(_VARIATION, "") not in _PLAIN:
                raise Refusal(400, "Bad Request: REACTION_INVALID")
            return emoji
        case "custom_emoji":
            return text_of(given.get("custom_emoji_id", ""))
    raise Refusal(400, "Bad Request: REACTION_INVALID")


def _forget_reactions(call: Call, chat_id: int, message_id: int | None) -> None:
    actor = integer_parameter(call.parameters, "user_id") or integer_parameter(call.parameters, "actor_chat_id")
    reactions = call.world.reactions
    for key in list(reactions):
        bot_id, chat, message, who = key
        if (bot_id, chat, who) == (call.bot_id, chat_id, actor) and message_id in {None, message}:
            del reactions[key]


@method("deleteMessageReaction")
def delete_message_reaction(call: Call) -> Any:
    """Take away what somebody has reacted to a message with."""
    chat, message = own_message(call, "Message to react")
    _forget_reactions(call, chat["id"], message["message_id"])
    call.message_ids = (message["message_id"],)
    return True


@method("deleteAllMessageReactions")
def delete_all_message_reactions(call: Call) -> Any:
    """Take away all that somebody has reacted with in a chat."""
    _forget_reactions(call, call.chat()["id"], None)
    return True
