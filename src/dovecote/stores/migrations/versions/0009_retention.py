"""Indexes that find what is past its time, the oldest first."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Index the history by outcome and time. Block ranges of keys only ever widen once pruned space is used again."""
    prefix, schema = _place()
    op.create_index(f"{prefix}history_outcome", f"{prefix}history", ["outcome", "settled_at"], schema=schema)
    op.create_index(f"{prefix}occurrence_fired", f"{prefix}occurrence", ["fired_at"], schema=schema)
    op.create_index(f"{prefix}chat_wait_over", f"{prefix}chat_wait", ["until"], schema=schema)
    op.drop_index(f"{prefix}notification_key_expiry", f"{prefix}notification_key", schema=schema)
    op.create_index(f"{prefix}notification_key_expiry", f"{prefix}notification_key", ["expires_at"], schema=schema)


def downgrade() -> None:
    """Take the index away, and put the block ranges back."""
    prefix, schema = _place()
    op.drop_index(f"{prefix}notification_key_expiry", f"{prefix}notification_key", schema=schema)
    op.create_index(
        f"{prefix}notification_key_expiry",
        f"{prefix}notification_key",
        ["expires_at"],
        schema=schema,
        postgresql_using="brin",
    )
    op.drop_index(f"{prefix}chat_wait_over", f"{prefix}chat_wait", schema=schema)
    op.drop_index(f"{prefix}occurrence_fired", f"{prefix}occurrence", schema=schema)
    op.drop_index(f"{prefix}history_outcome", f"{prefix}history", schema=schema)
