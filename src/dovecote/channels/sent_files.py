"""What Telegram calls the files of an answer. Pure; nothing here raises, whatever the body holds."""

from __future__ import annotations

from typing import Any, Final

import orjson

MEMBERS: Final = ("document", "video", "audio", "voice", "animation", "sticker", "video_note")
LONGEST_FILE_ID: Final = 512
"""Characters. Real ones have about a hundred."""
MOST_MESSAGES: Final = 100


def sent_files(body: bytes | memoryview) -> tuple[dict[str, str], ...]:
    """For each message of an answer its `file_id`s, by the member that they stand in; of a photo the largest's."""
    try:
        answer = orjson.loads(body)
    except ValueError:
        return ()
    result = answer.get("result") if isinstance(answer, dict) else None
    messages = result if isinstance(result, list) else [result]
    return tuple(_files(message) for message in messages[:MOST_MESSAGES] if isinstance(message, dict))


def _files(message: dict[str, Any]) -> dict[str, str]:
    found = {member: _file_id(message.get(member)) for member in MEMBERS}
    sizes = message.get("photo")
    if isinstance(sizes, list):
        found["photo"] = _file_id(max(sizes, key=_area, default=None))
    return {member: file_id for member, file_id in found.items() if file_id is not None}


def _area(size: object) -> int:
    if not isinstance(size, dict):
        return -1
    width, height = size.get("width"), size.get("height")
    return width * height if type(width) is int and type(height) is int else 0


def _file_id(file: object) -> str | None:
    file_id = file.get("file_id") if isinstance(file, dict) else None
    if isinstance(file_id, str) and 0 < len(file_id) <= LONGEST_FILE_ID and file_id.isascii() and file_id.isprintable():
        return file_id
    return None
