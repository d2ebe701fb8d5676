"""Text of messages and captions: parse mode or entities, cleaning, trimming, and Telegram's lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dovecote.emulator.entities import MarkupError, sort_entities, utf16_length
from dovecote.emulator.html import parse_html
from dovecote.emulator.links import USER_LINK, check_link
from dovecote.emulator.markdown import parse_markdown
from dovecote.emulator.markdown_v2 import parse_markdown_v2
from dovecote.emulator.reading import boolean_parameter, integer_field, json_of, string_field, text_parameter
from dovecote.emulator.refusal import Refusal, bad_request

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024

_PARSERS = {"html": parse_html, "markdown": parse_markdown, "markdownv2": parse_markdown_v2}
_UNCLEAN = re.compile(r"[\x00-\x09\x0b-\x1f]")
_PADDED = re.compile(r"\A\s|\s\Z")
_BLANKS = {code: " " for code in range(32) if code not in {10, 13}}
# Telegram finds these by itself and takes no client's word for them.
_FOUND = frozenset({"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "bank_card_number"})
_GIVEN = frozenset(
    {
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "pre",
        "text_link",
        "text_mention",
        "custom_emoji",
    }
)


@dataclass(frozen=True, slots=True)
class Formatted:
    """Text without markup and its entities. `length` is in UTF-16 code units."""

    text: str
    entities: list[dict[str, Any]]

    @property
    def length(self) -> int:
        """In UTF-16 code units."""
        return utf16_length(self.text)


def message_text(parameters: Mapping[str, Any]) -> Formatted:
    """The parameter `text`, formatted. Raises Refusal when nothing is left of it; its length is the caller's."""
    text = text_parameter(parameters, "text")
    if not text:
        raise bad_request("Message text is empty")
    formatted = format_text(text, parameters.get("parse_mode"), parameters.get("entities"))
    if not formatted.text:
        raise bad_request("Text must be non-empty")
    return formatted


def caption(parameters: Mapping[str, Any]) -> Formatted:
    """The parameter `caption`, formatted; it may be empty."""
    text = text_parameter(parameters, "caption")
    if not text:
        return Formatted("", [])
    return format_text(text, parameters.get("parse_mode"), parameters.get("caption_entities"))


def caption_fields(formatted: Formatted, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The members that a caption gives a message."""
    fields: dict[str, Any] = {}
    if formatted.text:
        fields["caption"] = formatted.text
        if formatted.entities:
            fields["caption_entities"] = formatted.entities
        if boolean_parameter(parameters, "show_caption_above_media"):
            fields["show_caption_above_media"] = True
    return fields


def check_caption(formatted: Formatted) -> None:
    """Raises Refusal for a caption that is too long."""
    if formatted.length > CAPTION_LIMIT:
        raise bad_request("Message caption is too long")


def check_text(formatted: Formatted) -> None:
    """Raises Refusal for a text that is too long."""
    if formatted.length > TEXT_LIMIT:
        raise bad_request("Message is too long")


def format_text(text: str, parse_mode: Any = None, entities: Any = None) -> Formatted:
    """Parse by `parse_mode` or take `entities` (a parse mode wins), then clean and trim as Telegram does."""
    mode = parse_mode.lower() if isinstance(parse_mode, str) else ""
    found: list[dict[str, Any]] = []
    if mode and mode != "none":
        parser = _PARSERS.get(mode)
        if parser is None:
            raise bad_request("Unsupported parse_mode")
        try:
            text, found = parser(text.replace("\r", ""))
        except MarkupError as error:
            raise Refusal(400, f"Bad Request: can't parse entities: {error}") from None
    elif entities:
        found = given_entities(text, entities)
    if _UNCLEAN.search(text):
        if "\r" in text:
            found = _without_returns(text, found)
            text = text.replace("\r", "")
        text = text.translate(_BLANKS)
    if _PADDED.search(text):
        text, found = _trimmed(text, found)
    return Formatted(text, found)


def given_entities(text: str, value: Any) -> list[dict[str, Any]]:
    """The entities that a client gave, checked. What is no JSON array is ignored, as Telegram does."""
    try:
        value = json_of(value, "entities")
    except Refusal:
        return []
    if not isinstance(value, list):
        return []
    length = utf16_length(text)
    kept: list[dict[str, Any]] = []
    for given in value:
        try:
            entity = _given_entity(given)
        except ValueError as error:
            raise bad_request(f"Can't parse MessageEntity: {error}") from None
        if entity is None or entity["length"] <= 0:
            continue
        end = entity["offset"] + entity["length"]
        if entity["offset"] < 0 or end > length:
            raise bad_request(
                f"Entity beginning at UTF-16 offset {entity['offset']} ends after the end of the text "
                f"at UTF-16 offset {end}"
            )
        kept.append(entity)
    return sort_entities(kept)


def _given_entity(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping):
        raise ValueError("expected an Object")  # noqa: TRY004 - Telegram's words travel as ValueError here
    entity: dict[str, Any] = {
        "type": string_field(given, "type", required=True),
        "offset": integer_field(given, "offset", required=True),
        "length": integer_field(given, "length", required=True),
    }
    kind = entity["type"]
    if kind in _FOUND:
        return None
    if kind not in _GIVEN:
        raise ValueError("Unsupported type specified" if kind else "Type is not specified")
    match kind:
        case "pre" if given.get("language"):
            entity["language"] = string_field(given, "language")
        case "text_link":
            url = string_field(given, "url", required=True)
            entity |= _given_link(url)
        case "text_mention":
            user = given.get("user")
            if not isinstance(user, Mapping):
                raise ValueError('Can\'t find field "user"')  # noqa: TRY004 - as above
            number = integer_field(user, "id", required=True)
            entity["user"] = {"id": number, "is_bot": False, "first_name": f"User {number}"}
        case "custom_emoji":
            entity["custom_emoji_id"] = string_field(given, "custom_emoji_id", required=True)
    return entity


def _given_link(url: str) -> dict[str, Any]:
    user = USER_LINK.match(url)
    if user:
        number = int(user.group(1))
        return {"type": "text_mention", "user": {"id": number, "is_bot": False, "first_name": f"User {number}"}}
    try:
        return {"url": check_link(url)}
    except ValueError as error:
        raise bad_request(f"Entity URL '{url}' is invalid: {error}") from None


def _without_returns(text: str, entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entities after every carriage return has left the text."""
    returns: list[int] = []
    at = 0
    for piece in text.split("\r")[:-1]:
        at += utf16_length(piece)
        returns.append(at)
        at += 1
    moved: list[dict[str, Any]] = []
    for entity in entities:
        begin, end = entity["offset"], entity["offset"] + entity["length"]
        before = sum(1 for place in returns if place < begin)
        inside = sum(1 for place in returns if begin <= place < end)
        moved.append(entity | {"offset": begin - before, "length": entity["length"] - inside})
    return [entity for entity in moved if entity["length"] > 0]


def _trimmed(text: str, entities: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Without white space at the end, nor at the beginning as far as no entity covers it."""
    text = text.rstrip()
    length = utf16_length(text)
    kept = [
        entity | {"length": min(entity["length"], length - entity["offset"])}
        for entity in entities
        if entity["offset"] < length
    ]
    blanks = len(text) - len(text.lstrip())
    # White space is all in the first plane: a character is a code unit here.
    leading = min([blanks, *(entity["offset"] for entity in kept)])
    return text[leading:], [entity | {"offset": entity["offset"] - leading} for entity in kept]
