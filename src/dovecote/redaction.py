"""What must never be read by the wrong eyes, taken out of text: bot tokens, and passwords in URLs.

This is the last line of defence, for text that others wrote (an exception of a library, a log line of an
application). Dovecote's own messages hold no secret in the first place.
"""

from __future__ import annotations

import re
from typing import Final

REDACTED_TOKEN: Final = "<bot token>"  # noqa: S105 - it is what is shown instead of one
REDACTED_PASSWORD: Final = "***"  # noqa: S105 - it is what is shown instead of one

# A search starts only where a run of digits starts, so that a long number costs linear time. The colon of a token may
# be percent-encoded, since a token is part of a URL's path. Two tokens without a gap are one match: the digits of the
# second would be taken for the end of the first, and its secret would stay.
_TOKEN = re.compile(r"(?<![0-9])[0-9]{3,}(?:(?::|%3[Aa])[A-Za-z0-9_-]{30,})+")
_PASSWORD = re.compile(r"(://[^\s/?#:@]*:)[^\s/?#@]+(?=@)")

# From the first quote that opens something to the last that closes something: what is quoted may hold quotes itself.
_QUOTED = re.compile(r"(?<!\w)([\"'`]).*[\"'`](?!\w)", re.DOTALL)
_LONG_NUMBER = re.compile(r"-?[0-9]{5,}")
LEFT_OUT: Final = "..."


def impersonal(error: str) -> str:
    """The words of an error for a log: without what it quotes, which may be a text, and without numbers of chats."""
    return _LONG_NUMBER.sub(LEFT_OUT, _QUOTED.sub(rf"\1{LEFT_OUT}\1", error))


def redact(text: str) -> str:
    """`text` without anything that looks like a bot token, and without the passwords of its URLs."""
    return _PASSWORD.sub(rf"\1{REDACTED_PASSWORD}", _TOKEN.sub(REDACTED_TOKEN, text))
