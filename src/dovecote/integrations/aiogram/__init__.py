"""Dovecote in a bot that is written with aiogram.

    outbox = Outbox(dovecote, "shop")
    await outbox.enqueue(session, message.answer("On its way"), key="order-17-shipped")

- `Outbox`: what aiogram would send goes into the outbox, in the handler's own transaction;
- `RecipientMiddleware`: who starts, blocks or moves is known to the outbox;
- `PacedSession`: what the bot sends by itself shares the outbox's pace;
- `keep`: the file of a message goes into Dovecote's files.
"""

try:
    import aiogram  # noqa: F401 (an extra)
except ImportError as error:
    from dovecote.errors import MissingExtra

    raise MissingExtra("aiogram", "The integration of aiogram") from error

from dovecote.integrations.aiogram.outbox import Outbox, keep
from dovecote.integrations.aiogram.recipients import RecipientMiddleware
from dovecote.integrations.aiogram.session import PacedSession

__all__ = ["Outbox", "PacedSession", "RecipientMiddleware", "keep"]
