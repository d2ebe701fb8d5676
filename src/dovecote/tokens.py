"""Bots' tokens for sending: read once, held in memory, read again after Telegram has refused one."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from dovecote.errors import TokenUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.model import Bot
    from dovecote.ports import BotStore


# One reading of all bots serves whoever asks within so many seconds: with a thousand bots, a thousand ask at once.
FRESH_SECONDS = 1.0


class BotTokens:
    """`ports.TokenSource` over the bots of a store; `unseal` opens one bot's token or raises TokenUnreadable."""

    def __init__(
        self, bots: BotStore, unseal: Callable[[Bot], str], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._bots = bots
        self._unseal = unseal
        self._monotonic = monotonic
        self._tokens: dict[int, str] = {}
        self._known: dict[int, Bot] = {}
        self._known_until = -math.inf
        # A batch asks all at once, and one answer serves all who ask while it is on its way.
        self._reading: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<BotTokens of {len(self._tokens)} bots>"

    async def token(self, bot_id: int) -> str:
        """See `ports.TokenSource.token`."""
        token = self._tokens.get(bot_id)
        if token is not None:
            return token
        if self._monotonic() >= self._known_until:
            await self._known_again()
        # A bot that was added since, even after a reading began that was on its way already, is not to wait.
        for _ in range(2):
            if bot_id not in self._known:
                await self._known_again()
        bot = self._known.get(bot_id)
        if bot is None:
            raise TokenUnreadable(f"there is no bot with the id {bot_id}: was it removed from the database by hand?")
        if bot_id not in self._tokens:
            self._tokens[bot_id] = self._unseal(bot)
        return self._tokens[bot_id]

    def forget(self, bot_id: int) -> None:
        """See `ports.TokenSource.forget`."""
        self._tokens.pop(bot_id, None)
        self._known_until = -math.inf

    async def _known_again(self) -> None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._read_once)
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        self._known = {bot.id: bot for bot in await self._bots.bots()}
        self._known_until = self._monotonic() + FRESH_SECONDS

    def _read_once(self, _: asyncio.Task[None]) -> None:
        self._reading = None
