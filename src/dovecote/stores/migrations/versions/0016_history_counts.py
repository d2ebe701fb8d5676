"""Numbers that are kept as things happen, and not counted when somebody asks: of the history, and of waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# A trigger's function runs in the worker's session, which has each statement planned anew; this one need not be.
COUNTS = """
CREATE FUNCTION dovecote.count_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO dovecote.history_count (bot_id, outcome, count)
    SELECT bot_id, outcome, TG_ARGV[0]::bigint * count(*) FROM changed GROUP BY bot_id, outcome;
    RETURN NULL;
END $$
"""
CHANGES = """
CREATE FUNCTION dovecote.recount_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO dovecote.history_count (bot_id, outcome, count)
    SELECT bot_id, outcome, sum(change) FROM (
        SELECT bot_id, outcome, -1 AS change FROM gone UNION ALL SELECT bot_id, outcome, 1 FROM come
    ) AS moved GROUP BY bot_id, outcome HAVING sum(change) <> 0;
    RETURN NULL;
END $$
"""
TRIGGERS = (
    "CREATE TRIGGER count_added AFTER INSERT ON dovecote.history REFERENCING NEW TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION dovecote.count_history('1')",
    "CREATE TRIGGER count_removed AFTER DELETE ON dovecote.history REFERENCING OLD TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION dovecote.count_history('-1')",
    "CREATE TRIGGER count_changed AFTER UPDATE ON dovecote.history REFERENCING OLD TABLE AS gone NEW TABLE AS come"
    " FOR EACH STATEMENT EXECUTE FUNCTION dovecote.recount_history()",
)
# A wait that a 429 gives a bot sets `pace_held_at` once, however many requests hear of it.
WAITS = """
CREATE FUNCTION dovecote.count_waits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.waits := OLD.waits + 1;
    RETURN NEW;
END $$
"""
WAITS_TRIGGER = (
    "CREATE TRIGGER count_waits BEFORE UPDATE ON dovecote.bot FOR EACH ROW"
    " WHEN (NEW.pace_held_at IS DISTINCT FROM OLD.pace_held_at AND NEW.pace_held_at IS NOT NULL)"
    " EXECUTE FUNCTION dovecote.count_waits()"
)
RAISE = """
    INSERT INTO dovecote_history_count (bot_id, outcome, count)
    SELECT NEW.bot_id, NEW.outcome, 0 WHERE NOT EXISTS (
        SELECT 1 FROM dovecote_history_count WHERE bot_id = NEW.bot_id AND outcome = NEW.outcome
    );
    UPDATE dovecote_history_count SET count = count + 1 WHERE bot_id = NEW.bot_id AND outcome = NEW.outcome;
"""
LOWER = """
    UPDATE dovecote_history_count SET count = count - 1 WHERE bot_id = OLD.bot_id AND outcome = OLD.outcome;
"""
LITE_TRIGGERS = (
    f"CREATE TRIGGER dovecote_count_added AFTER INSERT ON dovecote_history BEGIN {RAISE} END",
    f"CREATE TRIGGER dovecote_count_removed AFTER DELETE ON dovecote_history BEGIN {LOWER} END",
    "CREATE TRIGGER dovecote_count_changed AFTER UPDATE OF bot_id, outcome ON dovecote_history"
    f" BEGIN {LOWER} {RAISE} END",
    "CREATE TRIGGER dovecote_count_waits AFTER UPDATE OF pace_held_at ON dovecote_bot"
    " WHEN NEW.pace_held_at IS NOT OLD.pace_held_at AND NEW.pace_held_at IS NOT NULL"
    " BEGIN UPDATE dovecote_bot SET waits = waits + 1 WHERE id = NEW.id; END",
)
UNDER_WAY = sa.text("state IN ('running', 'paused')")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Add the table and the triggers, then count once.

    On PostgreSQL the triggers keep writers of the history out until this commits, so that none is left out. Requests go
    on meanwhile, and their outcomes wait.
    """
    prefix, schema = _place()
    op.create_table(
        f"{prefix}history_count",
        sa.Column("id", BIG_ID, sa.Identity(), nullable=False),
        sa.Column("bot_id", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{prefix}history_count_pkey")),
        schema=schema,
    )
    op.create_index(
        f"{prefix}history_count_bot", f"{prefix}history_count", ["bot_id", "outcome"], schema=schema
    )
    op.add_column(
        f"{prefix}bot", sa.Column("waits", sa.BigInteger, nullable=False, server_default=sa.text("0")), schema=schema
    )
    op.create_index(
        f"{prefix}broadcast_under_way",
        f"{prefix}broadcast",
        ["id"],
        schema=schema,
        postgresql_where=UNDER_WAY,
        sqlite_where=UNDER_WAY,
    )
    for statement in LITE_TRIGGERS if schema is None else (COUNTS, CHANGES, *TRIGGERS, WAITS, WAITS_TRIGGER):
        op.execute(statement)
    where = "dovecote." if schema else "dovecote_"
    op.execute(
        f"INSERT INTO {where}history_count (bot_id, outcome, count)"  # noqa: S608 (one of two names, of ours)
        f" SELECT bot_id, outcome, count(*) FROM {where}history GROUP BY bot_id, outcome"
    )


def downgrade() -> None:
    """Take them back."""
    prefix, schema = _place()
    for name in ("count_added", "count_removed", "count_changed"):
        op.execute(f"DROP TRIGGER {name} ON dovecote.history" if schema else f"DROP TRIGGER dovecote_{name}")
    op.execute("DROP TRIGGER count_waits ON dovecote.bot" if schema else "DROP TRIGGER dovecote_count_waits")
    for name in ("count_history", "recount_history", "count_waits") if schema else ():
        op.execute(f"DROP FUNCTION dovecote.{name}()")
    op.drop_index(f"{prefix}broadcast_under_way", f"{prefix}broadcast", schema=schema)
    op.drop_column(f"{prefix}bot", "waits", schema=schema)
    op.drop_table(f"{prefix}history_count", schema=schema)
