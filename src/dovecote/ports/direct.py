"""What direct messages ask for: slots on the timeline that they share with the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dovecote.model import DirectTurn


class DirectSlots(Protocol):
    """The timelines of the bots, for what is sent past the outbox."""

    async def take(self, bot: str, slots: int, *, longest_wait: float) -> DirectTurn | None:
        """Take so many slots of the bot of that name, in one statement; None when there is no such bot.

        Where the wait would be over `longest_wait` seconds, or Telegram has refused the bot, none is taken.
        Raises StoreUnavailable, NotMigrated.
        """

    async def close(self) -> None:
        """Give back every connection."""
