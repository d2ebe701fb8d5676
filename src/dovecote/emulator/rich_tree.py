"""The HTML of rich messages as a tree of elements.

Two ways to read it. What a bot gives as `html` is read strictly: tags that Telegram does not document, and tags that
do not close in order, are refused. What Markdown may hold is read leniently, as Telegram does: a tag that it does not
know is dropped and its text kept, and one that is not closed closes with what it stands in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

from dovecote.emulator.entities import byte_offset
from dovecote.emulator.html import SIMPLE

HEADINGS: Final = {f"h{size}": size for size in range(1, 7)}
# What begins a block of its own; all other tags are parts of a text, or of such a block.
BLOCKS: Final = frozenset(HEADINGS) | {
    "aside",
    "audio",
    "blockquote",
    "details",
    "figure",
    "footer",
    "hr",
    "ol",
    "p",
    "pre",
    "table",
    "tg-button-row",
    "tg-collage",
    "tg-document",
    "tg-map",
    "tg-math-block",
    "tg-slideshow",
    "tg-thinking",
    "ul",
    "video",
}
PARTS: Final = frozenset({"caption", "cite", "figcaption", "input", "li", "summary", "td", "th", "tr"})
STYLES: Final = {
    **{tag: style for tag, style in SIMPLE.items() if tag != "span"},
    "code": "code",
    "mark": "marked",
    "sub": "subscript",
    "sup": "superscript",
}
INLINE: Final = frozenset(STYLES) | {
    "a",
    "br",
    "img",
    "tg-button",
    "tg-emoji",
    "tg-math",
    "tg-reference",
    "tg-time",
}
TAGS: Final = BLOCKS | PARTS | INLINE
# They have no end tag.
VOID: Final = frozenset({"br", "hr", "img", "input", "tg-map"})
# Their content is no HTML but LaTeX.
_RAW: Final = frozenset({"tg-math", "tg-math-block"})
_NAMED: Final = {
    "lt": "<",
    "gt": ">",
    "amp": "&",
    "quot": '"',
    "apos": "'",
    "nbsp": "\xa0",
    "hellip": "…",
    "mdash": "—",
    "ndash": "\u2013",
    "lsquo": "\u2018",
    "rsquo": "\u2019",
    "ldquo": "“",
    "rdquo": "”",
}
# Far deeper than any message may be, and not so deep that reading it would be.
_DEEPEST: Final = 64
_LAST_CHARACTER: Final = 0x10FFFF
_REFERENCE: Final = re.compile(r"&(?:#(?P<decimal>\d+)|#[xX](?P<hex>[0-9A-Fa-f]+)|(?P<name>[a-z]+));")


@dataclass(slots=True)
class Element:
    """A tag with what is in it: text and other elements, in order. An attribute without a value is an empty text."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def part(self, tag: str) -> Element | None:
        """The first of the children that has this tag."""
        return next((child for child in self.children if isinstance(child, Element) and child.tag == tag), None)

    def without(self, *tags: str) -> list[Element | str]:
        """The children but those with these tags."""
        return [child for child in self.children if isinstance(child, str) or child.tag not in tags]

    def plain(self) -> str:
        """The text alone, of all that is in it."""
        return "".join(child if isinstance(child, str) else child.plain() for child in self.children)


def parse_tree(markup: str, *, strict: bool) -> list[Element | str]:
    """What is in the markup, in order. Raises ValueError for what is malformed, if it is read strictly."""
    return _Reader(markup, strict=strict).tree()


def decoded(text: str) -> str:
    """The text with its character references read: any number, and the names that Telegram knows."""
    return _REFERENCE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    if found["name"]:
        return _NAMED.get(found["name"], found[0])
    code = int(found["decimal"]) if found["decimal"] else int(found["hex"], 16)
    # Half of a surrogate pair is no character, and could not be answered in UTF-8.
    return chr(code) if 0 < code <= _LAST_CHARACTER and not 0xD800 <= code <= 0xDFFF else found[0]  # noqa: PLR2004


class _Reader(HTMLParser):
    def __init__(self, markup: str, *, strict: bool) -> None:
        super().__init__(convert_charrefs=False)
        self._markup = markup
        self._strict = strict
        self._root = Element("")
        self._open = [self._root]
        self._lines = [0, *(found.end() for found in re.finditer("\n", markup))]

    def tree(self) -> list[Element | str]:
        self.feed(self._markup)
        self.close()
        if len(self._open) > 1:
            self._wrong(f'Can\'t find end tag corresponding to start tag "{self._open[-1].tag}"')
        return self._root.children

    def _wrong(self, words: str, *, at: str = "") -> None:
        """Raises ValueError, if it is read strictly. `at` is put before the place where the reader stands."""
        if not self._strict:
            return
        if at:
            line, column = self.getpos()
            words = f"{words}{at}{byte_offset(self._markup, self._lines[line - 1] + column)}"
        raise ValueError(words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self._wrong(f'Unsupported start tag "{tag}"', at=" at byte offset ")
            self.clear_cdata_mode()
            return
        element = Element(tag, {name: value or "" for name, value in reversed(attrs)})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)
            if len(self._open) > _DEEPEST:
                raise ValueError("RICH_MESSAGE_DEPTH_INVALID")
            if tag in _RAW:
                self.set_cdata_mode(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag in TAGS and tag not in VOID:
            self.handle_endtag(tag)
            self.clear_cdata_mode()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        expected = self._open[-1].tag
        if not expected:
            self._wrong("Unexpected end tag", at=" at byte offset ")
        elif tag != expected:
            self._wrong(f'Unmatched end tag, expected "</{expected}>", found "</{tag}>"', at=", at byte offset ")
        # Read leniently, a tag ends with what it stands in, and an end without a beginning is nothing.
        if any(element.tag == tag for element in self._open[1:]):
            while self._open.pop().tag != tag:
                continue

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(decoded(data) if self._open[-1].tag in _RAW else data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(_NAMED.get(name, f"&{name};"))

    def handle_charref(self, name: str) -> None:
        self.handle_data(decoded(f"&#{name};"))
