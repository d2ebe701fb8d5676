"""A session of aiogram's whose messages share the bot's pace with the outbox."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, cast

from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import TelegramRetryAfter

from dovecote.direct import messages_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiogram import Bot
    from aiogram.methods import TelegramMethod
    from aiogram.methods.base import TelegramType

    from dovecote.app import Dovecote


class PacedSession(BaseSession):
    """Sends through `session`, an AiohttpSession unless one is given, as the bot of that name in the outbox.

    A message takes a slot of the bot's pace and is sent at once; a bulk that waits in the outbox does not delay it.
    After a 429 every worker waits. While Telegram has told the bot to wait for more than half a minute, a message is
    answered TelegramRetryAfter without a request. Calls that put no message into a chat pass by.
    """

    def __init__(self, dovecote: Dovecote, bot: str, session: BaseSession | None = None) -> None:
        inner = AiohttpSession() if session is None else session
        super().__init__(inner.api, inner.json_loads, inner.json_dumps, inner.timeout)
        self._inner = inner
        self._direct = dovecote.direct
        self._bot = bot

    async def make_request(
        self, bot: Bot, method: TelegramMethod[TelegramType], timeout: int | None = None
    ) -> TelegramType:
        """Take the slots, then make the request. Raises what the session raises, and UnknownBot."""
        wait = await self._direct.turn(self._bot, messages_of(method.__api_method__, vars(method)))
        if wait:
            seconds = ceil(wait)
            message = f"Too Many Requests: retry after {seconds} (as Telegram has said before: nothing was sent)"
            raise TelegramRetryAfter(method=method, message=message, retry_after=seconds)
        try:
            return cast("TelegramType", await self._inner(bot, method, timeout))
        except TelegramRetryAfter as error:
            if method.__api_method__ != "getUpdates":
                await self._direct.told_to_wait(self._bot, getattr(method, "chat_id", None), error.retry_after)
            raise

    async def stream_content(
        self,
        url: str,
        headers: dict[str, Any] | None = None,
        timeout: int = 30,
        chunk_size: int = 65536,
        raise_for_status: bool = True,  # noqa: FBT001, FBT002 (aiogram's own signature)
    ) -> AsyncGenerator[bytes, None]:
        """Read a file; see `BaseSession.stream_content`."""
        async for chunk in self._inner.stream_content(url, headers, timeout, chunk_size, raise_for_status):
            yield chunk

    async def close(self) -> None:
        """Close the session that it sends through."""
        await self._inner.close()
