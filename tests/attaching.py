"""For tests of attachments: a Dovecote with a folder of files, and an emulator that counts what is uploaded."""

from __future__ import annotations

import hashlib
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from deliveries import Delivery, delivery, until

from dovecote.model import Attachment, Notification

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from dovecote.emulator import Emulator
    from dovecote.model import NotificationRecord, StoredFile

QUICK = {"first": "10ms", "longest": "50ms"}


def png(number: int = 0, *, width: int = 640, height: int = 480) -> bytes:
    """As much of a picture as Telegram looks at; another content for each number."""
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height)
    return header + b"\x08\x02\x00\x00\x00" + number.to_bytes(8, "big")


def digest(content: bytes) -> str:
    """Its SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


class Attaching:
    """A Dovecote whose files are in a folder of the test's own."""

    def __init__(self, parts: Delivery, emulator: Emulator, folder: Path) -> None:
        self.parts = parts
        self.emulator = emulator
        self.dovecote = parts.dovecote
        self.folder = folder
        self.files = self.dovecote.files

    async def put(self, content: bytes, name: str | None = None) -> StoredFile:
        """Store a content."""
        return await self.files.put(content, name=name)

    async def photo(self, file: StoredFile | Attachment, chat: int = 7, **named: Any) -> int:
        """Enqueue a photo."""
        attachment = file if isinstance(file, Attachment) else Attachment(file)
        return await self.enqueue("sendPhoto", chat, {"photo": attachment}, **named)

    async def enqueue(self, method: str, chat: int, params: dict[str, Any], **named: Any) -> int:
        """Enqueue one."""
        (id_,) = await self.parts.enqueue(
            Notification(bot=named.pop("bot", "shop"), chat_id=chat, method=method, params=params, **named)
        )
        return id_

    async def broadcast(self, file: StoredFile, chats: Sequence[int]) -> list[int]:
        """Enqueue one photo to many chats."""
        return await self.parts.enqueue(
            *(
                Notification(bot="shop", chat_id=chat, method="sendPhoto", params={"photo": Attachment(file)})
                for chat in chats
            )
        )

    async def settled(self, *ids: int) -> list[NotificationRecord]:
        """Work until these have left the outbox; answers their lives."""
        async with self.parts.working():
            await until(lambda: self.are_settled(ids))
        return [await self.dovecote.notification(id_) for id_ in ids]

    async def are_settled(self, ids: Sequence[int]) -> bool:
        """Whether these have left the outbox."""
        records = [await self.dovecote.notification(id_) for id_ in ids]
        return all(record.settled_at is not None for record in records)

    def uploads(self, content: bytes) -> int:
        """How often the emulator was given this content."""
        found = self.emulator.uploads.get(digest(content))
        return 0 if found is None else found.count

    def sent(self, chat: int = 7) -> list[Any]:
        """The parameters of what was accepted for a chat, in order."""
        return [record.parameters for record in self.emulator.accepted if record.chat_id == chat]


@asynccontextmanager
async def attaching(url: str, emulator: Emulator, folder: Path, **settings: Any) -> AsyncIterator[Attaching]:
    """An `Attaching` with one bot, "shop", whose pauses between tries are short."""
    async with delivery(url, emulator.url, retry=QUICK, files=folder, **settings) as parts:
        yield Attaching(parts, emulator, folder)
