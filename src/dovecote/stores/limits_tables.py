"""What limits beyond a bot's own pace are kept in: paid broadcasts, and the waits of single chats.

Stars are counted in tenths: a paid message costs one tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Double, Index, Integer, MetaData, Table, text

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine


def paid_columns(instant: TypeEngine[Any]) -> list[Column[Any]]:
    """The columns of a bot's row that paid broadcasts need."""
    return [
        # Messages per second while Stars pay for it; null: the bot never pays.
        Column("paid_pace", Double),
        # Tenths of Stars: how many a day may cost, and how many were granted on the day of the last grant, which is
        # counted from 1970 in UTC.
        Column("paid_budget", Integer),
        Column("paid_spent", Integer, nullable=False, server_default=text("0")),
        Column("paid_day", Integer),
        # Until then the messages that were paid for may have used up what is free of charge.
        Column("paid_until", instant),
    ]


def chat_wait(metadata: MetaData, prefix: str, instant: TypeEngine[Any], chat: TypeEngine[Any]) -> Table:
    """Chats that a 429 of their own makes wait. A row stays until it is pruned."""
    table = Table(
        f"{prefix}chat_wait",
        metadata,
        Column("bot_id", Integer, primary_key=True, autoincrement=False),
        Column("chat", chat, primary_key=True),
        Column("until", instant, nullable=False),
    )
    Index(f"{prefix}chat_wait_running", table.c.bot_id, table.c.until)
    Index(f"{prefix}chat_wait_over", table.c.until)
    return table
