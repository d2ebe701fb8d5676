"""Bots' tokens for sending: read once, held in memory, read again after Telegram has refused one."""

from __future__ import annotations

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

    def __repr__(self) -> str:
        return f"<BotTokens of {len(self._tokens)} bots>"

    async def token(self, bot_id: int) -> str:
        """See `ports.TokenSource.token`."""
        token = self._tokens.get(bot_id)
        return token if token is not None else await self._read(bot_id)

    def forget(self, bot_id: int) -> None:
        """See `ports.TokenSource.forget`."""
        self._tokens.pop(bot_id, None)

    async def _read(self, bot_id: int) -> str:
        for bot in await self._bots.bots():
            if bot.id == bot_id:
                self._tokens[bot_id] = self._unseal(bot)
                return self._tokens[bot_id]
        raise TokenUnreadable(f"there is no bot with the id {bot_id}: was it removed from the database by hand?")
