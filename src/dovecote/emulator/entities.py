"""What the three markup parsers share: text under construction with its UTF-16 length, links, order of entities."""

from __future__ import annotations

from typing import Any

from dovecote.emulator.links import EMOJI_LINK, USER_LINK, checked_link

# Entities that begin and end together are listed from the outside in.
_NESTING = {
    name: rank
    for rank, name in enumerate(
        (
            "blockquote",
            "expandable_blockquote",
            "text_link",
            "text_mention",
            "bold",
            "italic",
            "underline",
            "strikethrough",
            "spoiler",
            "pre",
            "code",
            "custom_emoji",
        )
    )
}


class MarkupError(ValueError):
    """The markup cannot be parsed; the message is Telegram's, without its "can't parse entities:"."""


def utf16_length(text: str) -> int:
    """The length in UTF-16 code units, which is how Telegram counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def byte_offset(text: str, index: int) -> int:
    """Where the character at `index` begins in UTF-8."""
    return len(text[:index].encode("utf-8", "surrogatepass"))


def sort_entities(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By place, the longer first, then from the outside in."""
    return sorted(entities, key=lambda entity: (entity["offset"], -entity["length"], _NESTING.get(entity["type"], 99)))


def link_entity(url: str) -> dict[str, Any] | None:
    """The members of a link's or a mention's entity; none for a link that Telegram does not take."""
    user = USER_LINK.match(url)
    if user:
        number = int(user.group(1))
        return {"type": "text_mention", "user": {"id": number, "is_bot": False, "first_name": f"User {number}"}}
    checked = checked_link(url)
    return {"type": "text_link", "url": checked} if checked else None


def emoji_entity(url: str) -> dict[str, Any]:
    """The members of a custom emoji's entity. Raises MarkupError."""
    emoji = EMOJI_LINK.match(url)
    if emoji is None:
        raise MarkupError("Custom emoji URL must have an emoji identifier")
    return {"type": "custom_emoji", "custom_emoji_id": emoji.group(1)}


class TextBuilder:
    """Text that grows. `length` is in UTF-16 code units, `characters` in characters."""

    __slots__ = ("_pieces", "characters", "length")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.length = 0
        self.characters = 0

    def add(self, piece: str) -> None:
        """Append."""
        if piece:
            self._pieces.append(piece)
            self.length += utf16_length(piece)
            self.characters += len(piece)

    def text(self) -> str:
        """All of it."""
        return "".join(self._pieces)

    def text_since(self, character: int) -> str:
        """What was added after the text was `character` characters long."""
        return self.text()[character:]
