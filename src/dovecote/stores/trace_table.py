"""The table of trace contexts, beside the notifications that were enqueued in them."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, Table, Text

from dovecote.stores.column_types import BigId


def trace_table(metadata: MetaData, prefix: str) -> Table:
    """A row for each notification whose enqueue was traced and sampled. It stays as long as the notification does."""
    return Table(
        f"{prefix}trace_context",
        metadata,
        Column("notification_id", BigId, primary_key=True, autoincrement=False),
        # The headers of that name.
        Column("traceparent", Text, nullable=False),
        Column("tracestate", Text),
    )
