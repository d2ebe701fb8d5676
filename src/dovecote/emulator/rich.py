"""Rich messages: each block and each piece of text checked, as a message shows them.

They come as blocks, or as HTML or Markdown, which are read as blocks first. Telegram's own words for a refusal are used
where they are known from what others met; docs/emulator.md says which are the emulator's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.reading import boolean_parameter, integer_field, string_field
from dovecote.emulator.refusal import bad_request
from dovecote.emulator.rich_html import html_blocks
from dovecote.emulator.rich_markdown import markdown_html
from dovecote.emulator.rich_text import RichTexts, is_blank, object_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST: Final = 32_768
MOST_BLOCKS: Final = 500
MOST_MEDIA: Final = 50
MOST_COLUMNS: Final = 20
MOST_BUTTONS: Final = 8
HEADINGS: Final = range(1, 7)
ZOOMS: Final = range(25)

MEDIA: Final = frozenset({"photo", "video", "animation", "audio", "document", "voice_note"})
_GALLERIES: Final = frozenset({"collage", "slideshow"})
# The members of a block by its type, and how each is read; those with a question mark may be missing, and those with
# an exclamation mark may not be empty.
_SHAPES: Final[dict[str, dict[str, str]]] = {
    "paragraph": {"text": "text"},
    "footer": {"text": "text!"},
    "heading": {"text": "text!", "size": "size"},
    "pre": {"text": "text!", "language": "string?"},
    "pullquote": {"text": "text!", "credit": "text?"},
    "expandable_blockquote": {"text": "text!", "credit": "text?"},
    "blockquote": {"blocks": "blocks!", "credit": "text?"},
    "details": {"summary": "text", "blocks": "blocks!", "is_open": "flag?"},
    "collage": {"blocks": "blocks!", "caption": "caption?"},
    "slideshow": {"blocks": "blocks!", "caption": "caption?"},
    "list": {"items": "items"},
    "table": {
        "cells": "cells!",
        "is_bordered": "flag?",
        "is_striped": "flag?",
        "is_compact": "flag?",
        "caption": "text?",
    },
    "divider": {},
    "anchor": {"name": "string"},
    "mathematical_expression": {"expression": "formula!"},
    "map": {"location": "location", "zoom": "zoom", "width": "side", "height": "side", "caption": "caption?"},
    "buttons": {"buttons": "buttons", "align": "string?"},
    "thinking": {"text": "text"},
}
_PLACE: Final = ("latitude", "longitude")
_SIDES: Final = {"width": 600, "height": 300}
_ZOOM: Final = 15
_LABELS: Final = frozenset("aAiI1")
_ROMAN: Final = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_LARGEST_ROMAN: Final = 4000
_ALIGNS: Final = {"align": ("left", "center", "right"), "valign": ("top", "middle", "bottom")}
_MEDIA_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONSTANT: Final = re.compile(r"[A-Z][A-Z_]+")
_WAYS: Final = ("html", "markdown", "blocks")


class RichMessage:
    """One rich message as it is read. `media` makes the members of a file; `drafted`: it may be unfinished.

    `now` is the time that dates in it are judged by, in seconds.
    """

    def __init__(self, media: Callable[[str, Mapping[str, Any]], dict[str, Any]], *, drafted: bool, now: float) -> None:
        self._media = media
        self._drafted = drafted
        self._texts = RichTexts(now)
        self._blocks = 0
        self._files = 0
        self._shown = 0
        self._readers: dict[str, Callable[[Any, str], Any]] = {
            "text": lambda value, _: self._texts.text(value),
            "blocks": lambda value, _: self.blocks(value),
            "items": lambda value, _: self._items(value),
            "cells": lambda value, _: self._cells(value),
            "caption": lambda value, _: self._caption(value),
            "buttons": lambda value, _: self._buttons(value),
            "location": lambda value, _: self._location(value),
            "formula": lambda value, name: self._texts.counted(string_field({name: value}, name, required=True)),
            "string": lambda value, name: string_field({name: value}, name, required=True),
            "flag": lambda value, name: boolean_parameter({name: value}, name),
            "side": lambda value, name: integer_field({name: value}, name) or _SIDES[name],
            "zoom": lambda value, name: _within(ZOOMS, integer_field({name: value}, name) or _ZOOM, name),
            "size": lambda value, name: _within(HEADINGS, integer_field({name: value}, name, required=True), name),
        }

    def read(self, given: Any) -> dict[str, Any]:
        """An InputRichMessage as a RichMessage. Raises Refusal."""
        try:
            message = object_of(given, "Object expected as rich message")
            blocks = _source(message)
        except ValueError as error:
            raise _refused(error, "") from None
        try:
            read = {"blocks": self.blocks(blocks)}
        except ValueError as error:
            raise _refused(error, "Can't parse InputRichBlock: ") from None
        if self._texts.length > LONGEST:
            raise bad_request("RICH_MESSAGE_TEXT_TOO_LONG")
        if not self._texts.length and not self._shown:
            raise bad_request("RICH_MESSAGE_EMPTY")
        return read | ({"is_rtl": True} if boolean_parameter(message, "is_rtl") else {})

    def blocks(self, given: Any) -> list[dict[str, Any]]:
        """InputRichBlocks as RichBlocks. Raises ValueError, and Refusal for a file."""
        if not isinstance(given, list):
            raise ValueError('Field "blocks" must be of type Array')  # noqa: TRY004 - Telegram's words are a ValueError
        self._count(len(given))
        self._texts.deeper()
        read = [self._block(object_of(block)) for block in given]
        self._texts.depth -= 1
        return read

    def _count(self, blocks: int) -> None:
        self._blocks += blocks
        if self._blocks > MOST_BLOCKS:
            raise ValueError("RICH_MESSAGE_BLOCKS_TOO_MANY")

    def _block(self, given: Mapping[str, Any]) -> dict[str, Any]:
        kind = string_field(given, "type", required=True)
        if kind in MEDIA:
            return self._file(kind, given)
        shape = _SHAPES.get(kind)
        if shape is None:
            raise ValueError(f'type "{kind}" is unsupported')
        if kind == "thinking" and not self._drafted:
            raise ValueError("RICH_MESSAGE_BLOCK_UNSUPPORTED")
        block: dict[str, Any] = {"type": kind}
        for name, way in shape.items():
            value = given.get(name)
            if not way.endswith("?"):
                block[name] = self._readers[way.removesuffix("!")](value, name)
                if way.endswith("!") and is_blank(block[name]):
                    raise ValueError("RICH_MESSAGE_CONTENT_REQUIRED")
            elif value is not None and value is not False:
                block[name] = self._readers[way.removesuffix("?")](value, name)
        if kind in _GALLERIES and any(one["type"] not in MEDIA for one in block["blocks"]):
            raise ValueError("RICH_MESSAGE_BLOCK_UNEXPECTED")
        return block

    def _file(self, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
        self._files += 1
        self._shown += 1
        if self._files > MOST_MEDIA:
            raise ValueError("RICH_MESSAGE_MEDIA_TOO_MANY")
        caption = {} if given.get("caption") is None else {"caption": self._caption(given["caption"])}
        return {"type": kind, **self._media(kind, object_of(given.get(kind))), **caption}

    def _caption(self, given: Any) -> dict[str, Any]:
        caption = object_of(given)
        credit = {} if caption.get("credit") is None else {"credit": self._texts.text(caption["credit"])}
        return {"text": self._texts.text(caption.get("text")), **credit}

    def _buttons(self, given: Any) -> list[dict[str, Any]]:
        if not isinstance(given, list) or not 0 < len(given) <= MOST_BUTTONS:
            raise ValueError(f'Field "buttons" must be an Array of 1-{MOST_BUTTONS} buttons')
        return [self._texts.button(object_of(button)) for button in given]

    def _location(self, given: Any) -> dict[str, float]:
        self._shown += 1
        return {name: _degrees(object_of(given), name) for name in _PLACE}

    def _items(self, given: Any) -> list[dict[str, Any]]:
        if not isinstance(given, list) or not given:
            raise ValueError("List must be non-empty")
        self._count(len(given))
        items: list[dict[str, Any]] = []
        number = 0
        for one in (object_of(item, "Object expected as InputRichBlockListItem") for item in given):
            kind = string_field(one, "type")
            if kind and kind not in _LABELS:
                raise ValueError("Invalid list item type specified")
            number = integer_field(one, "value") if one.get("value") is not None else number + 1
            item = {"label": _label(number, kind) if kind else "•", "blocks": self.blocks(one.get("blocks"))}
            if not item["blocks"]:
                raise ValueError("RICH_MESSAGE_CONTENT_REQUIRED")
            items.append(item | _flags(one, "has_checkbox", "is_checked"))
            if kind:
                items[-1] |= {"type": kind, "value": number}
        if len({"type" in item for item in items}) > 1:
            raise ValueError("List must be either ordered or unordered")
        return items

    def _cells(self, given: Any) -> list[list[dict[str, Any]]]:
        if not isinstance(given, list) or not all(isinstance(row, list) for row in given):
            raise ValueError('Field "cells" must be an Array of Arrays')
        self._count(len(given))
        rows = [[self._cell(object_of(cell)) for cell in row] for row in given]
        if any(sum(cell.get("colspan", 1) for cell in row) > MOST_COLUMNS for row in rows):
            raise ValueError("RICH_MESSAGE_TABLE_COLS_TOO_MANY")
        return rows if any(rows) else []

    def _cell(self, given: Mapping[str, Any]) -> dict[str, Any]:
        spans = {name: integer_field(given, name) for name in ("colspan", "rowspan")}
        sides = {name: string_field(given, name) or ways[0] for name, ways in _ALIGNS.items()}
        for name, side in sides.items():
            if side not in _ALIGNS[name]:
                raise ValueError(f'Field "{name}" must be one of {", ".join(_ALIGNS[name])}')
        text = {} if given.get("text") is None else {"text": self._texts.text(given["text"])}
        shown = {name: span for name, span in spans.items() if span > 1}
        return {**sides, **text, **_flags(given, "is_header"), **shown}


def _refused(error: ValueError, prefix: str) -> Exception:
    words = str(error)
    return bad_request(words if _CONSTANT.fullmatch(words) else f"{prefix}{words}")


def _source(message: Mapping[str, Any]) -> Any:
    """The blocks that are given, in one of three ways. Raises ValueError."""
    ways = [name for name in _WAYS if message.get(name) not in (None, "")]
    if not ways:
        raise ValueError("Rich message must be non-empty")
    if len(ways) > 1:
        raise ValueError("Exactly one of the fields html, markdown and blocks of the rich message must be used")
    if ways == ["blocks"]:
        return message["blocks"]
    markup, media = string_field(message, ways[0]), _files(message.get("media"))
    if ways == ["markdown"]:
        return html_blocks(markdown_html(markup), media, strict=False)
    try:
        return html_blocks(markup, media, strict=True)
    except ValueError as error:
        words = str(error)
        raise ValueError(words if _CONSTANT.fullmatch(words) else f"Can't parse rich message HTML: {words}") from None


def _files(given: Any) -> dict[str, Mapping[str, Any]]:
    """The files that markup may name, by their id. Raises ValueError."""
    if given is None:
        return {}
    if not isinstance(given, list):
        raise ValueError('Field "media" must be of type Array')  # noqa: TRY004 - as above
    files: dict[str, Mapping[str, Any]] = {}
    for one in given:
        item = object_of(one, "Can't parse InputRichMessageMedia: expected an Object")
        name = string_field(item, "id", required=True)
        if not _MEDIA_ID.fullmatch(name):
            raise ValueError("Can't parse InputRichMessageMedia: invalid media identifier specified")
        files[name] = object_of(item.get("media"), 'Field "media" must be of type Object')
    return files


def _label(number: int, kind: str) -> str:
    """What stands before an item: its number in letters, in Roman numerals or in digits."""
    label = ""
    if kind in "aA" and number > 0:
        while number:
            number, letter = divmod(number - 1, 26)
            label = chr(ord("a") + letter) + label
    elif kind in "iI" and 0 < number < _LARGEST_ROMAN:
        for value, numeral in _ROMAN:
            label += numeral * (number // value)
            number %= value
    else:
        label = str(number)
    return f"{label.upper() if kind.isupper() else label}."


def _flags(given: Mapping[str, Any], *names: str) -> dict[str, bool]:
    return {name: True for name in names if boolean_parameter(given, name)}


def _within(allowed: range, value: int, name: str) -> int:
    if value not in allowed:
        raise ValueError(f'Field "{name}" must be from {allowed.start} to {allowed.stop - 1}')
    return value


def _degrees(location: Mapping[str, Any], name: str) -> float:
    value = location.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'Field "{name}" must be of type Number')  # noqa: TRY004 - as above
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f'Field "{name}" must be a number that is not too large') from None
