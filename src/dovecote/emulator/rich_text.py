"""The text of rich messages: each piece of it checked, and counted, as a message shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from dovecote.emulator.links import check_link
from dovecote.emulator.reading import integer_field, string_field

DEEPEST: Final = 16
CALLBACK_DATA_BYTES: Final = 64
# A date is at most so far ahead.
FURTHEST_SECONDS: Final = 1098 * 86_400

_STYLES: Final = frozenset(
    {"bold", "italic", "underline", "strikethrough", "spoiler", "code", "marked", "subscript", "superscript"}
)
# What stands beside the text in a piece of it, by the piece's type, what it has to look like, and what Telegram says
# of one that does not.
_MARKED: Final[dict[str, tuple[str, str, str]]] = {
    "email_address": ("email_address", r"[^\s@]+@[^\s@]+\.[^\s@.]+", "EMAIL"),
    "phone_number": ("phone_number", r"\+?[\d\s()-]{3,24}", "PHONE"),
    "bank_card_number": ("bank_card_number", r"[\d\s-]{13,24}", "BANK_CARD"),
    "mention": ("username", r"@?[A-Za-z]\w{3,31}", "MENTION"),
    "hashtag": ("hashtag", r"#?\w+(?:@\w+)?", "HASHTAG"),
    "cashtag": ("cashtag", r"\$?[A-Z0-9]{1,8}(?:@\w+)?", "CASHTAG"),
    "bot_command": ("bot_command", r"/?\w{1,64}(?:@\w{3,32})?", "BOT_COMMAND"),
}
# What an anchor, a reference or a link to them is called; a link to no name leads to the top.
_NAMED: Final = {"anchor_link": "anchor_name", "reference": "name", "reference_link": "reference_name"}
_DATE: Final = re.compile(r"r|w?[dD]?[tT]?")
_ACTIONS: Final = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "disabled",
)
_HELD: Final = frozenset({"button", "buttons"})
_BUTTON_STYLES: Final = frozenset({"danger", "success", "primary", "link"})


def object_of(given: Any, what: str = "expected an Object") -> Mapping[str, Any]:
    """The JSON object. Raises ValueError with `what`."""
    if not isinstance(given, Mapping):
        raise ValueError(what)  # noqa: TRY004 - Telegram's words travel as ValueError here
    return given


def is_blank(text: Any) -> bool:
    """Whether nothing is there to be read."""
    if isinstance(text, list):
        return all(is_blank(piece) for piece in text)
    if isinstance(text, Mapping):
        return "text" in text and is_blank(text["text"])
    return not text


def plain(text: Any) -> str:
    """What is to be read of a RichText, without its forms."""
    if isinstance(text, list):
        return "".join(plain(piece) for piece in text)
    if isinstance(text, Mapping):
        return plain(text.get("text", text.get("alternative_text", "")))
    return str(text)


def buttons_in(shown: Any) -> list[Mapping[str, Any]]:
    """The buttons of a RichMessage, in order, wherever in it they stand."""
    if isinstance(shown, list):
        return [button for one in shown for button in buttons_in(one)]
    if not isinstance(shown, Mapping):
        return []
    own = [shown["button"]] if shown.get("type") == "button" else shown.get("buttons", [])
    return [*own, *(button for name, one in shown.items() if name not in _HELD for button in buttons_in(one))]


class RichTexts:
    """Reads the texts of one message. `length` grows with them; `depth` is how deep the reader stands."""

    def __init__(self, now: float) -> None:
        self.length = 0
        self.depth = 0
        self._now = now
        self._textless: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "anchor": lambda piece: {"name": string_field(piece, "name", required=True)},
            "mathematical_expression": self._formula,
            "custom_emoji": self._emoji,
            "button": lambda piece: {"button": self.button(object_of(piece.get("button")))},
        }
        self._others: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "url": lambda piece: {"url": _url(piece)},
            "text_mention": _user,
            "date_time": self._date,
        }

    def deeper(self) -> None:
        """Go one level down; whoever does comes up again by `depth`. Raises ValueError."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError("RICH_MESSAGE_DEPTH_INVALID")

    def counted(self, text: str) -> str:
        """The text, which is in the message."""
        self.length += len(text)
        return text

    def text(self, given: Any) -> Any:
        """A RichText: a string, a list of them, or an object. Raises ValueError."""
        if isinstance(given, str):
            return self.counted(given)
        read: Any
        if isinstance(given, list):
            self.deeper()
            read = [self.text(piece) for piece in given]
        else:
            piece = object_of(given)
            self.deeper()
            read = self._piece(piece)
        self.depth -= 1
        return read

    def _piece(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        kind = string_field(piece, "type", required=True)
        textless = self._textless.get(kind)
        if textless is not None:
            return {"type": kind, **textless(piece)}
        if kind not in _STYLES | _NAMED.keys() | _MARKED.keys() | self._others.keys():
            raise ValueError("Unsupported rich text type")
        shown = {"type": kind, "text": self.text(piece.get("text"))}
        if kind in _NAMED:
            return shown | {_NAMED[kind]: string_field(piece, _NAMED[kind], required=True)}
        if kind in _MARKED:
            return shown | _marked(kind, piece)
        return shown | self._others.get(kind, _nothing)(piece)

    def _formula(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        return {"expression": self.counted(string_field(piece, "expression", required=True))}

    def _emoji(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        number = string_field(piece, "custom_emoji_id", required=True)
        shown = self.counted(string_field(piece, "alternative_text", required=True))
        # A word in place of an emoji is refused; no table of all emoji is kept here.
        if not number.isdecimal() or shown.isascii() or any(character.isalpha() for character in shown):
            raise ValueError("RICH_MESSAGE_EMOJI_INVALID")
        return {"custom_emoji_id": number, "alternative_text": shown}

    def _date(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        moment = integer_field(piece, "unix_time", required=True)
        form = string_field(piece, "date_time_format", required=True)
        if not 0 <= moment <= self._now + FURTHEST_SECONDS or not _DATE.fullmatch(form):
            raise ValueError("RICH_MESSAGE_DATE_INVALID")
        return {"unix_time": moment, "date_time_format": form}

    def button(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A RichMessageButton. Raises ValueError."""
        actions = [name for name in _ACTIONS if given.get(name) is not None and given[name] is not False]
        if len(actions) != 1:
            raise ValueError("Exactly one action of a button must be specified")
        text = self.text(given.get("text"))
        if is_blank(text):
            raise ValueError("BUTTON_TEXT_INVALID")
        style = string_field(given, "style")
        if style and style not in _BUTTON_STYLES:
            raise ValueError(f'Unsupported button style "{style}"')
        return {"text": text, **_action(actions[0], given), **({"style": style} if style else {})}


def _action(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    match name:
        case "callback_data":
            data = string_field(given, name)
            if not 0 < len(data.encode()) <= CALLBACK_DATA_BYTES:
                raise ValueError("BUTTON_DATA_INVALID")
            return {name: data}
        case "url":
            return {name: _button_link(string_field(given, name))}
        case "web_app" | "login_url":
            shown = object_of(given[name])
            return {name: {**shown, "url": _button_link(string_field(shown, "url", required=True))}}
        case "switch_inline_query" | "switch_inline_query_current_chat":
            return {name: string_field(given, name)}
    shown = object_of(given[name])
    if name == "copy_text":
        string_field(shown, "text", required=True)
    return {name: shown}


def _button_link(url: str) -> str:
    if url.lower().startswith("tg://user?id="):
        return url
    try:
        return check_link(url)
    except ValueError:
        raise ValueError("BUTTON_URL_INVALID") from None


def _nothing(_: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _user(piece: Mapping[str, Any]) -> dict[str, Any]:
    number = integer_field(object_of(piece.get("user")), "id", required=True)
    return {"user": {"id": number, "is_bot": False, "first_name": f"User {number}"}}


def _url(piece: Mapping[str, Any]) -> str:
    try:
        return check_link(string_field(piece, "url", required=True))
    except ValueError as error:
        if str(error).startswith(("Can't find", "Field")):
            raise
        raise ValueError("RICH_MESSAGE_URL_INVALID") from None


def _marked(kind: str, piece: Mapping[str, Any]) -> dict[str, str]:
    name, form, word = _MARKED[kind]
    value = string_field(piece, name, required=True)
    if not re.fullmatch(form, value):
        raise ValueError(f"RICH_MESSAGE_{word}_INVALID")
    return {name: value}
