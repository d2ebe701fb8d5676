"""Methods that ask, and the answer to a pressed button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovecote.emulator.entities import utf16_length
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import json_of, text_of, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from dovecote.emulator.methods.registry import Call

CALLBACK_ANSWER = 200
INLINE_RESULTS = 50
RESULT_ID = 64
PERMISSIONS = (
    "can_send_messages",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_manage_topics",
    "can_react_to_messages",
    "can_edit_tag",
)


@method("getMe", acts=False)
def get_me(call: Call) -> Any:
    """The bot itself."""
    return {
        **call.world.bot(call.bot_id),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


@method("getChat", acts=False)
def get_chat(call: Call) -> Any:
    """A chat in full."""
    full: dict[str, Any] = {
        **call.chat(),
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": {
            "unlimited_gifts": True,
            "limited_gifts": True,
            "unique_gifts": True,
            "premium_subscription": True,
            "gifts_from_channels": True,
        },
    }
    if full["type"] != "private":
        full["permissions"] = dict.fromkeys(PERMISSIONS, True)
    full |= call.world.full(full["id"])
    pins = call.world.pins.get((call.world.messages.space(call.bot_id, full["id"]), full["id"]))
    if pins:
        message = call.world.messages.find(call.bot_id, full["id"], pins[-1])
        if message is not None:
            full["pinned_message"] = message
    return full


@method("getFile", acts=False)
def get_file(call: Call) -> Any:
    """Where a file can be downloaded."""
    return call.world.downloads.locate(call.bot_id, text_parameter(call.parameters, "file_id"))


@method("answerCallbackQuery")
def answer_callback_query(call: Call) -> Any:
    """Answer a pressed button, one of this bot's."""
    query = text_parameter(call.parameters, "callback_query_id")
    if query and utf16_length(text_parameter(call.parameters, "text")) > CALLBACK_ANSWER:
        raise Refusal(400, "Bad Request: MESSAGE_TOO_LONG")
    if not call.world.queries.are_for(call.bot_id, query):
        raise bad_request("Query is too old and response timeout expired or query ID is invalid")
    return True


@method("answerInlineQuery")
def answer_inline_query(call: Call) -> Any:
    """The results of an inline query, one of this bot's."""
    given = json_of(call.parameters.get("results", ""), "inline query results")
    if not isinstance(given, list):
        raise bad_request("Expected an Array of inline query results")
    if len(given) > INLINE_RESULTS:
        raise Refusal(400, "Bad Request: RESULTS_TOO_MUCH")
    identifiers: set[str] = set()
    for result in given:
        if not isinstance(result, dict):
            raise bad_request("Can't parse inline query result: expected an Object")
        identifier = text_of(result.get("id", ""))
        if not 0 < len(identifier.encode()) <= RESULT_ID:
            raise Refusal(400, "Bad Request: RESULT_ID_INVALID")
        if identifier in identifiers:
            raise Refusal(400, "Bad Request: RESULT_ID_DUPLICATE")
        identifiers.add(identifier)
    if not call.world.queries.are_for(call.bot_id, text_parameter(call.parameters, "inline_query_id")):
        raise bad_request("Query is too old and response timeout expired or query ID is invalid")
    return True
