"""Methods that send a message without a file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dovecote.emulator.methods.posting import post
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import (
    integer_parameter,
    required_text,
    text_of,
    text_parameter,
)
from dovecote.emulator.refusal import Refusal, bad_request
from dovecote.emulator.text import check_text, message_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.emulator.methods.registry import Call

ACTIONS = frozenset(
    {
        "cancel",
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_audio",
        "upload_audio",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "pick_up_location",
        "find_location",
        "record_video_note",
        "upload_video_note",
    }
)
DICE = {"🎲": 6, "🎯": 6, "🎳": 6, "🏀": 5, "⚽": 5, "🎰": 64}


@method("sendMessage")
def send_message(call: Call) -> Any:
    """Text."""
    formatted = message_text(call.parameters)
    content: dict[str, Any] = {"text": formatted.text}
    if formatted.entities:
        content["entities"] = formatted.entities
    # UTF-16 makes at most two units of a character, so most texts need no counting.
    if len(formatted.text) * 2 > 4096:  # noqa: PLR2004 - the limit, checked by check_text
        return post(call, content, lambda: check_text(formatted))
    return post(call, content)


@method("sendLocation")
def send_location(call: Call) -> Any:
    """A point on the map."""
    location = location_of(call.parameters)
    period = integer_parameter(call.parameters, "live_period")
    if period:
        location["live_period"] = period
    return post(call, {"location": location})


@method("sendVenue")
def send_venue(call: Call) -> Any:
    """A point on the map with a name."""
    parameters = call.parameters
    location = location_of(parameters)
    venue: dict[str, Any] = {
        "location": location,
        "title": required_text(parameters, "title"),
        "address": required_text(parameters, "address"),
    }
    for name in ("foursquare_id", "foursquare_type", "google_place_id", "google_place_type"):
        if text_parameter(parameters, name):
            venue[name] = text_parameter(parameters, name)
    return post(call, {"location": location, "venue": venue})


def location_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The point that the parameters name. Raises Refusal."""
    location: dict[str, Any] = {}
    for name, limit in (("latitude", 90.0), ("longitude", 180.0)):
        text = text_parameter(parameters, name).strip()
        if not text:
            raise bad_request(f"{name} is empty")
        location[name] = _number(text)
        if not abs(location[name]) <= limit:
            raise bad_request("Wrong location specified")
    if text_parameter(parameters, "horizontal_accuracy"):
        location["horizontal_accuracy"] = _number(text_parameter(parameters, "horizontal_accuracy"))
    return location


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        # td::to_double reads what is no number as zero.
        return 0.0
    if not math.isfinite(number):
        raise bad_request("Wrong location specified")
    return number


@method("sendContact")
def send_contact(call: Call) -> Any:
    """A telephone number."""
    parameters = call.parameters
    contact = {
        "phone_number": required_text(parameters, "phone_number"),
        "first_name": required_text(parameters, "first_name"),
    }
    for name in ("last_name", "vcard"):
        if text_parameter(parameters, name):
            contact[name] = text_parameter(parameters, name)
    return post(call, {"contact": contact})


@method("sendDice")
def send_dice(call: Call) -> Any:
    """A die, thrown by the emulator's own random numbers."""
    emoji = text_parameter(call.parameters, "emoji") or "🎲"
    if emoji not in DICE:
        raise Refusal(400, "Bad Request: EMOTICON_INVALID")
    return post(call, {"dice": {"emoji": emoji, "value": call.world.random.randint(1, DICE[emoji])}})


@method("sendChatAction")
def send_chat_action(call: Call) -> Any:
    """What the bot is seen doing."""
    if text_of(call.parameters.get("action", "")).lower() not in ACTIONS:
        raise bad_request("Wrong parameter action in request")
    call.chat()
    return True


@method("sendMessageDraft")
def send_message_draft(call: Call) -> Any:
    """What the bot is seen writing, in a private chat: it is shown for a while and is no message."""
    parameters = call.parameters
    if not integer_parameter(parameters, "draft_id"):
        raise Refusal(400, "Bad Request: DRAFT_ID_INVALID")
    if text_parameter(parameters, "text"):
        check_text(message_text(parameters))
    if call.chat()["type"] != "private":
        raise bad_request("Drafts can be sent to private chats only")
    return True
