"""Rich messages that are given as blocks: each block and each piece of text checked, as a message shows them.

Their markup (html, markdown) is another matter: Telegram alone parses it. The words of Telegram's refusals are not
known for all of this; where they are not, they follow those that it has for other objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dovecote.emulator.reading import boolean_parameter, integer_field, string_field
from dovecote.emulator.refusal import bad_request

LONGEST: Final = 32_768
MOST_BLOCKS: Final = 500
DEEPEST: Final = 16
HEADINGS: Final = range(1, 7)

# What stands beside the text in a piece of it, by the piece's type; all of it is text and has to be there.
_MARKED: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            "bold",
            "italic",
            "underline",
            "strikethrough",
            "spoiler",
            "code",
            "marked",
            "subscript",
            "superscript",
        ),
        (),
    ),
    "url": ("url",),
    "email_address": ("email_address",),
    "phone_number": ("phone_number",),
    "bank_card_number": ("bank_card_number",),
    "mention": ("username",),
    "hashtag": ("hashtag",),
    "cashtag": ("cashtag",),
    "bot_command": ("bot_command",),
    "anchor_link": ("anchor_name",),
    "reference": ("name",),
    "reference_link": ("reference_name",),
}
# Those without a text of their own.
_TEXTLESS: Final[dict[str, tuple[str, ...]]] = {
    "anchor": ("name",),
    "mathematical_expression": ("expression",),
    "custom_emoji": ("custom_emoji_id", "alternative_text"),
}
MEDIA: Final = frozenset({"photo", "video", "animation", "audio", "document", "voice_note"})
# The members of a block by its type, and how each is read; those with a question mark may be missing.
_SHAPES: Final[dict[str, dict[str, str]]] = {
    "paragraph": {"text": "text"},
    "footer": {"text": "text"},
    "heading": {"text": "text", "size": "size"},
    "pre": {"text": "text", "language": "string?"},
    "pullquote": {"text": "text", "credit": "text?"},
    "expandable_blockquote": {"text": "text", "credit": "text?"},
    "blockquote": {"blocks": "blocks", "credit": "text?"},
    "details": {"summary": "text", "blocks": "blocks", "is_open": "flag?"},
    "collage": {"blocks": "blocks", "caption": "caption?"},
    "slideshow": {"blocks": "blocks", "caption": "caption?"},
    "list": {"items": "items"},
    "table": {
        "cells": "cells",
        "is_bordered": "flag?",
        "is_striped": "flag?",
        "is_compact": "flag?",
        "caption": "text?",
    },
    "divider": {},
    "anchor": {"name": "string"},
    "mathematical_expression": {"expression": "formula"},
    "map": {"location": "location", "zoom": "side", "width": "side", "height": "side", "caption": "caption?"},
    "buttons": {"buttons": "buttons", "align": "string?"},
    "thinking": {"text": "text"},
}
_PLACE: Final = ("latitude", "longitude")
_SIDES: Final = {"zoom": 15, "width": 600, "height": 300}


class RichMessage:
    """One rich message as it is read. `media` makes the members of a file; `drafted`: it may be unfinished."""

    def __init__(self, media: Callable[[str, Mapping[str, Any]], dict[str, Any]], *, drafted: bool) -> None:
        self._media = media
        self._drafted = drafted
        self._length = 0
        self._blocks = 0
        self._depth = 0
        self._readers: dict[str, Callable[[Any, str], Any]] = {
            "text": lambda value, _: self.text(value),
            "blocks": lambda value, _: self.blocks(value),
            "items": lambda value, _: self._items(value),
            "cells": lambda value, _: self._cells(value),
            "caption": lambda value, _: self._caption(value),
            "buttons": lambda value, _: self._buttons(value),
            "location": lambda value, _: {name: _degrees(self._object(value), name) for name in _PLACE},
            "formula": lambda value, name: self._counted(string_field({name: value}, name, required=True)),
            "string": lambda value, name: string_field({name: value}, name, required=True),
            "flag": lambda value, name: boolean_parameter({name: value}, name),
            "side": lambda value, name: integer_field({name: value}, name) or _SIDES[name],
            "size": lambda value, name: _heading(integer_field({name: value}, name, required=True)),
        }

    def read(self, given: Any) -> dict[str, Any]:
        """An InputRichMessage as a RichMessage. Raises Refusal."""
        try:
            message = self._object(given)
            check_way(message)
            read = {"blocks": self.blocks(message["blocks"])}
        except ValueError as error:
            raise bad_request(f"Can't parse InputRichMessage: {error}") from None
        if self._length > LONGEST:
            raise bad_request("Message is too long")
        return read | ({"is_rtl": True} if boolean_parameter(message, "is_rtl") else {})

    @staticmethod
    def _object(given: Any) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            raise ValueError("expected an Object")  # noqa: TRY004 - Telegram's words travel as ValueError here
        return given

    def blocks(self, given: Any) -> list[dict[str, Any]]:
        """InputRichBlocks as RichBlocks. Raises ValueError, and Refusal for a file."""
        if not isinstance(given, list):
            raise ValueError('Field "blocks" must be of type Array')  # noqa: TRY004 - as above
        self._blocks += len(given)
        if self._blocks > MOST_BLOCKS:
            raise ValueError("too many blocks specified")
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError("blocks are nested too deep")
        read = [self._block(self._object(block)) for block in given]
        self._depth -= 1
        return read

    def _block(self, given: Mapping[str, Any]) -> dict[str, Any]:
        kind = string_field(given, "type", required=True)
        if kind in MEDIA:
            caption = {} if given.get("caption") is None else {"caption": self._caption(given["caption"])}
            return {"type": kind, **self._media(kind, self._object(given.get(kind))), **caption}
        shape = _SHAPES.get(kind)
        if shape is None or (kind == "thinking" and not self._drafted):
            raise ValueError(f'block type "{kind}" is unsupported')
        block: dict[str, Any] = {"type": kind}
        for name, way in shape.items():
            value = given.get(name)
            if not way.endswith("?"):
                block[name] = self._readers[way](value, name)
            elif value is not None and value is not False:
                block[name] = self._readers[way.removesuffix("?")](value, name)
        return block

    def _caption(self, given: Any) -> dict[str, Any]:
        caption = self._object(given)
        return {"text": self.text(caption.get("text")), **self._texts(caption, "credit")}

    def _buttons(self, given: Any) -> list[dict[str, Any]]:
        if not isinstance(given, list) or not given:
            raise ValueError('Field "buttons" must be a non-empty Array')
        return [self._button(self._object(button)) for button in given]

    def _items(self, given: Any) -> list[dict[str, Any]]:
        if not isinstance(given, list) or not given:
            raise ValueError('Field "items" must be a non-empty Array')
        items: list[dict[str, Any]] = []
        number = 0
        for one in map(self._object, given):
            kind = string_field(one, "type")
            number = integer_field(one, "value") or number + 1
            item = {"label": f"{number}." if kind else "•", "blocks": self.blocks(one.get("blocks"))}
            items.append(item | self._flags(one, "has_checkbox", "is_checked"))
            if kind:
                items[-1] |= {"type": kind, "value": number}
        return items

    def _cells(self, given: Any) -> list[list[dict[str, Any]]]:
        if not isinstance(given, list) or not all(isinstance(row, list) for row in given):
            raise ValueError('Field "cells" must be an Array of Arrays')
        return [[self._cell(self._object(cell)) for cell in row] for row in given]

    def _cell(self, given: Mapping[str, Any]) -> dict[str, Any]:
        spans = {name: integer_field(given, name) for name in ("colspan", "rowspan")}
        return {
            "align": string_field(given, "align") or "left",
            "valign": string_field(given, "valign") or "top",
            **self._texts(given, "text"),
            **self._flags(given, "is_header"),
            **{name: span for name, span in spans.items() if span},
        }

    def _button(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {**given, "text": self.text(given.get("text"))}

    def text(self, given: Any) -> Any:
        """A RichText: a string, a list of them, or an object. Raises ValueError."""
        if isinstance(given, str):
            return self._counted(given)
        if isinstance(given, list):
            return [self.text(piece) for piece in given]
        return self._piece(self._object(given))

    def _piece(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        kind = string_field(piece, "type", required=True)
        if kind in _TEXTLESS:
            return {"type": kind, **{name: string_field(piece, name, required=True) for name in _TEXTLESS[kind]}}
        if kind == "button":
            return {"type": kind, "button": self._button(self._object(piece.get("button")))}
        shown = {"type": kind, "text": self.text(piece.get("text"))}
        if kind == "text_mention":
            number = integer_field(self._object(piece.get("user")), "id", required=True)
            return shown | {"user": {"id": number, "is_bot": False, "first_name": f"User {number}"}}
        if kind == "date_time":
            form = string_field(piece, "date_time_format", required=True)
            return shown | {"unix_time": integer_field(piece, "unix_time", required=True), "date_time_format": form}
        if kind not in _MARKED:
            raise ValueError(f'text type "{kind}" is unsupported')
        return shown | {name: string_field(piece, name, required=True) for name in _MARKED[kind]}

    def _counted(self, text: str) -> str:
        self._length += len(text)
        return text

    def _texts(self, given: Mapping[str, Any], *names: str) -> dict[str, Any]:
        return {name: self.text(given[name]) for name in names if given.get(name) is not None}

    @staticmethod
    def _flags(given: Mapping[str, Any], *names: str) -> dict[str, bool]:
        return {name: True for name in names if boolean_parameter(given, name)}


def check_way(message: Mapping[str, Any]) -> None:
    """Raises Refusal unless the content is given in one way, and as blocks."""
    ways = [name for name in ("html", "markdown", "blocks") if message.get(name)]
    if len(ways) != 1:
        raise bad_request("Exactly one of the fields html, markdown and blocks of the rich message must be used")
    if ways != ["blocks"]:
        raise bad_request(f"Dovecote's emulator does not parse the {ways[0]} of rich messages; use blocks")


def _heading(size: int) -> int:
    if size not in HEADINGS:
        raise ValueError("heading size must be from 1 to 6")
    return size


def _degrees(location: Mapping[str, Any], name: str) -> float:
    value = location.get(name)
    if not isinstance(value, int | float):
        raise ValueError(f'Field "{name}" must be of type Number')  # noqa: TRY004 - as above
    return float(value)
