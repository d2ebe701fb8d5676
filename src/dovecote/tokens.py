"""Bots' tokens for sending: read once, held in memory, read again after Telegram has refused one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dovecote.errors import TokenUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.model import Bot
    from dovecote.ports import BotStore


class BotTokens:
    """`ports.TokenSource` over the bots of a store; `unseal` opens one bot's token or raises TokenUnreadable."""

    def __init__(self, bots: BotStore, unseal: Callable[[Bot], str]) -> None:
        self._bots = bots
        self._unseal = unseal
        self._tokens: dict[int, str] = {}
        # A batch asks all at once, and one answer serves all who ask while it is on its way.
        self._readings: dict[int, asyncio.Task[str]] = {}

    def __repr__(self) -> str:
        return f"<BotTokens of {len(self._tokens)} bots>"

    async def token(self, bot_id: int) -> str:
        """See `ports.TokenSource.token`."""
        token = self._tokens.get(bot_id)
        if token is not None:
            return token
        reading = self._readings.get(bot_id)
        if reading is None:
            reading = self._readings[bot_id] = asyncio.create_task(self._read(bot_id))
            reading.add_done_callback(lambda _: self._readings.pop(bot_id))
        return await asyncio.shield(reading)

    def forget(self, bot_id: int) -> None:
        """See `ports.TokenSource.forget`."""
        self._tokens.pop(bot_id, None)

    async def _read(self, bot_id: int) -> str:
        for bot in await self._bots.bots():
            if bot.id == bot_id:
                self._tokens[bot_id] = self._unseal(bot)
                return self._tokens[bot_id]
        raise TokenUnreadable(f"there is no bot with the id {bot_id}: was it removed from the database by hand?")
