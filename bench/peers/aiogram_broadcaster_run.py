"""aiogram-broadcaster doing the same job: one text to as many chats, over aiogram, its record in its file storage.

From its source: a mailer sends to one chat after another and has no choice in that; no interval between them, which is
the fastest. Its `FileStorage` writes the whole record after each chat, so that what a message costs grows with how many
chats there are: that is what its exact record costs, and it is measured as it stands, with `stored` 1. With `stored` 0
nothing is kept, and a killed process has forgotten what it did; this one is its fastest, and no queue at all.
"""

from __future__ import annotations

from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram_broadcaster import Broadcaster
from aiogram_broadcaster.contents import TextContent
from aiogram_broadcaster.storages.file import FileStorage

from bench.work import TOKEN, chat_of, measured_actions, result_of, stopwatch, text_of


async def fill(url: str, notifications: int) -> dict[str, Any]:
    """Make the mailer for `notifications` chats in the file `url`."""
    storage = FileStorage(url)
    await storage.startup()
    async with Bot(TOKEN) as bot:
        broadcaster = Broadcaster(bot, storage=storage)
        await broadcaster.create_mailer(
            chats=[chat_of(number) for number in range(notifications)], content=TextContent(text=text_of(0))
        )
    return {}


async def deliver(url: str, peer: str, notifications: int, stored: int) -> dict[str, Any]:
    """Take up the mailer of the file and run it to its end."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(peer))
    async with Bot(TOKEN, session=session) as bot:
        broadcaster = Broadcaster(bot, storage=FileStorage(url))
        with stopwatch() as watch:
            await broadcaster.restore_mailers()
            if not stored:
                broadcaster.storage = None
            (mailer,) = broadcaster
            await mailer.start()
    if len(mailer.chats.success) != notifications:
        raise RuntimeError(
            f"aiogram-broadcaster sent to {len(mailer.chats.success)} of {notifications}: {mailer.chats}"
        )
    return result_of(watch, notifications)


async def broadcast(url: str, peer: str) -> dict[str, Any]:
    """Take up the mailer of the file, run it to its end, and answer what it says became of everybody."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(peer))
    async with Bot(TOKEN, session=session) as bot:
        broadcaster = Broadcaster(bot, storage=FileStorage(url))
        await broadcaster.restore_mailers()
        (mailer,) = broadcaster
        await mailer.start()
    return {"sent": len(mailer.chats.success), "unknown": 0, "failed": len(mailer.chats.failed)}


if __name__ == "__main__":
    measured_actions(fill=fill, deliver=deliver, broadcast=broadcast)
