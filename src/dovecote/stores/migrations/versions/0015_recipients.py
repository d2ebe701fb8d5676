"""What is known of recipients, and the categories and quiet hours that notifications are held against."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0015"
down_revision = "0014"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
LABELS = sa.ARRAY(sa.Text).with_variant(sa.JSON(), "sqlite")
HEEDED = sa.text("disabled_at IS NOT NULL OR opted_out IS NOT NULL OR quiet_from IS NOT NULL")
FUNCTIONS = Path(__file__).parent.parent / "functions"
OWN = ("checked_category", "checked_quiet", "quiet_end")
# What a worker's own statement calls is for whoever may work on the tables.
OF_WORKERS = ("quiet_end",)
REPLACED = ("checked_notification", "write_notifications")
# Their arguments differ, so they are dropped and made again, with the rights that were given to them.
WITH_OTHER_ARGUMENTS = ("enqueue",)
FUNCTION = sa.text("""
SELECT CAST(CAST(p.oid AS regprocedure) AS text) FROM pg_proc p
WHERE p.pronamespace = CAST('dovecote' AS regnamespace) AND p.proname = ANY (CAST(:names AS text[]))
""")
GRANTED = sa.text("""
SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
FROM pg_proc p, aclexplode(p.proacl) a
WHERE p.pronamespace = CAST('dovecote' AS regnamespace) AND p.proname = ANY (CAST(:names AS text[]))
  AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
""")
OF_NOTIFICATIONS = ("category", "quiet")
OF_RECIPIENTS = (
    ("language", sa.Text),
    ("labels", LABELS),
    ("opted_out", LABELS),
    ("quiet_from", sa.SmallInteger),
    ("quiet_until", sa.SmallInteger),
    ("quiet_silent", sa.Boolean),
    ("quiet_urgent", sa.Boolean),
    ("seen_at", INSTANT),
    ("delivered_at", INSTANT),
    ("blocked_at", INSTANT),
)


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def _statements(file: str) -> list[str]:
    written = (FUNCTIONS / file).read_text(encoding="utf-8")
    return re.split(r"(?m)^(?=CREATE (?:OR REPLACE )?FUNCTION )", written)[1:]


def _named(statement: str) -> str:
    found = re.match(r"CREATE (?:OR REPLACE )?FUNCTION dovecote\.(\w+)", statement)
    return found[1] if found else ""


def _functions(names: tuple[str, ...]) -> list[str]:
    """With their arguments, as they are in the database."""
    return list(op.get_bind().execute(FUNCTION, {"names": list(names)}).scalars())


def _create(file: str, names: tuple[str, ...]) -> None:
    """Make them as a file has them, whether or not they are there, and let whoever might call them call them."""
    connection = op.get_bind()
    granted = list(connection.execute(GRANTED, {"names": list(WITH_OTHER_ARGUMENTS)}).scalars())
    for function in _functions(WITH_OTHER_ARGUMENTS):
        op.execute(f"DROP FUNCTION {function}")
    for statement in _statements(file):
        if _named(statement) in names:
            connection.exec_driver_sql(re.sub(r"^CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", statement))
    for function in _functions(names):
        # The schema is left out where it is on the search path, as for a user of its name.
        if function.partition("(")[0].rpartition(".")[2] not in {*REPLACED, *OF_WORKERS}:
            op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    for role in granted:
        for function in _functions(WITH_OTHER_ARGUMENTS):
            op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {role}")


def upgrade() -> None:
    """Add the columns, all of them empty, and the index of those whom a claim must look at."""
    prefix, schema = _place()
    for table in ("notification", "history"):
        for name in OF_NOTIFICATIONS:
            op.add_column(f"{prefix}{table}", sa.Column(name, sa.Text), schema=schema)
    op.add_column(f"{prefix}history", sa.Column("erased_at", INSTANT), schema=schema)
    for name, kind in OF_RECIPIENTS:
        op.add_column(f"{prefix}recipient", sa.Column(name, kind), schema=schema)
    op.create_index(
        f"{prefix}recipient_heeded",
        f"{prefix}recipient",
        ["bot_id", "chat"],
        schema=schema,
        postgresql_where=HEEDED,
        sqlite_where=HEEDED,
    )
    if op.get_bind().dialect.name == "postgresql":
        _create("0015_enqueue.sql", (*OWN, *REPLACED, *WITH_OTHER_ARGUMENTS))


def downgrade() -> None:
    """Take them back."""
    prefix, schema = _place()
    if op.get_bind().dialect.name == "postgresql":
        _create("0011_enqueue.sql", (*REPLACED, *WITH_OTHER_ARGUMENTS))
        for function in _functions(OWN):
            op.execute(f"DROP FUNCTION {function}")
    op.drop_index(f"{prefix}recipient_heeded", table_name=f"{prefix}recipient", schema=schema)
    for name, _ in reversed(OF_RECIPIENTS):
        op.drop_column(f"{prefix}recipient", name, schema=schema)
    op.drop_column(f"{prefix}history", "erased_at", schema=schema)
    for table in ("history", "notification"):
        for name in reversed(OF_NOTIFICATIONS):
            op.drop_column(f"{prefix}{table}", name, schema=schema)
