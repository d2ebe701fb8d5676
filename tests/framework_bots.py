"""Bots that are written with aiogram and with python-telegram-bot, on one Dovecote, as the tests see them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import aiogram
import telegram
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramRetryAfter
from deliveries import TOKEN
from telegram.error import RetryAfter
from telegram.ext import Application, ApplicationBuilder, TypeHandler

from dovecote.integrations import aiogram as with_aiogram
from dovecote.integrations import telegram as with_telegram

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote import Dovecote, StoredFile
    from dovecote.emulator import Emulator

ADA = {"id": 42, "is_bot": False, "first_name": "Ada", "language_code": "de"}
BOT = {"id": 4242, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}
PRIVATE = {"id": 42, "type": "private", "first_name": "Ada"}
GROUP = {"id": -7, "type": "group", "title": "Friends"}


def message(chat: dict[str, Any] = PRIVATE, **members: Any) -> dict[str, Any]:
    """An update with a message."""
    return {"message": {"message_id": 1, "date": 1_780_000_000, "chat": chat, "from": ADA, **members}}


def membership(chat: dict[str, Any], **member: Any) -> dict[str, Any]:
    """An update that says what the bot is in a chat now."""
    change = {
        "chat": chat,
        "from": ADA,
        "date": 1_780_000_000,
        "old_chat_member": {"user": BOT, "status": "left"},
        "new_chat_member": {"user": BOT, **member},
    }
    return {"my_chat_member": change}


class FrameworkBot(Protocol):
    """A bot of a framework's. `seen` are the updates that have come to its own handler, by their ids."""

    seen: list[int]
    too_many: type[Exception]

    async def start(self) -> None: ...

    async def feed(self, update: dict[str, Any]) -> None:
        """Let it receive an update."""

    async def say(self, chat_id: int, text: str = "hello") -> None:
        """Let a handler of it send a message directly."""

    async def show_typing(self, chat_id: int) -> None:
        """Let it make a call that is no message."""

    async def keep(self, update: dict[str, Any], **named: Any) -> StoredFile:
        """Keep the file of the update's message."""

    async def stop(self) -> None: ...


class AiogramBot:
    """A dispatcher with the middleware, and a bot with the session."""

    too_many: type[Exception] = TelegramRetryAfter

    def __init__(self, dovecote: Dovecote, emulator: Emulator) -> None:
        self._dovecote = dovecote
        api = TelegramAPIServer.from_base(emulator.url)
        session = with_aiogram.PacedSession(dovecote, "shop", AiohttpSession(api=api))
        self.bot = aiogram.Bot(TOKEN, session=session)
        self.dispatcher = aiogram.Dispatcher()
        self.seen: list[int] = []
        with_aiogram.RecipientMiddleware(dovecote, "shop").register(self.dispatcher)
        self.dispatcher.message.register(self._see)
        self.dispatcher.my_chat_member.register(self._see)

    async def _see(self, _event: aiogram.types.TelegramObject, event_update: aiogram.types.Update) -> None:
        self.seen.append(event_update.update_id)

    async def start(self) -> None:
        pass

    async def feed(self, update: dict[str, Any]) -> None:
        await self.dispatcher.feed_raw_update(self.bot, {"update_id": len(self.seen) + 1, **update})

    async def say(self, chat_id: int, text: str = "hello") -> None:
        await self.bot.send_message(chat_id, text)

    async def show_typing(self, chat_id: int) -> None:
        await self.bot.send_chat_action(chat_id, "typing")

    async def keep(self, update: dict[str, Any], **named: Any) -> StoredFile:
        heard = aiogram.types.Message.model_validate(update["message"])
        return await with_aiogram.keep(heard, self._dovecote, "shop", **named)

    async def stop(self) -> None:
        await self.bot.session.close()


class TelegramBot:
    """An application with the handler and the rate limiter."""

    too_many: type[Exception] = RetryAfter

    def __init__(self, dovecote: Dovecote, emulator: Emulator) -> None:
        self._dovecote = dovecote
        pace = with_telegram.SharedPace(dovecote, "shop")
        builder = ApplicationBuilder().token(TOKEN).base_url(f"{emulator.url}/bot").rate_limiter(pace)
        self.application: Application[Any, Any, Any, Any, Any, Any] = builder.build()
        self.bot = self.application.bot
        self.seen: list[int] = []
        self.application.add_handler(with_telegram.recipient_handler(dovecote, "shop"), group=-1)
        self.application.add_handler(TypeHandler(telegram.Update, self._see))

    async def _see(self, update: telegram.Update, _context: object) -> None:
        self.seen.append(update.update_id)

    async def start(self) -> None:
        await self.application.initialize()

    async def feed(self, update: dict[str, Any]) -> None:
        read = telegram.Update.de_json({"update_id": len(self.seen) + 1, **update}, self.bot)
        await self.application.process_update(read)

    async def say(self, chat_id: int, text: str = "hello") -> None:
        await self.bot.send_message(chat_id, text)

    async def show_typing(self, chat_id: int) -> None:
        await self.bot.send_chat_action(chat_id, "typing")

    async def keep(self, update: dict[str, Any], **named: Any) -> StoredFile:
        heard = telegram.Message.de_json(update["message"], self.bot)
        return await with_telegram.keep(heard, self._dovecote, "shop", **named)

    async def stop(self) -> None:
        await self.application.shutdown()


FRAMEWORKS: dict[str, Callable[[Dovecote, Emulator], FrameworkBot]] = {"aiogram": AiogramBot, "telegram": TelegramBot}
