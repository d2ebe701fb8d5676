"""Files, as the stores and the engine know them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a file storage knows of a content: its size in bytes, its last change, its content type if it keeps one."""

    key: str
    size: int
    modified_at: datetime
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An object: which store it is in, and under which key."""

    store_id: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A content that is stored once, whatever its names.

    `size` is in bytes, `sha256` in hexadecimal, `content_type` read from the bytes. `names` begin with the newest. A
    file that is `kept` is never collected. `copies` are its objects, one in each store that holds it.
    """

    id: int
    size: int
    sha256: str
    content_type: str
    names: tuple[str, ...]
    created_at: datetime
    needed_at: datetime
    kept: bool
    copies: tuple[ObjectPlace, ...] = ()

    @property
    def name(self) -> str | None:
        """The newest of its names; None where it has none."""
        return self.names[0] if self.names else None
