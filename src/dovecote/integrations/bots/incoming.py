"""The file in a message, whichever framework read it: both name the members as the Bot API does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.integrations.bots.outgoing import valid_name

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.model import StoredFile

# An animation is described as a document as well, so it comes first.
KINDS: Final = ("animation", "document", "video", "audio", "voice", "video_note", "sticker")


async def keep_file(
    message: Any, dovecote: Dovecote, bot: str, *, name: str | None, max_size: int | None
) -> StoredFile:
    """Store the file of a message. Raises ValueError for a message without one, and what `Files.fetch` raises."""
    found = _file_of(message)
    if found is None:
        raise ValueError(
            f"the message {message.message_id} holds no file: keep one with a photo or one of {', '.join(KINDS)}."
        )
    known = name if name is not None else valid_name(getattr(found, "file_name", None))
    return await dovecote.files.fetch(bot, found.file_id, name=known, max_size=max_size)


def _file_of(message: Any) -> Any:
    """What describes the file: of a photo's sizes the largest."""
    if message.photo:
        return max(message.photo, key=lambda size: size.width * size.height)
    return next((file for kind in KINDS if (file := getattr(message, kind)) is not None), None)
