"""References: how the parameters of a notification name the stored files that it sends. Pure.

Where the Bot API takes a file, the outbox holds `attach://file12`: the engine's own id, never the content. It is
written for an `Attachment` alone; enqueue refuses a text of the application's that looks like one, so nobody can send a
file by guessing its id. A `!` behind the id means that it is uploaded whatever is known of it, a `/` begins the name.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import orjson

from dovecote.model import Attachment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEME: Final = "attach://"
MARK: Final = f'"{SCHEME}file'
"""What is in the JSON text of all parameters that hold a reference, and in that of few others."""

# Bytes of what is uploaded, below what the server takes of any file.
LARGEST: Final = {"photo": 10 * 1024 * 1024, "thumbnail": 200 * 1024}
KINDS: Final = frozenset({"photo", "document", "video", "audio", "voice", "animation", "sticker"})
# Of these Telegram keeps the name that they were uploaded with, and takes a thumbnail.
NAMED: Final = frozenset({"document", "video", "audio", "animation"})
ALBUM_KINDS: Final = frozenset({"photo", "document", "video", "audio"})
# Which file a method sends, in lower case as Telegram compares it.
SENDS: Final = {f"send{kind}": kind for kind in KINDS}
THUMBNAIL: Final = "thumbnail"
# What is said beside a file and becomes part of it at Telegram.
_DESCRIBES = (
    *("performer", "title", "duration", "width", "height", "supports_streaming", "disable_content_type_detection"),
    *("start_timestamp", "emoji"),
)
_ITEM = re.compile(r"media\[([0-9]+)\]")
_URL = re.compile(r"https?://", re.IGNORECASE)
_REFERENCE = re.compile(r"attach://file([1-9][0-9]{0,18})(!?)(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the parameters where a stored file stands: `holder[member]`.

    `field` is the place written out. `kind` is what it is sent as: one of KINDS, a thumbnail, or None where only
    Telegram knows, so that its answer cannot be read. `message` is the number of the message in the answer.
    """

    field: str
    file_id: int
    holder: Any
    member: str | int
    kind: str | None = None
    name: str | None = None
    cache: bool = True
    message: int = 0

    @property
    def largest(self) -> int:
        """The most bytes that Telegram takes of what is uploaded here, whatever the server takes of any file."""
        return LARGEST.get(self.kind or "", sys.maxsize)

    @property
    def beside(self) -> Mapping[str, Any]:
        """What is said of the file beside it."""
        return self.holder if isinstance(self.holder, dict) else {}


def reference(attachment: Attachment, file_id: int) -> str:
    """The text that stands for it in the parameters."""
    always = "" if attachment.cache else "!"
    name = "" if attachment.name is None else f"/{quote(attachment.name, safe='')}"
    return f"{SCHEME}file{file_id}{always}{name}"


def is_reference(text: str) -> bool:
    """Whether a text is one."""
    return text.startswith(SCHEME) and _REFERENCE.fullmatch(text) is not None


def restored(value: Any) -> Any:
    """Plain parameters with an Attachment again in the place of each reference."""
    if isinstance(value, str):
        found = _REFERENCE.fullmatch(value) if value.startswith(SCHEME) else None
        if found is None:
            return value
        return Attachment(int(found[1]), name=None if found[3] is None else unquote(found[3]), cache=not found[2])
    if isinstance(value, dict):
        return {name: restored(inner) for name, inner in value.items()}
    return [restored(inner) for inner in value] if isinstance(value, list) else value


def slots(method: str, params: dict[str, Any]) -> list[Slot]:
    """Every reference in the parameters of a call of `method`, in order."""
    own = SENDS.get(method.lower())
    return [_with_kind(slot, own) for slot in _found(params, "")]


def place_of(field: str) -> str:
    """A field as the parameters are written in Python: `params["media"][0]["media"]`."""
    return "params" + re.sub(r"([^.\[\]]+)((?:\[[0-9]+\])*)\.?", r'["\1"]\2', field)


def _with_kind(slot: Slot, own: str | None) -> Slot:
    if slot.member == THUMBNAIL:
        return replace(slot, kind=THUMBNAIL)
    if slot.field == own:
        return replace(slot, kind=own)
    kind = slot.beside.get("type")
    return replace(slot, kind=kind) if slot.member == "media" and kind in KINDS else slot


def _found(value: Any, field: str, holder: Any = None, member: str | int = "") -> Iterator[Slot]:
    if isinstance(value, str):
        if value.startswith(SCHEME) and (match := _REFERENCE.fullmatch(value)):
            name = None if match[3] is None else unquote(match[3])
            item = _ITEM.match(field)
            message = 0 if item is None else int(item[1])
            yield Slot(field, int(match[1]), holder, member, None, name, not match[2], message)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _found(inner, f"{field}.{name}" if field else name, value, name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _found(inner, f"{field}[{number}]", value, number)


def options(slot: Slot, name: str, thumbnail: str | None) -> str:
    """What besides the content and the kind is part of the file at Telegram, as an `UploadKey` has it.

    `name` is the one to show, `thumbnail` the SHA-256 of the thumbnail, where one is uploaded with it.
    """
    described: dict[str, Any] = {each: slot.beside[each] for each in _DESCRIBES if each in slot.beside}
    if slot.kind in NAMED:
        described["name"] = name
    if thumbnail is not None:
        described[THUMBNAIL] = thumbnail
    if not described:
        return ""
    return hashlib.sha256(orjson.dumps(described, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def urls(method: str, params: dict[str, Any]) -> list[Slot]:
    """The places where Telegram is given a URL to fetch a file from; `name` is the URL. Their `file_id` is 0."""
    own = SENDS.get(method.lower())
    found = [Slot(own, 0, params, own, own)] if own is not None else []
    media = params.get("media")
    if method.lower() == "sendmediagroup" and isinstance(media, list):
        found += [
            Slot(f"media[{number}].media", 0, item, "media", item["type"], message=number)
            for number, item in enumerate(media)
            if isinstance(item, dict) and item.get("type") in ALBUM_KINDS
        ]
    return [
        replace(slot, name=url)
        for slot in found
        if isinstance(url := slot.beside.get(str(slot.member)), str) and _URL.match(url)
    ]
