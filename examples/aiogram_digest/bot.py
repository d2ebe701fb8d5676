"""A bot with a daily digest, at nine where each reader lives: aiogram and Dovecote. See README.md."""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import KeyboardButton, Message, ReplyKeyboardMarkup

from dovecote import Dovecote, Notification
from dovecote.errors import BotExists, InvalidSchedule, UnknownSchedule
from dovecote.integrations.aiogram import PacedSession, RecipientMiddleware
from dovecote.schedule import Cron, Policies, Schedule, Timing

BOT = "digest"
TOKEN_VARIABLE = "DIGEST_BOT_TOKEN"  # its name: the token itself stays in the environment
EDITOR = int(os.environ.get("DIGEST_EDITOR", "0"))  # the chat that may say what is in the digest
ZONES = ReplyKeyboardMarkup(
    keyboard=[[KeyboardButton(text=f"/zone {zone}")] for zone in ("Europe/Berlin", "America/New_York", "Asia/Tokyo")],
    resize_keyboard=True,
)

dovecote = Dovecote()  # by dovecote.toml and the DOVECOTE_* variables; without them, sqlite:///dovecote.db


async def start(message: Message) -> None:
    """Greet: the middleware has made a recipient of the chat already."""
    await message.answer(
        "You get the digest every day at nine. Where do you live? Choose, or write /zone and its name, as in"
        " /zone Europe/Paris. /stop ends it.",
        reply_markup=ZONES,
    )


async def zone(message: Message, command: CommandObject) -> None:
    """Note where the reader lives."""
    try:
        await dovecote.set_recipient_zone(BOT, message.chat.id, command.args or "")
    except InvalidSchedule:
        await message.answer("I know no such place. Write it as in /zone Europe/Paris.")
    else:
        await message.answer(f"At nine, {command.args}.")


async def stop(message: Message) -> None:
    """Send this chat nothing more, until it says /start again."""
    await dovecote.disable_recipient(BOT, message.chat.id, reason="opted_out")
    await message.answer("You get no more digests. /start begins again.")


async def news(message: Message, command: CommandObject) -> None:
    """Let the editor say what the next digests hold."""
    record = await dovecote.schedules.get("digest")
    text = f"Your digest: {command.args or 'no news today.'}"
    await dovecote.schedules.edit(
        replace(record.schedule, notification=replace(record.schedule.notification, text=text))
    )
    await message.answer("The next digest says so.")


async def prepare() -> None:
    """Make the outbox, the bot and the schedule where they are not there yet."""
    await dovecote.migrate()
    with suppress(BotExists):
        await dovecote.add_bot(BOT, token_variable=TOKEN_VARIABLE)
    try:
        await dovecote.schedules.get("digest")
    except UnknownSchedule:
        digest = Schedule(
            name="digest",
            timing=Timing(recurrence=Cron("0 9 * * *"), zone="UTC"),  # of readers whose own nobody knows
            notification=Notification(bot=BOT, text="Your digest: no news today."),
            to=None,  # everybody who has started the bot
            local_time=True,
            policies=Policies(window=timedelta(hours=3)),  # later it would be no morning's digest
        )
        await dovecote.schedules.add(digest)


def make_bot() -> Bot:
    """The bot: what it answers and what `dovecote run` sends keep to one pace, and no answer waits for the digests."""
    api = TelegramAPIServer.from_base(dovecote.settings.telegram.base_url)
    return Bot(os.environ[TOKEN_VARIABLE], session=PacedSession(dovecote, BOT, AiohttpSession(api=api)))


def make_dispatcher() -> Dispatcher:
    """Who answers what."""
    dispatcher = Dispatcher()
    RecipientMiddleware(dovecote, BOT).register(dispatcher)
    dispatcher.message.register(start, CommandStart())
    dispatcher.message.register(zone, Command("zone"))
    dispatcher.message.register(stop, Command("stop"))
    dispatcher.message.register(news, Command("news"), F.chat.id == EDITOR)
    return dispatcher


async def main() -> None:
    """Answer people until Ctrl-C. The digests are sent by `dovecote run`."""
    await prepare()
    try:
        await make_dispatcher().start_polling(make_bot())
    finally:
        await dovecote.close()


if __name__ == "__main__":
    asyncio.run(main())
