"""Reply markup: what Telegram refuses in keyboards, and what it keeps of inline ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dovecote.emulator.links import check_link
from dovecote.emulator.reading import json_of, string_field
from dovecote.emulator.refusal import Refusal, bad_request

CALLBACK_DATA_BYTES = 64
BUTTON_COUNT = 100

_BLANK = re.compile(r"\s")
_FLAGS = {
    "resize_keyboard": "ReplyKeyboardMarkup",
    "one_time_keyboard": "ReplyKeyboardMarkup",
    "is_persistent": "ReplyKeyboardMarkup",
    "remove_keyboard": "ReplyKeyboardRemove",
    "force_reply": "reply markup",
    "selective": "reply markup",
}


def reply_markup(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """The inline keyboard as a message shows it; other keyboards are checked, and no message shows them.

    Raises Refusal in Telegram's words.
    """
    value = parameters.get("reply_markup")
    if value is None or value == "":
        return None
    value = json_of(value, "reply keyboard markup")
    if not isinstance(value, Mapping):
        raise bad_request("Object expected as reply markup")
    for name, owner in _FLAGS.items():
        if name in value and not isinstance(value[name], bool):
            raise bad_request(f'Field "{name}" of the {owner} must be of the type Boolean')
    keyboard = _rows(value, "keyboard", "ReplyKeyboardMarkup")
    for button in (button for row in keyboard for button in row):
        _check_keyboard_button(button)
    rows: list[list[dict[str, Any]]] = []
    for row in _rows(value, "inline_keyboard", "InlineKeyboardMarkup"):
        buttons = [_inline_button(button) for button in row]
        if buttons:
            rows.append(buttons)
    if sum(len(row) for row in rows) > BUTTON_COUNT:
        raise bad_request("reply markup is too long")
    return {"inline_keyboard": rows} if rows and not keyboard else None


def _rows(value: Mapping[str, Any], field: str, owner: str) -> list[list[Any]]:
    rows = value.get(field)
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise bad_request(f'Field "{field}" of the {owner} must be an Array')
    if not all(isinstance(row, list) for row in rows):
        raise bad_request(f'Field "{field}" of the {owner} must be an Array of Arrays')
    return rows


def _check_keyboard_button(button: Any) -> None:
    if isinstance(button, str):
        return
    if not isinstance(button, Mapping):
        raise bad_request("Can't parse keyboard button: KeyboardButton must be a String or an Object")
    try:
        string_field(button, "text", required=True)
    except ValueError as error:
        raise bad_request(f"Can't parse keyboard button: {error}") from None


def _inline_button(button: Any) -> dict[str, Any]:
    if not isinstance(button, Mapping):
        raise bad_request("Can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    try:
        text = string_field(button, "text", required=True)
        action = _action(button)
    except ValueError as error:
        raise bad_request(f"Can't parse inline keyboard button: {error}") from None
    if not text:
        raise Refusal(400, "Bad Request: BUTTON_TEXT_INVALID")
    kept = {name: button[name] for name in ("style", "icon_custom_emoji_id") if button.get(name)}
    return {"text": text, **action, **kept}


def _action(button: Mapping[str, Any]) -> dict[str, Any]:
    """What the button does. Raises ValueError when it does nothing."""
    url = string_field(button, "url")
    if url:
        return {"url": _button_link(url)}
    data = string_field(button, "callback_data")
    if data:
        if len(data.encode()) > CALLBACK_DATA_BYTES:
            raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")
        return {"callback_data": data}
    for name, take in _OTHER_ACTIONS.items():
        value = button.get(name)
        if value is not None and value is not False:
            return {name: take(value, name)}
    raise ValueError("Text buttons are unallowed in the inline keyboard")


def _whole(value: Any, _name: str) -> Any:
    return value


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f'Field "{name}" must be of type Object')  # noqa: TRY004 - Telegram's words are a ValueError
    return value


def _query(value: Any, name: str) -> str:
    return string_field({name: value}, name)


def _linked(value: Any, name: str) -> dict[str, Any]:
    return {**_object(value, name), "url": _button_link(string_field(_object(value, name), "url", required=True))}


def _copied(value: Any, name: str) -> dict[str, Any]:
    return {"text": string_field(_object(value, name), "text", required=True)}


# In Telegram's order: the first that a button has is what it does.
_OTHER_ACTIONS: dict[str, Callable[[Any, str], Any]] = {
    "callback_game": _object,
    "pay": _whole,
    "switch_inline_query": _query,
    "switch_inline_query_current_chat": _query,
    "switch_inline_query_chosen_chat": _object,
    "login_url": _linked,
    "web_app": _linked,
    "copy_text": _copied,
}


def _button_link(url: str) -> str:
    if _BLANK.search(url.strip()):
        raise Refusal(400, "Bad Request: BUTTON_URL_INVALID")
    if url.lower().startswith("tg://user?id="):
        return url
    try:
        return check_link(url)
    except ValueError as error:
        raise bad_request(f"Inline keyboard button URL '{url}' is invalid: {error}") from None
