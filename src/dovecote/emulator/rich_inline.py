"""The text of rich messages: elements of HTML as a RichText."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.links import EMOJI_LINK, USER_LINK
from dovecote.emulator.rich_tree import BLOCKS, PARTS, STYLES, Element

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SPACES: Final = re.compile(r"[ \t\n\r\f]+")
_SPACE: Final = " \t\n\r\f"
_DOUBLED: Final = re.compile(r" +(?=\n)|(?<=\n) +|(?<= ) +")
_EMOJI: Final = "tg://emoji?id="
_SCHEMES: Final = {"mailto": "email_address", "tel": "phone_number"}
# The attribute that holds what a button of this type does.
_PLAIN_ACTIONS: Final = {
    "url": "url",
    "callback_data": "data",
    "switch_inline_query": "query",
    "switch_inline_query_current_chat": "query",
}
_CHATS: Final = ("user", "bot", "group", "channel")


class Inline:
    """Reads text. `references`: the names that a link may refer to; `strict`: no block may stand in a text."""

    def __init__(self, references: frozenset[str], *, strict: bool) -> None:
        self._references = references
        self._strict = strict
        self._ways: dict[str, Callable[[Element], Any]] = {
            "br": lambda _: "\n",
            "a": self._link,
            "img": lambda element: _emoji(element.attributes.get("src", ""), element.attributes.get("alt", "")),
            "tg-emoji": lambda element: _emoji(_EMOJI + element.attributes.get("emoji-id", ""), element.plain()),
            "tg-time": self._time,
            "tg-math": lambda element: {"type": "mathematical_expression", "expression": element.plain()},
            "tg-button": lambda element: {"type": "button", "button": self.button(element)},
            "tg-reference": self._reference,
        }

    def text(self, nodes: Iterable[Element | str], *, raw: bool = False) -> Any:
        """A RichText. White space is one space, unless it is `raw`. Raises ValueError."""
        pieces: list[Any] = []
        for node in nodes:
            if isinstance(node, str):
                pieces.append(node if raw else _SPACES.sub(" ", node))
            else:
                piece = self._piece(node, raw=raw)
                pieces += piece if isinstance(piece, list) else [piece]
        joined = _joined(pieces)
        if raw:
            return joined
        return _tidy(joined) if isinstance(joined, str) else _each_tidy(joined)

    def _piece(self, element: Element, *, raw: bool) -> Any:
        way = self._ways.get(element.tag)
        if way is not None:
            return way(element)
        text = self.text(element.children, raw=raw)
        if element.tag in STYLES:
            return {"type": STYLES[element.tag], "text": text} if text else ""
        if self._strict and element.tag in BLOCKS | PARTS:
            raise ValueError(f'Tag "{element.tag}" can\'t stand in a text')
        return text

    def _reference(self, element: Element) -> dict[str, Any]:
        name = element.attributes.get("name", "")
        return {"type": "reference", "text": self.text(element.children), "name": name}

    def _link(self, element: Element) -> Any:
        text = self.text(element.children)
        if "name" in element.attributes:
            anchor = {"type": "anchor", "name": element.attributes["name"]}
            return [anchor, text] if text else anchor
        return {"text": text, **self._target(element.attributes.get("href", "").strip())}

    def _target(self, url: str) -> dict[str, Any]:
        if url.startswith("#"):
            name = url[1:]
            if name in self._references:
                return {"type": "reference_link", "reference_name": name}
            return {"type": "anchor_link", "anchor_name": name}
        scheme, _, rest = url.partition(":")
        kind = _SCHEMES.get(scheme.lower())
        if kind:
            return {"type": kind, kind: rest}
        user = USER_LINK.fullmatch(url)
        if user:
            return {"type": "text_mention", "user": {"id": int(user[1])}}
        return {"type": "url", "url": url}

    def _time(self, element: Element) -> dict[str, Any]:
        moment = element.attributes.get("unix", "")
        if not re.fullmatch(r"-?\d{1,18}", moment):
            raise ValueError("RICH_MESSAGE_DATE_INVALID")
        return {
            "type": "date_time",
            "text": self.text(element.children),
            "unix_time": int(moment),
            "date_time_format": element.attributes.get("format", ""),
        }

    def button(self, element: Element) -> dict[str, Any]:
        """A RichMessageButton. Raises ValueError."""
        attributes = element.attributes
        kind = attributes.get("type", "")
        style = {"style": attributes["style"]} if attributes.get("style") else {}
        return {"text": trimmed(self.text(element.children)), **style, **_action(kind, attributes)}


def _action(kind: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    if kind in _PLAIN_ACTIONS:
        return {kind: attributes.get(_PLAIN_ACTIONS[kind], "")}
    url = {"url": attributes.get("url", "")}
    match kind:
        case "web_app":
            return {kind: url}
        case "login_url":
            forward = {"forward_text": attributes["forward-text"]} if "forward-text" in attributes else {}
            asks = {"request_write_access": True} if "request-write-access" in attributes else {}
            return {kind: {**url, **forward, **asks}}
        case "switch_inline_query_chosen_chat":
            allowed = {f"allow_{chat}_chats": True for chat in _CHATS if f"allow-{chat}-chats" in attributes}
            return {kind: {"query": attributes.get("query", ""), **allowed}}
        case "copy_text":
            return {kind: {"text": attributes.get("text", "")}}
        case "disabled":
            return {kind: {}}
    raise ValueError(f'Unsupported button type "{kind}"')


def _emoji(link: str, alternative: str) -> dict[str, Any]:
    found = EMOJI_LINK.fullmatch(link)
    if found is None:
        raise ValueError("RICH_MESSAGE_EMOJI_INVALID")
    return {"type": "custom_emoji", "custom_emoji_id": found[1], "alternative_text": alternative.strip()}


def _joined(pieces: list[Any]) -> Any:
    """The simplest form of the pieces: neighbouring texts are one, and a single piece stands for itself."""
    joined: list[Any] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return joined[0] if len(joined) == 1 else joined or ""


def _tidy(text: str) -> str:
    """Without the white space beside a line's end, and without doubled spaces where two texts met."""
    return _DOUBLED.sub("", text)


def _each_tidy(text: Any) -> Any:
    if not isinstance(text, list):
        return text
    return [_tidy(piece) if isinstance(piece, str) else piece for piece in text]


def trimmed(text: Any) -> Any:
    """The RichText without white space at its ends."""
    if isinstance(text, str):
        return text.strip(_SPACE)
    if not isinstance(text, list):
        return text
    first, *middle, last = text
    first = first.lstrip(_SPACE) if isinstance(first, str) else first
    last = last.rstrip(_SPACE) if isinstance(last, str) else last
    return _joined([first, *middle, last])
