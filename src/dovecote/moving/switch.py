"""The switch: which path a chat's notifications take, the old one or Dovecote's.

A chat has a place between 0 and 1, drawn from its bot and itself and always the same. It has moved if its place is
below the bot's share. So a share that grows only ever moves more chats, and one that is set back gives back the last.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from dovecote.clocks import monotonic
from dovecote.errors import StoreUnavailable
from dovecote.stores.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovecote.app import Dovecote

FRESH: Final = 2.0
"""Seconds that a share is believed before it is read again."""


def place_of(bot: str, chat_id: int | str) -> float:
    """Where a chat of a bot lies, from 0 to below 1; the same everywhere and for ever."""
    digest = hashlib.sha256(f"{bot} {chat_id}".encode()).digest()
    # 53 bits: all that a float holds, so that it stays below 1.
    return (int.from_bytes(digest[:8]) >> 11) / 2**53


class Switch:
    """Asked by the application before it sends, and set by an operator. One for each Dovecote is enough.

    A share that was set is known to every process within two seconds. Meanwhile some take one path for a chat and some
    the other, which doubles and loses nothing: each notification takes one of the two.
    """

    def __init__(self, dovecote: Dovecote, *, clock: Callable[[], float] = monotonic) -> None:
        self._store = Switches(dovecote.database)
        self._clock = clock
        self._shares: Mapping[str, float] = {}
        self._read_at: float | None = None

    async def has_moved(self, bot: str, chat_id: int | str) -> bool:
        """Whether a chat's notifications are Dovecote's. A bot that was never switched has moved none.

        Raises StoreUnavailable where no share is known yet; later an outage leaves the last that was known.
        """
        if self._read_at is None or self._clock() - self._read_at >= FRESH:
            await self._read()
        return place_of(bot, chat_id) < self._shares.get(bot, 0.0)

    async def _read(self) -> None:
        try:
            self._shares = await self._store.shares()
        except StoreUnavailable:
            if self._read_at is None:
                raise
        self._read_at = self._clock()

    async def shares(self) -> Mapping[str, float]:
        """The share of every bot that was ever switched, by its name."""
        return await self._store.shares()

    async def set_share(self, bot: str, share: float) -> None:
        """Let that share of a bot's chats have moved: 0 none, 1 all. Raises UnknownBot, ValueError."""
        if not 0 <= share <= 1:
            raise ValueError(f"a share of {share} cannot be: give 0 (no chat) to 1 (all of them).")
        await self._store.set_share(bot, share)
        self._read_at = None
