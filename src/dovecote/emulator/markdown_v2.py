"""Telegram's MarkdownV2: nesting, and every reserved character escaped. Errors name the byte offset in UTF-8."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dovecote.emulator.entities import (
    MarkupError,
    TextBuilder,
    byte_offset,
    emoji_entity,
    link_entity,
    sort_entities,
)

_PLAIN = re.compile(r"[^_*\[\]()~`>#+\-=|{}.!\n\\]+")
_PLAIN_IN_CODE = re.compile(r"[^`\\]+")
# ASCII without zero and DEL can be escaped; a backslash before anything else is itself.
_ESCAPED = re.compile(r"\\([\x01-\x7e])", re.DOTALL)
_ADDRESS = re.compile(r"(?:\\[\x01-\x7e]|[^)])*", re.DOTALL)
_LANGUAGE = re.compile(r"[^\s`]*")
# One pair is one new line, whichever way round it is.
_NEW_LINE = re.compile(r"\r\n|\n\r|\r|\n")
_MARKS = {
    "Bold": "*",
    "Italic": "_",
    "Underline": "__",
    "Strikethrough": "~",
    "Spoiler": "||",
    "Code": "`",
    "Pre": "```",
    "PreCode": "```",
    "TextUrl": "]",
    "CustomEmoji": "]",
}
_TYPES = {
    "Bold": "bold",
    "Italic": "italic",
    "Underline": "underline",
    "Strikethrough": "strikethrough",
    "Spoiler": "spoiler",
    "Code": "code",
    "Pre": "pre",
    "PreCode": "pre",
}
_CODE = frozenset({"Code", "Pre", "PreCode"})
# Two characters before one, so that "__" is no italic.
_OPENERS = (
    ("__", "Underline"),
    ("_", "Italic"),
    ("*", "Bold"),
    ("~", "Strikethrough"),
    ("||", "Spoiler"),
    ("```", "Pre"),
    ("`", "Code"),
    ("![", "CustomEmoji"),
    ("[", "TextUrl"),
)


@dataclass(slots=True)
class _Open:
    kind: str
    start: int
    text_from: int
    byte_offset: int
    language: str = ""


def parse_markdown_v2(markup: str) -> tuple[str, list[dict[str, Any]]]:
    """The text without its marks, and its entities in order. Raises MarkupError in Telegram's words."""
    return _Parser(markup).parse()


class _Parser:
    def __init__(self, markup: str) -> None:
        self._markup = markup
        self._out = TextBuilder()
        self._open: list[_Open] = []
        self._entities: list[dict[str, Any]] = []
        self._quoting = False
        self._line_start = 0

    def parse(self) -> tuple[str, list[dict[str, Any]]]:
        at = 0
        while at < len(self._markup):
            at = self._step(at)
        if self._quoting:
            self._close_empty_spoiler()
            if self._open[-1].kind == "BlockQuote":
                self._close_quote(self._open.pop())
        if self._open:
            raise self._unclosed(self._open[-1])
        return self._out.text(), sort_entities(self._entities)

    def _step(self, at: int) -> int:
        """Read one thing: a run of plain text, an escape, the end or the beginning of an entity."""
        inside = self._open[-1].kind if self._open else ""
        after = self._plain(at, inside)
        if after > at:
            return after
        if self._quoting and self._markup[at] == "\n" and not self._markup.startswith(">", at + 1):
            return self._end_of_quote(at)
        if inside and self._ends(inside, at):
            return self._end(at)
        if self._markup[at] == "\n":
            return self._new_line(at)
        if self._markup[at] == ">" and self._may_quote(at):
            self._begin_quote(at)
            return at + 1
        return self._begin(at)

    def _plain(self, at: int, inside: str) -> int:
        """Read text without meaning, or an escaped character; answers where it ends."""
        plain = (_PLAIN_IN_CODE if inside in _CODE else _PLAIN).match(self._markup, at)
        if plain:
            self._out.add(plain.group())
            return plain.end()
        if self._markup[at] != "\\":
            return at
        escaped = _ESCAPED.match(self._markup, at)
        self._out.add(escaped.group(1) if escaped else "\\")
        return at + 2 if escaped else at + 1

    def _ends(self, kind: str, at: int) -> bool:
        mark = _MARKS.get(kind)
        if mark is None or not self._markup.startswith(mark, at):
            return False
        return kind != "Italic" or not self._markup.startswith("__", at)

    def _unclosed(self, opened: _Open) -> MarkupError:
        return MarkupError(f"Can't find end of {opened.kind} entity at byte offset {opened.byte_offset}")

    def _may_quote(self, at: int) -> bool:
        # An empty bold entity may stand before: it separates two quotations that follow each other.
        return not self._open and self._out.length == self._line_start and (at == 0 or self._markup[at - 1] in "\n*")

    def _begin_quote(self, at: int) -> None:
        self._quoting = True
        self._open.append(_Open("BlockQuote", self._out.length, self._out.characters, byte_offset(self._markup, at)))

    def _new_line(self, at: int) -> int:
        self._out.add("\n")
        self._line_start = self._out.length
        if self._markup.startswith(">", at + 1):
            if not self._quoting:
                self._begin_quote(at)
            return at + 2
        return at + 1

    def _end_of_quote(self, at: int) -> int:
        self._close_empty_spoiler()
        opened = self._open.pop()
        if opened.kind != "BlockQuote":
            raise self._unclosed(opened)
        self._out.add("\n")
        self._line_start = self._out.length
        self._close_quote(opened)
        return at + 1

    def _close_empty_spoiler(self) -> None:
        """Two bars at the end of a quotation make it expandable."""
        last = self._open[-1]
        if last.kind == "Spoiler" and len(self._open) > 1 and last.start == self._out.length:
            below = self._open[-2]
            if below.kind == "BlockQuote":
                self._open.pop()
                below.language = "expandable"

    def _close_quote(self, opened: _Open) -> None:
        self._quoting = False
        length = self._out.length - opened.start
        if length:
            kind = "expandable_blockquote" if opened.language else "blockquote"
            self._entities.append({"type": kind, "offset": opened.start, "length": length})

    def _begin(self, at: int) -> int:
        markup = self._markup
        mark, kind = next(((mark, kind) for mark, kind in _OPENERS if markup.startswith(mark, at)), ("", ""))
        if not kind:
            raise MarkupError(f"Character '{markup[at]}' is reserved and must be escaped with the preceding '\\'")
        opened = _Open(kind, self._out.length, self._out.characters, byte_offset(markup, at))
        after = at + len(mark)
        if kind == "Pre":
            language = _LANGUAGE.match(markup, after)
            named = language.group() if language else ""
            end = after + len(named)
            if named and end < len(markup) and markup[end] != "`":
                opened.kind, opened.language, after = "PreCode", named, end
            line = _NEW_LINE.match(markup, after)
            after = line.end() if line else after
        self._open.append(opened)
        return after

    def _end(self, at: int) -> int:
        opened = self._open.pop()
        kind = opened.kind
        after = at + len(_MARKS[kind])
        entity: dict[str, Any] = {"offset": opened.start, "length": self._out.length - opened.start}
        if kind == "TextUrl":
            url = self._out.text_since(opened.text_from)
            if self._markup.startswith("(", after):
                url, after = self._address(after + 1, "a URL")
            link = link_entity(url)
            if link is None:
                return after
            entity |= link
        elif kind == "CustomEmoji":
            if not self._markup.startswith("(", after):
                raise MarkupError("Custom emoji entity must contain a tg://emoji URL")
            url, after = self._address(after + 1, "a custom emoji URL")
            entity |= emoji_entity(url)
        else:
            entity["type"] = _TYPES[kind]
            if opened.language:
                entity["language"] = opened.language
        if entity["length"]:
            self._entities.append(entity)
        return after

    def _address(self, begin: int, what: str) -> tuple[str, int]:
        markup = self._markup
        address = _ADDRESS.match(markup, begin)
        end = address.end() if address else begin
        if not markup.startswith(")", end):
            raise MarkupError(f"Can't find end of {what} at byte offset {byte_offset(markup, begin)}")
        return _ESCAPED.sub(r"\1", markup[begin:end]), end + 1
