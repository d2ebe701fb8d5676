"""Files, as the stores and the engine know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a file storage knows of a content: its size in bytes, its last change, its content type if it keeps one."""

    key: str
    size: int
    modified_at: datetime
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """How somebody without credentials uploads one content, until `expires_at`.

    With `method` PUT the body is the content and `headers` go along as they are. With POST it is a form of `fields`,
    in this order, and the content last, as `file`.
    """

    method: str
    url: str = field(repr=False)
    expires_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
