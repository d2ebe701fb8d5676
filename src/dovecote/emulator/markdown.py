"""Telegram's first Markdown, kept by it for old bots: no nesting, four marks."""

from __future__ import annotations

import re
from typing import Any

from dovecote.emulator.entities import MarkupError, TextBuilder, byte_offset, link_entity

_PLAIN = re.compile(r"[^_*`\[\\]+")
_BLOCK_BEGIN = re.compile(r"```(?P<language>[^\s`]+(?=[^`]))?(?:\r\n|\n\r|\r|\n)?")
_TYPES = {"_": "italic", "*": "bold", "`": "code"}


def parse_markdown(markup: str) -> tuple[str, list[dict[str, Any]]]:
    """The text without its marks, and its entities in order. Raises MarkupError in Telegram's words."""
    out = TextBuilder()
    entities: list[dict[str, Any]] = []
    at = 0
    while at < len(markup):
        plain = _PLAIN.match(markup, at)
        if plain:
            out.add(plain.group())
            at = plain.end()
        elif markup[at] == "\\":
            escaped = markup[at + 1 : at + 2]
            known = escaped != "" and escaped in "_*`["
            out.add(escaped if known else "\\")
            at += 2 if known else 1
        else:
            at = _entity(markup, at, out, entities)
    return out.text(), entities


def _entity(markup: str, begin: int, out: TextBuilder, entities: list[dict[str, Any]]) -> int:
    """Read the entity that begins here; answers where it ends."""
    mark = markup[begin]
    start = begin + 1
    end_mark = "]" if mark == "[" else mark
    entity: dict[str, Any] = {"type": _TYPES.get(mark, "text_link"), "offset": out.length}
    block = _BLOCK_BEGIN.match(markup, begin)
    if block:
        start, end_mark = block.end(), "```"
        entity["type"] = "pre"
        if block["language"]:
            entity["language"] = block["language"]
    end = markup.find(end_mark, start)
    if end < 0:
        raise MarkupError(f"Can't find end of the entity starting at byte offset {byte_offset(markup, begin)}")
    inside = markup[start:end]
    out.add(inside)
    entity["length"] = out.length - entity["offset"]
    after = end + len(end_mark)
    if mark == "[":
        url = inside
        if inside and markup.startswith("(", after):
            closing = markup.find(")", after)
            closing = len(markup) if closing < 0 else closing
            url, after = markup[after + 1 : closing], closing + 1
        link = link_entity(url)
        if link is None:
            return after
        entity |= link
    if entity["length"]:
        entities.append(entity)
    return after
