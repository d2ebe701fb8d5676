"""What refusals teach: a pace held below the bot's own, recipients that take nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0002"
down_revision = "0001"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
CHAT = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


# A 429 that begins a wait takes a share of the pace, and it climbs back by a thousandth of the whole in a second: a rate
# that is set too high costs about one refusal in a minute, and nearly the whole of the true rate is used.
KEPT_PACE = """
CREATE FUNCTION dovecote.kept_pace(pace float8, held float8, held_at timestamptz, now timestamptz) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN held IS NULL THEN pace
        ELSE least(pace, held + pace * 0.001 * greatest(0, extract(epoch FROM now - held_at)::float8)) END
$$
"""


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Add the columns and the table."""
    prefix, schema = _place()
    op.add_column(f"{prefix}bot", sa.Column("pace_held", sa.Double), schema=schema)
    op.add_column(f"{prefix}bot", sa.Column("pace_held_at", INSTANT), schema=schema)
    op.create_table(
        f"{prefix}recipient",
        sa.Column("bot_id", sa.Integer, autoincrement=False),
        sa.Column("chat", CHAT),
        sa.Column("disabled_at", INSTANT),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("strikes", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("bot_id", "chat", name=op.f(f"{prefix}recipient_pkey")),
        schema=schema,
    )
    for name, condition in (("disabled", "disabled_at IS NOT NULL"), ("struck", "strikes > 0 AND disabled_at IS NULL")):
        op.create_index(
            f"{prefix}recipient_{name}",
            f"{prefix}recipient",
            ["bot_id", "chat"],
            schema=schema,
            postgresql_where=sa.text(condition),
            sqlite_where=sa.text(condition),
        )
    if schema is not None:
        op.execute(KEPT_PACE)


def downgrade() -> None:
    """Take them back."""
    prefix, schema = _place()
    if schema is not None:
        op.execute("DROP FUNCTION dovecote.kept_pace(float8, float8, timestamptz, timestamptz)")
    op.drop_table(f"{prefix}recipient", schema=schema)
    op.drop_column(f"{prefix}bot", "pace_held_at", schema=schema)
    op.drop_column(f"{prefix}bot", "pace_held", schema=schema)
