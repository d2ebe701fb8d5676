"""A bare loop of aiogram's `send_message`: what most bots do for a broadcast, with the waiting taken out."""

from __future__ import annotations

import asyncio
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from bench.work import TOKEN, chat_of, measured_process, result_of, stopwatch, text_of


async def run(peer: str, notifications: int, concurrency: int) -> dict[str, Any]:
    """Send `notifications` messages, `concurrency` at a time, over as many connections."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(peer), limit=concurrency)
    numbers = iter(range(notifications))
    async with Bot(TOKEN, session=session) as bot:

        async def sender() -> None:
            for number in numbers:
                message = await bot.send_message(chat_of(number), text_of(number))
                if message.message_id < 1:
                    raise RuntimeError(f"the peer answered {message}")

        with stopwatch() as watch:
            await asyncio.gather(*(sender() for _ in range(concurrency)))
    return result_of(watch, notifications)


if __name__ == "__main__":
    measured_process(run)
