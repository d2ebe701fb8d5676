"""Dovecote in a bot that is written with python-telegram-bot.

    outbox = Outbox(dovecote, "shop", client=application.bot)
    await outbox.enqueue(session, lambda bot: bot.send_message(42, "On its way"), key="order-17-shipped")

- `Outbox`: what the bot would send goes into the outbox, in the handler's own transaction;
- `recipient_handler`: who starts, blocks or moves is known to the outbox;
- `SharedPace`: a rate limiter, by which what the bot sends by itself shares the outbox's pace;
- `keep`: the file of a message goes into Dovecote's files.
"""

try:
    import telegram  # noqa: F401 (an extra)
except ImportError as error:
    from dovecote.errors import MissingExtra

    raise MissingExtra("telegram", "The integration of python-telegram-bot") from error

from dovecote.integrations.telegram.outbox import Outbox, keep
from dovecote.integrations.telegram.pace import SharedPace
from dovecote.integrations.telegram.recipients import recipient_handler

__all__ = ["Outbox", "SharedPace", "keep", "recipient_handler"]
