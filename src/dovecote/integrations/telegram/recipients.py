"""A handler of python-telegram-bot's that keeps the recipients of a bot current."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telegram import Update
from telegram.constants import ChatType
from telegram.ext import TypeHandler

from dovecote.integrations.bots.membership import RecipientKeeper, hindrance, is_start

if TYPE_CHECKING:
    from telegram import ChatMemberUpdated, Message

    from dovecote.app import Dovecote


def recipient_handler(dovecote: Dovecote, bot: str, *, language: bool = True) -> TypeHandler[Update, Any, None]:
    """A handler that tells the outbox who starts, blocks, removes and lets in the bot, and which group moves.

    `application.add_handler(recipient_handler(dovecote, "shop"), group=-1)`: in a group of its own before all others,
    so that the change is written before the update's own handler is called, which sees it as before. The language of a
    recipient is that of the app it writes from; with `language=False` it is left to the application.
    """
    keeper = RecipientKeeper(dovecote, bot, language=language)

    async def note(update: Update, _context: object) -> None:
        if update.message is not None:
            await _heard(keeper, update.message)
        elif update.callback_query is not None:
            # Somebody's own chat has that person's number.
            presser = update.callback_query.from_user
            await keeper.heard(presser.id, presser.language_code)
        elif update.my_chat_member is not None:
            await _changed(keeper, update.my_chat_member)

    return TypeHandler(Update, note)


async def _heard(keeper: RecipientKeeper, message: Message) -> None:
    chat = message.chat
    if chat.type == ChatType.PRIVATE:
        language = None if message.from_user is None else message.from_user.language_code
        hear = keeper.started if is_start(message.text) else keeper.heard
        await hear(chat.id, language)
    elif message.migrate_to_chat_id is not None:
        await keeper.moved(chat.id, message.migrate_to_chat_id)
    elif message.migrate_from_chat_id is not None:
        await keeper.moved(message.migrate_from_chat_id, chat.id)


async def _changed(keeper: RecipientKeeper, change: ChatMemberUpdated) -> None:
    member = change.new_chat_member
    right = "can_post_messages" if change.chat.type == ChatType.CHANNEL else "can_send_messages"
    reason = hindrance(
        member.status,
        private=change.chat.type == ChatType.PRIVATE,
        is_member=getattr(member, "is_member", True),
        may_write=getattr(member, right, None) is not False,
    )
    await keeper.changed(change.chat.id, reason)
