"""Attachments at the command line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dovecote.app import Dovecote
from dovecote.methods import video
from dovecote.model import Attachment

if TYPE_CHECKING:
    from command_line import CommandLine


async def enqueue(url: str) -> int:
    """A film with its thumbnail, of which the film's row is gone afterwards."""
    async with Dovecote(url) as dovecote:
        film = await dovecote.files.put(b"\x00\x00\x00\x18ftypmp42 a film", name="tour.mp4")
        small = await dovecote.files.put(b"\xff\xd8\xff a picture", name="small.jpg")
        async with dovecote.transaction() as connection:
            return await dovecote.enqueue(
                connection, video("shop", 42, Attachment(film, name="The tour.mp4"), thumbnail=Attachment(small))
            )


def test_notification_show_names_its_attachments(dovecote: CommandLine) -> None:
    dovecote.bot()
    id_ = asyncio.run(enqueue(f"sqlite:///{dovecote.folder}/dovecote.db"))

    shown = dovecote.ok("notification", "show", str(id_), "--json").json
    said = dovecote.ok("notification", "show", str(id_)).out

    assert shown["attachments"] == [
        {"field": "video", "file_id": 1, "name": "tour.mp4", "size": 19, "content_type": "video/mp4"},
        {"field": "thumbnail", "file_id": 2, "name": "small.jpg", "size": 13, "content_type": "image/jpeg"},
    ]
    said = " ".join(said.split())
    assert 'video: file 1 "tour.mp4", video/mp4, 19 bytes; thumbnail: file 2 "small.jpg", image/jpeg' in said
