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
