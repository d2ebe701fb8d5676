"""Telegram's HTML: a small set of tags, strictly nested. Errors name the byte offset in UTF-8, as Telegram does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dovecote.emulator.entities import MarkupError, TextBuilder, byte_offset, link_entity, sort_entities

SIMPLE = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
}
TAGS = frozenset(SIMPLE) | {"a", "pre", "code", "blockquote", "tg-emoji"}
LAST_CHARACTER = 0x10FFFF
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
# The end of the text counts as white space: TDLib reads its terminating zero so.
SPACE = frozenset(" \t\r\n\0\v")
_CHARACTER = re.compile(r"&(?:#(?P<decimal>\d+)|#[xX](?P<hex>[0-9A-Fa-f]+)|(?P<name>[A-Za-z]+));?")
_SPECIAL = re.compile(r"[<&]")
_NAME_TOKEN = re.compile(r"[A-Za-z0-9.-]*")


@dataclass(slots=True)
class _Open:
    tag: str
    argument: str
    start: int
    text_from: int


def parse_html(markup: str) -> tuple[str, list[dict[str, Any]]]:
    """The text without its tags, and its entities in order. Raises MarkupError in Telegram's words."""
    return _Parser(markup).parse()


class _Parser:
    def __init__(self, markup: str) -> None:
        self._markup = markup.replace("\0", " ") + "\0"
        self._end = len(markup)
        self._out = TextBuilder()
        self._open: list[_Open] = []
        self._entities: list[dict[str, Any]] = []
        # Which <code> came with a language: only inside <pre> does it mean something.
        self._languages: dict[int, str] = {}

    def parse(self) -> tuple[str, list[dict[str, Any]]]:
        at = 0
        while at < self._end:
            found = _SPECIAL.search(self._markup, at, self._end)
            stop = found.start() if found else self._end
            self._out.add(self._markup[at:stop])
            at = stop
            if at >= self._end:
                break
            if self._markup[at] == "&":
                character, at = self._character(at)
                self._out.add(character)
            elif self._markup[at + 1] == "/":
                at = self._end_tag(at)
            else:
                at = self._start_tag(at)
        if self._open:
            raise MarkupError(f'Can\'t find end tag corresponding to start tag "{self._open[-1].tag}"')
        text = self._out.text()
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise MarkupError(
                "Text contains invalid Unicode characters after decoding HTML entities, "
                "check for unmatched surrogate code units"
            )
        return text, sort_entities(self._entities)

    def _character(self, at: int) -> tuple[str, int]:
        """The character that `&...;` stands for and where it ends; an unknown one is itself."""
        found = _CHARACTER.match(self._markup, at)
        if found is None:
            return "&", at + 1
        if found["name"]:
            character = NAMED.get(found["name"], "")
        else:
            code = int(found["decimal"]) if found["decimal"] else int(found["hex"], 16)
            character = chr(code) if 0 < code < LAST_CHARACTER else ""
        return (character, found.end()) if character else ("&", at + 1)

    def _skip_space(self, at: int) -> int:
        while self._markup[at] in SPACE and at < self._end:
            at += 1
        return at

    def _start_tag(self, begin: int) -> int:
        markup = self._markup
        at = begin + 1
        while markup[at] not in SPACE and markup[at] != ">":
            at += 1
        offset = byte_offset(markup, begin)
        if at >= self._end:
            raise MarkupError(f"Unclosed start tag at byte offset {offset}")
        tag = markup[begin + 1 : at].lower()
        if tag not in TAGS:
            raise MarkupError(f'Unsupported start tag "{tag}" at byte offset {offset}')
        argument = ""
        while markup[at] != ">":
            at = self._skip_space(at)
            if markup[at] == ">":
                break
            name, value, at = self._attribute(tag, offset, at)
            argument = _argument(tag, name, value, argument)
        if tag == "span" and argument != "spoiler":
            raise MarkupError(f'Tag "span" must have class "tg-spoiler" at byte offset {offset}')
        self._open.append(_Open(tag, argument, self._out.length, self._out.characters))
        return at + 1

    def _attribute(self, tag: str, offset: int, at: int) -> tuple[str, str, int]:
        markup = self._markup
        name_from = at
        while markup[at] not in SPACE and markup[at] not in "=>":
            at += 1
        name = markup[name_from:at]
        if not name:
            if at >= self._end:
                raise MarkupError(f'Unclosed start tag "{tag}" at byte offset {offset}')
            raise MarkupError(f'Empty attribute name in the tag "{tag}" at byte offset {offset}')
        at = self._skip_space(at)
        if markup[at] != "=":
            if tag == "blockquote" and name == "expandable" and at < self._end:
                return name, "", at
            raise MarkupError(
                f'Expected equal sign in declaration of an attribute of the tag "{tag}" at byte offset {offset}'
            )
        at = self._skip_space(at + 1)
        if at >= self._end:
            raise MarkupError(f'Unclosed start tag "{tag}" at byte offset {offset}')
        if markup[at] in "'\"":
            value, at = self._quoted(at)
        else:
            token = _NAME_TOKEN.match(markup, at)
            value = token.group().lower() if token else ""
            start, at = at, at + len(value)
            if markup[at] not in SPACE and markup[at] != ">":
                raise MarkupError(f"Unexpected end of name token at byte offset {byte_offset(markup, start)}")
        if at >= self._end:
            raise MarkupError(f"Unclosed start tag at byte offset {offset}")
        return name, value, at

    def _quoted(self, at: int) -> tuple[str, int]:
        quote = self._markup[at]
        at += 1
        pieces: list[str] = []
        while at < self._end and self._markup[at] != quote:
            if self._markup[at] == "&":
                character, at = self._character(at)
                pieces.append(character)
                continue
            pieces.append(self._markup[at])
            at += 1
        return "".join(pieces), at + 1 if at < self._end else at

    def _end_tag(self, begin: int) -> int:
        markup = self._markup
        offset = byte_offset(markup, begin)
        if not self._open:
            raise MarkupError(f"Unexpected end tag at byte offset {offset}")
        at = begin + 2
        while markup[at] not in SPACE and markup[at] != ">":
            at += 1
        tag = markup[begin + 2 : at].lower()
        at = self._skip_space(at)
        if markup[at] != ">":
            raise MarkupError(f"Unclosed end tag at byte offset {offset}")
        opened = self._open[-1]
        if tag and tag != opened.tag:
            raise MarkupError(
                f'Unmatched end tag at byte offset {offset}, expected "</{opened.tag}>", found "</{tag}>"'
            )
        self._open.pop()
        if self._out.length > opened.start:
            self._close(opened)
        return at + 1

    def _close(self, opened: _Open) -> None:
        tag, argument = opened.tag, opened.argument
        entity: dict[str, Any] = {"offset": opened.start, "length": self._out.length - opened.start}
        if tag in SIMPLE:
            entity["type"] = SIMPLE[tag]
        elif tag == "tg-emoji":
            if not argument.isdecimal() or int(argument) == 0:
                raise MarkupError("Invalid custom emoji identifier specified")
            entity |= {"type": "custom_emoji", "custom_emoji_id": argument}
        elif tag == "a":
            link = link_entity(argument or self._out.text_since(opened.text_from))
            if link is None:
                return
            entity |= link
        elif tag == "blockquote":
            entity["type"] = "expandable_blockquote" if argument else "blockquote"
        else:
            self._close_code(tag, argument, entity)
            return
        self._entities.append(entity)

    def _close_code(self, tag: str, language: str, entity: dict[str, Any]) -> None:
        """`<pre>` and `<code class=...>` around the same text, in either order, are one block with a language."""
        last = self._entities[-1] if self._entities else None
        inner = last if last and (last["offset"], last["length"]) == (entity["offset"], entity["length"]) else None
        if tag == "pre":
            if inner is not None and inner["type"] == "code" and id(inner) in self._languages:
                inner |= {"type": "pre", "language": self._languages[id(inner)]}
                return
            self._entities.append(entity | {"type": "pre"})
            return
        if inner is not None and inner["type"] == "pre" and language:
            inner["language"] = language
            return
        entity["type"] = "code"
        if language:
            self._languages[id(entity)] = language
        self._entities.append(entity)


def _argument(tag: str, name: str, value: str, argument: str) -> str:
    match tag, name:
        case ("a", "href") | ("tg-emoji", "emoji-id"):
            return value
        case ("code", "class") if value.startswith("language-"):
            return value.removeprefix("language-")
        case ("span", "class") if value.startswith("tg-"):
            return value.removeprefix("tg-")
        case ("blockquote", "expandable"):
            return "expandable"
    return argument
