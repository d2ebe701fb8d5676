"""A bot whose admin can tell everybody something: python-telegram-bot and Dovecote. See README.md."""

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from telegram import Message, Update
from telegram.ext import Application, ApplicationBuilder, CommandHandler, ContextTypes, filters

from dovecote import Dovecote, Notification, Priority
from dovecote.errors import BotExists, InvalidSchedule
from dovecote.integrations.telegram import SharedPace, recipient_handler
from dovecote.schedule import Once, Schedule, Timing

BOT = "news"
TOKEN_VARIABLE = "NEWS_BOT_TOKEN"  # its name: the token itself stays in the environment
ADMIN = int(os.environ.get("NEWS_ADMIN", "0"))  # the chat that may broadcast

dovecote = Dovecote()  # by dovecote.toml and the DOVECOTE_* variables; without them, sqlite:///dovecote.db


async def start(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    """Greet: the handler of recipients has taken the chat in already."""
    if update.message is not None:
        await update.message.reply_text("You hear from us now. /stop ends it.")


async def stop(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    """Send this chat nothing more, until it says /start again."""
    if update.message is not None:
        await dovecote.disable_recipient(BOT, update.message.chat_id, reason="opted_out")
        await update.message.reply_text("You hear nothing more. /start begins again.")


async def broadcast(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    """Send everybody the text after the command, or the message that the command is a reply to."""
    message = update.message
    if message is None:
        return
    content = content_of(message)
    if content is None:
        await message.reply_text("Write it behind /broadcast, or reply with /broadcast to what is to be sent.")
        return
    # It fires once: an update that Telegram delivers twice has the same name, and is refused the second time.
    name = f"broadcast-{update.update_id}"
    soon = (datetime.now(UTC) + timedelta(seconds=1)).replace(tzinfo=None, microsecond=0) + timedelta(seconds=1)
    try:
        await dovecote.schedules.add(
            Schedule(name=name, timing=Timing(recurrence=Once(soon), zone="UTC"), notification=content, to=None)
        )
    except InvalidSchedule as error:
        await message.reply_text(f"It was not sent: {error}")
        return
    preview = await dovecote.schedules.preview(name)
    await message.reply_text(f"On its way to {preview.recipients} recipients.")


def content_of(message: Message) -> Notification | None:
    """What the admin wants to be sent. In bulk, so that answers and urgent messages overtake it."""
    if message.reply_to_message is not None:
        original = {"from_chat_id": message.chat_id, "message_id": message.reply_to_message.message_id}
        return Notification(bot=BOT, method="copyMessage", params=original, priority=Priority.BULK)
    _, _, text = (message.text or "").partition(" ")
    return Notification(bot=BOT, text=text, priority=Priority.BULK) if text.strip() else None


async def prepare(_application: Application[Any, Any, Any, Any, Any, Any]) -> None:
    """Make the outbox and the bot where they are not there yet."""
    await dovecote.migrate()
    with suppress(BotExists):
        await dovecote.add_bot(BOT, token_variable=TOKEN_VARIABLE)


async def close(_application: Application[Any, Any, Any, Any, Any, Any]) -> None:
    """Give back every connection."""
    await dovecote.close()


def make_application() -> Application[Any, Any, Any, Any, Any, Any]:
    """The bot, with who answers what."""
    application = (
        ApplicationBuilder()
        .token(os.environ[TOKEN_VARIABLE])
        .base_url(f"{dovecote.settings.telegram.base_url.rstrip('/')}/bot")
        .rate_limiter(SharedPace(dovecote, BOT))  # one pace with `dovecote run`, and no answer waits for a broadcast
        .post_init(prepare)
        .post_shutdown(close)
        .build()
    )
    application.add_handler(recipient_handler(dovecote, BOT), group=-1)
    application.add_handler(CommandHandler("start", start))
    application.add_handler(CommandHandler("stop", stop))
    application.add_handler(CommandHandler("broadcast", broadcast, filters.Chat(ADMIN)))
    return application


def main() -> None:
    """Answer people until Ctrl-C. What goes to everybody is sent by `dovecote run`."""
    make_application().run_polling()


if __name__ == "__main__":
    main()
