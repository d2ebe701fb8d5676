"""What updates say about recipients: who may be sent to, who may not and why, which group is another chat now."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from dovecote.errors import InvalidRecipient, StoreUnavailable, UnknownRecipient
from dovecote.model import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from dovecote.app import Dovecote

logger = logging.getLogger(__name__)

LANGUAGES_KEPT: Final = 10_000
"""Chats whose language is known to be noted; of one beyond them the database is asked again."""

_START: Final = re.compile(r"/start(?:@\w+)?(?:\s|$)")


def is_start(text: str | None) -> bool:
    """Whether a message is /start, with or without a parameter."""
    return text is not None and _START.match(text) is not None


def hindrance(status: str, *, private: bool, is_member: bool, may_write: bool) -> Refusal | None:
    """Why a bot of that status in a chat cannot write there; None where it can.

    `may_write` is the right of a restricted member, or of an administrator of a channel, to post.
    """
    if status in {"kicked", "left"} or not is_member:
        return Refusal.BLOCKED if private else Refusal.REMOVED
    return None if may_write else Refusal.RESTRICTED


class RecipientKeeper:
    """Writes into the outbox's database what updates say about the recipients of one bot.

    Where the database cannot be reached, the change is lost and logged, and the update goes on to its handler. A bot
    that nobody has added is UnknownBot. With `language`, the language of the app that somebody writes from is noted.
    """

    def __init__(self, dovecote: Dovecote, bot: str, *, language: bool = True) -> None:
        self._dovecote = dovecote
        self._bot = bot
        self._tells_language = language
        self._languages: OrderedDict[int, str] = OrderedDict()

    async def started(self, chat_id: int, language: str | None) -> None:
        """Somebody has written /start, from an app in that language."""
        welcome = await self._kept(self._dovecote.welcome_recipient(self._bot, chat_id))
        if welcome and self._tells_language and language:
            await self._kept(self._note_language(chat_id, language))

    async def heard(self, chat_id: int, language: str | None) -> None:
        """Somebody has written, or pressed a button. Only of a recipient is the language noted."""
        if self._tells_language and language and self._languages.get(chat_id) != language:
            await self._kept(self._note_language(chat_id, language))

    async def _note_language(self, chat_id: int, language: str) -> None:
        try:
            known = await self._dovecote.recipient(self._bot, chat_id)
            if known.told_at is None:
                return
            if known.language is None or known.language.lower() != language.lower():
                await self._dovecote.set_recipient(self._bot, chat_id, language=language)
        except UnknownRecipient:
            return
        except InvalidRecipient as error:
            logger.warning('the language of a recipient of "%s" is not kept: %s', self._bot, error)
        # A language that cannot be kept is not tried again with every message.
        self._languages[chat_id] = language
        self._languages.move_to_end(chat_id)
        if len(self._languages) > LANGUAGES_KEPT:
            self._languages.popitem(last=False)

    async def changed(self, chat_id: int, reason: Refusal | None) -> None:
        """The bot may write to the chat from now on, or it may not, for that reason."""
        if reason is None:
            await self._kept(self._dovecote.enable_recipient(self._bot, chat_id))
        else:
            await self._kept(self._dovecote.disable_recipient(self._bot, chat_id, reason=reason.value))

    async def moved(self, chat_id: int, new_chat_id: int) -> None:
        """The group has become a supergroup."""
        await self._kept(self._dovecote.move_recipient(self._bot, chat_id, new_chat_id))

    async def _kept(self, change: Awaitable[object]) -> bool:
        """Whether the change was written."""
        try:
            await change
        except StoreUnavailable as error:
            logger.warning('a change of a recipient of "%s" is lost: %s', self._bot, error)
            return False
        return True
