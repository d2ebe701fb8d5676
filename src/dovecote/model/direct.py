"""Direct messages: what a bot's own code sends past the outbox, at the pace that it shares with it."""

from __future__ import annotations

from typing import NamedTuple


class DirectTurn(NamedTuple):
    """When a direct message may be sent: in so many seconds, mostly none.

    `send_in` is how long Telegram has told the bot to wait, or how far direct messages alone have exceeded its pace.
    """

    bot_id: int
    send_in: float
