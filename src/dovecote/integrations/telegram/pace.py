"""A rate limiter of python-telegram-bot's: what the bot sends by itself shares its pace with the outbox."""

from __future__ import annotations

import warnings
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter
from telegram.warnings import PTBDeprecationWarning

from dovecote.direct import messages_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from dovecote.app import Dovecote

    Answer = bool | dict[str, Any] | list[dict[str, Any]]


class SharedPace(BaseRateLimiter[None]):
    """`ApplicationBuilder().rate_limiter(SharedPace(dovecote, "shop"))`: that bot's pace, shared with the outbox.

    A message takes a slot of the bot's pace and is sent at once; a bulk that waits in the outbox does not delay it.
    After a 429 every worker waits. While Telegram has told the bot to wait for more than half a minute, a message is
    answered RetryAfter without a request. Calls that put no message into a chat pass by.
    """

    __slots__ = ("_bot", "_direct")

    def __init__(self, dovecote: Dovecote, bot: str) -> None:
        self._direct = dovecote.direct
        self._bot = bot

    async def initialize(self) -> None:
        """Nothing to open: the first message connects."""

    async def shutdown(self) -> None:
        """Nothing to close: the Dovecote closes what it has opened."""

    async def process_request(  # noqa: PLR0917 (the library's own signature)
        self,
        callback: Callable[..., Coroutine[Any, Any, Answer]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: None,
    ) -> Answer:
        """Take the slots, then make the request. Raises what the request raises, and UnknownBot."""
        del rate_limit_args
        wait = await self._direct.turn(self._bot, messages_of(endpoint, data))
        if wait:
            raise _retry_after(ceil(wait))
        try:
            return await callback(*args, **kwargs)
        except RetryAfter as error:
            await self._direct.told_to_wait(self._bot, data.get("chat_id"), _seconds(error))
            raise


def _retry_after(seconds: int) -> RetryAfter:
    with warnings.catch_warnings():
        # It reads its own number of seconds, and warns of that.
        warnings.simplefilter("ignore", PTBDeprecationWarning)
        return RetryAfter(timedelta(seconds=seconds))


def _seconds(error: RetryAfter) -> float:
    """Seconds, whether this version and setting of the library says a number or a timedelta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PTBDeprecationWarning)
        told = error.retry_after
    return told.total_seconds() if isinstance(told, timedelta) else float(told)
