"""The HTML of rich messages as the blocks that a bot could have given in its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.rich_inline import Inline, trimmed
from dovecote.emulator.rich_tree import BLOCKS, HEADINGS, Element, parse_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# A file of `media` is named so; the word says what it may be.
_LINK: Final = re.compile(r"tg://(photo|video|document|audio)\?id=([A-Za-z0-9_-]{1,64})")
_KINDS: Final = {
    "photo": frozenset({"photo"}),
    "video": frozenset({"video", "animation"}),
    "document": frozenset({"document"}),
    "audio": frozenset({"audio", "voice_note"}),
}
_TAG_KINDS: Final = {"img": "photo", "video": "video", "audio": "audio", "tg-document": "document"}
# What a URL leads to is seen by its end alone, for nothing is fetched.
_BY_ENDING: Final = {("video", "gif"): "animation"} | {("audio", end): "voice_note" for end in ("ogg", "oga", "opus")}
_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)
_LANGUAGE: Final = "language-"


def html_blocks(markup: str, media: Mapping[str, Mapping[str, Any]], *, strict: bool) -> list[dict[str, Any]]:
    """InputRichBlocks for the markup; `media` are the InputMedia that it names, by their id.

    Raises ValueError for markup that is malformed, and for a file that is not there.
    """
    tree = parse_tree(markup, strict=strict)
    return _Builder(media, Inline(_references(tree), strict=strict)).blocks(tree)


def _references(nodes: Iterable[Element | str]) -> frozenset[str]:
    """The names of the texts that can be referred to."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Element):
            if node.tag == "tg-reference":
                found.add(node.attributes.get("name", ""))
            found |= _references(node.children)
    return frozenset(found)


class _Builder:
    def __init__(self, media: Mapping[str, Mapping[str, Any]], inline: Inline) -> None:
        self._media = media
        self._inline = inline
        self._ways: dict[str, Callable[[Element], list[dict[str, Any]]]] = {
            "p": self._paragraph,
            "pre": self._pre,
            "footer": lambda element: self._texts("footer", element),
            "tg-thinking": lambda element: self._texts("thinking", element),
            "hr": lambda _: [{"type": "divider"}],
            "ul": self._list,
            "ol": self._list,
            "blockquote": self._quote,
            "aside": lambda element: self._credited("pullquote", element),
            "figure": self._figure,
            "tg-map": lambda element: [_map(element)],
            "tg-collage": lambda element: self._gallery("collage", element),
            "tg-slideshow": lambda element: self._gallery("slideshow", element),
            "table": self._table,
            "details": self._details,
            "tg-math-block": lambda element: [{"type": "mathematical_expression", "expression": element.plain()}],
            "tg-button-row": self._buttons,
            **dict.fromkeys(("img", "video", "audio", "tg-document"), lambda element: [self._file(element)]),
            **dict.fromkeys(HEADINGS, lambda element: self._texts("heading", element, size=HEADINGS[element.tag])),
        }

    def blocks(self, nodes: Iterable[Element | str]) -> list[dict[str, Any]]:
        """Blocks, in order; text between them is a paragraph."""
        built: list[dict[str, Any]] = []
        run: list[Element | str] = []
        for node in nodes:
            if isinstance(node, Element) and _is_block(node):
                built += self._run(run)
                run = []
                built += self._ways[node.tag](node)
            else:
                run.append(node)
        return built + self._run(run)

    def _run(self, nodes: list[Element | str]) -> list[dict[str, Any]]:
        # What is not text but has blocks in it, such as a tag around paragraphs, is opened.
        for at, node in enumerate(nodes):
            if isinstance(node, Element) and _holds_blocks(node):
                return [*self._run(nodes[:at]), *self.blocks(node.children), *self._run(nodes[at + 1 :])]
        text = trimmed(self._inline.text(nodes))
        match text:
            case "":
                return []
            case {"type": "anchor", "name": name}:
                return [{"type": "anchor", "name": name}]
        return [{"type": "paragraph", "text": text}]

    def _paragraph(self, element: Element) -> list[dict[str, Any]]:
        return self.blocks(element.children)

    def _texts(self, kind: str, element: Element, **others: Any) -> list[dict[str, Any]]:
        text = trimmed(self._inline.text(element.children))
        # As Telegram does with a heading of Markdown: one without a text is none.
        return [{"type": kind, "text": text, **others}] if text else []

    def _pre(self, element: Element) -> list[dict[str, Any]]:
        code = element.part("code")
        language = code.attributes.get("class", "") if code and len(element.children) == 1 else ""
        inner = code.children if code and language.startswith(_LANGUAGE) else element.children
        text = self._inline.text(inner, raw=True)
        if isinstance(text, str):
            text = text.removesuffix("\n")
        block = {"type": "pre", "text": text}
        if language.startswith(_LANGUAGE):
            block["language"] = language.removeprefix(_LANGUAGE)
        return [block] if text else []

    def _credit(self, element: Element) -> dict[str, Any]:
        cite = element.part("cite")
        return {} if cite is None else {"credit": trimmed(self._inline.text(cite.children))}

    def _credited(self, kind: str, element: Element) -> list[dict[str, Any]]:
        text = trimmed(self._inline.text(element.without("cite")))
        return [{"type": kind, "text": text, **self._credit(element)}]

    def _quote(self, element: Element) -> list[dict[str, Any]]:
        if "expandable" in element.attributes:
            return self._credited("expandable_blockquote", element)
        return [{"type": "blockquote", "blocks": self.blocks(element.without("cite")), **self._credit(element)}]

    def _caption(self, element: Element) -> dict[str, Any]:
        given = element.part("figcaption")
        if given is None:
            return {}
        text = trimmed(self._inline.text(given.without("cite")))
        return {"caption": {"text": text, **self._credit(given)}}

    def _figure(self, element: Element) -> list[dict[str, Any]]:
        shown = [one for one in self.blocks(element.without("figcaption")) if one["type"] != "paragraph"]
        if len(shown) != 1:
            raise ValueError('Tag "figure" must have exactly one file or map in it')
        return [shown[0] | self._caption(element)]

    def _gallery(self, kind: str, element: Element) -> list[dict[str, Any]]:
        return [{"type": kind, "blocks": self.blocks(element.without("figcaption")), **self._caption(element)}]

    def _details(self, element: Element) -> list[dict[str, Any]]:
        summary = element.part("summary")
        block: dict[str, Any] = {
            "type": "details",
            "summary": trimmed(self._inline.text(summary.children)) if summary else "",
            "blocks": self.blocks(element.without("summary")),
        }
        return [block | ({"is_open": True} if "open" in element.attributes else {})]

    def _list(self, element: Element) -> list[dict[str, Any]]:
        items = [child for child in element.children if isinstance(child, Element) and child.tag == "li"]
        built = [self._item(item) for item in items]
        if element.tag == "ol":
            step = -1 if "reversed" in element.attributes else 1
            value = _whole(element, "start", len(items) if step < 0 else 1)
            for item, block in zip(items, built, strict=True):
                value = _whole(item, "value", value)
                kind = item.attributes.get("type") or element.attributes.get("type") or "1"
                block |= {"type": kind, "value": value}
                value += step
        return [{"type": "list", "items": built}]

    def _item(self, element: Element) -> dict[str, Any]:
        # An item without anything is an item with an empty paragraph, as Telegram has it.
        blocks = self.blocks(element.without("input")) or [{"type": "paragraph", "text": ""}]
        box = element.part("input")
        if box is None or box.attributes.get("type") != "checkbox":
            return {"blocks": blocks}
        return {"blocks": blocks, "has_checkbox": True, "is_checked": "checked" in box.attributes}

    def _table(self, element: Element) -> list[dict[str, Any]]:
        rows = [child for child in element.children if isinstance(child, Element) and child.tag == "tr"]
        block: dict[str, Any] = {"type": "table", "cells": [self._row(row) for row in rows]}
        block |= {f"is_{name}": True for name in ("bordered", "striped", "compact") if name in element.attributes}
        caption = element.part("caption")
        return [block | ({"caption": trimmed(self._inline.text(caption.children))} if caption else {})]

    def _row(self, row: Element) -> list[dict[str, Any]]:
        cells = [child for child in row.children if isinstance(child, Element) and child.tag in {"td", "th"}]
        return [self._cell(cell) for cell in cells]

    def _cell(self, cell: Element) -> dict[str, Any]:
        built: dict[str, Any] = {"text": trimmed(self._inline.text(cell.children))}
        built |= {name: cell.attributes[name] for name in ("align", "valign") if cell.attributes.get(name)}
        built |= {name: _whole(cell, name, 1) for name in ("colspan", "rowspan") if name in cell.attributes}
        return built | ({"is_header": True} if cell.tag == "th" else {})

    def _buttons(self, element: Element) -> list[dict[str, Any]]:
        given = [child for child in element.children if isinstance(child, Element) and child.tag == "tg-button"]
        block: dict[str, Any] = {"type": "buttons", "buttons": [self._inline.button(one) for one in given]}
        align = element.attributes.get("align")
        return [block | ({"align": align} if align else {})]

    def _file(self, element: Element) -> dict[str, Any]:
        source = element.attributes.get("src", "")
        named = _LINK.fullmatch(source)
        if named:
            media = self._media.get(named[2])
            if media is None or media.get("type") not in _KINDS[named[1]]:
                raise ValueError(f"RICH_MESSAGE_{named[1].upper()}_NO_MEDIA_FOUND")
            kind = str(media["type"])
        elif _URL.fullmatch(source):
            kind = _TAG_KINDS[element.tag]
            kind = _BY_ENDING.get((kind, url_ending(source)), kind)
            media = {"type": kind, "media": source}
        else:
            raise ValueError("RICH_MESSAGE_URL_INVALID")
        spoiled = {"has_spoiler": True} if "tg-spoiler" in element.attributes else {}
        return {"type": kind, kind: {**media, **spoiled}}


def _is_block(node: Element) -> bool:
    return node.tag in BLOCKS or (node.tag == "img" and not node.attributes.get("src", "").startswith("tg://emoji"))


def _holds_blocks(node: Element) -> bool:
    return any(isinstance(child, Element) and (_is_block(child) or _holds_blocks(child)) for child in node.children)


def url_ending(url: str) -> str:
    """What stands behind the last dot of a URL's path, in small letters; empty where there is none."""
    name = re.split(r"[?#]", url, maxsplit=1)[0].rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def _whole(element: Element, name: str, default: int) -> int:
    value = element.attributes.get(name)
    if value is None:
        return default
    try:
        return int(value)
    except ValueError:
        raise ValueError(f'Attribute "{name}" of the tag "{element.tag}" must be a number') from None


def _map(element: Element) -> dict[str, Any]:
    try:
        location = {"latitude": float(element.attributes["lat"]), "longitude": float(element.attributes["long"])}
    except (KeyError, ValueError):
        raise ValueError('Tag "tg-map" must have the numbers "lat" and "long"') from None
    return {"type": "map", "location": location, "zoom": _whole(element, "zoom", 0)}
