"""The keys of objects, and the names of files."""

from __future__ import annotations

import secrets
from typing import Final

CONTENTS: Final = "sha256/"
INCOMING: Final = "incoming/"
"""What all keys of the files begin with."""
INSTALLATIONS: Final = "installations/"
"""Here each installation that uses a store leaves its mark, an object named after it."""
LONGEST_NAME: Final = 255


def fresh_key(sha256: str) -> str:
    """A key for a content that no object ever had."""
    return f"{CONTENTS}{sha256[:2]}/{sha256[2:4]}/{sha256}-{secrets.token_hex(8)}"


def incoming_key() -> str:
    """A key for what a client uploads by itself."""
    return f"{INCOMING}{secrets.token_hex(16)}"


def check_name(name: str) -> None:
    """Raise ValueError for a name that no file can have."""
    if not name or len(name.encode(errors="replace")) > LONGEST_NAME:
        raise ValueError(f"a file's name has 1 to {LONGEST_NAME} bytes in UTF-8, and {name[:40]!r} has not.")
    if name in {".", ".."}:
        raise ValueError(f"{name!r} cannot be a file's name: it is a folder's.")
    if not name.isprintable() or "/" in name or "\\" in name:
        raise ValueError(f"{name!r} cannot be a file's name: it holds a slash, a backslash or a control character.")
