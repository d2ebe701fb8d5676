"""What Telegram finds by itself in what people write: commands, mentions, hashtags, links and addresses."""

from __future__ import annotations

import re
from typing import Any

from dovecote.emulator.entities import utf16_length

_FOUND = re.compile(
    r"""
    (?P<url>https?://[^\s<>"']*[^\s<>"'.,;:!?)])
    | (?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
    | (?<![\w/])(?P<bot_command>/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?)(?![\w/])
    | (?<![\w@])(?P<mention>@[A-Za-z][A-Za-z0-9_]{3,31})(?!\w)
    | (?<!\w)(?P<hashtag>\#\w+)
    """,
    re.VERBOSE,
)


def found_entities(text: str) -> list[dict[str, Any]]:
    """The entities, by place; offset and length in UTF-16 code units."""
    return [
        {"type": one.lastgroup, "offset": utf16_length(text[: one.start()]), "length": utf16_length(one[0])}
        for one in _FOUND.finditer(text)
    ]
