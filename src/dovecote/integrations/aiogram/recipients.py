"""A middleware of aiogram's that keeps the recipients of a bot current."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiogram import BaseMiddleware
from aiogram.enums import ChatType
from aiogram.types import Update

from dovecote.integrations.bots.membership import RecipientKeeper, hindrance, is_start

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiogram import Dispatcher
    from aiogram.types import ChatMemberUpdated, Message, TelegramObject

    from dovecote.app import Dovecote


class RecipientMiddleware(BaseMiddleware):
    """Tells the outbox who starts, blocks, removes and lets in the bot of that name, and which group moves.

    `RecipientMiddleware(dovecote, "shop").register(dispatcher)`: the change is written before the update's own handler
    is called. Handlers see every update as before. The language of a recipient is that of the app it writes from;
    with `language=False` it is left to the application.
    """

    def __init__(self, dovecote: Dovecote, bot: str, *, language: bool = True) -> None:
        self._keeper = RecipientKeeper(dovecote, bot, language=language)

    def register(self, dispatcher: Dispatcher) -> None:
        """Put it before all handlers, and let polling ask Telegram for the updates that it lives by."""
        dispatcher.update.outer_middleware(self)
        # Telegram is asked for those kinds alone that have a handler; these two never take one from another.
        dispatcher.message.register(_nothing, _never)
        dispatcher.my_chat_member.register(_nothing, _never)

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Note what the update says of a recipient, then pass it on."""
        if isinstance(event, Update):
            if event.message is not None:
                await self._heard(event.message)
            elif event.callback_query is not None:
                # Somebody's own chat has that person's number.
                presser = event.callback_query.from_user
                await self._keeper.heard(presser.id, presser.language_code)
            elif event.my_chat_member is not None:
                await self._changed(event.my_chat_member)
        return await handler(event, data)

    async def _heard(self, message: Message) -> None:
        chat = message.chat
        if chat.type == ChatType.PRIVATE:
            language = None if message.from_user is None else message.from_user.language_code
            hear = self._keeper.started if is_start(message.text) else self._keeper.heard
            await hear(chat.id, language)
        elif message.migrate_to_chat_id is not None:
            await self._keeper.moved(chat.id, message.migrate_to_chat_id)
        elif message.migrate_from_chat_id is not None:
            await self._keeper.moved(message.migrate_from_chat_id, chat.id)

    async def _changed(self, change: ChatMemberUpdated) -> None:
        member = change.new_chat_member
        right = "can_post_messages" if change.chat.type == ChatType.CHANNEL else "can_send_messages"
        reason = hindrance(
            member.status,
            private=change.chat.type == ChatType.PRIVATE,
            is_member=getattr(member, "is_member", True),
            may_write=getattr(member, right, None) is not False,
        )
        await self._keeper.changed(change.chat.id, reason)


async def _nothing(_event: TelegramObject) -> None:
    """Do nothing: it is never called."""


def _never(_event: TelegramObject) -> bool:
    return False
