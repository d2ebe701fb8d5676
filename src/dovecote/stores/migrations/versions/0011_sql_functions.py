"""The functions with which whoever speaks SQL enqueues. On SQLite there are none.

Their text stands in `functions/0011_*.sql`, as frozen as this is: a migration that changes one writes it anew, in files
with its own number.
"""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

FUNCTIONS = Path(__file__).parent.parent / "functions"
FILES = ("0011_checks.sql", "0011_files.sql", "0011_enqueue.sql")
OWN = sa.text("""
SELECT CAST(CAST(oid AS regprocedure) AS text) FROM pg_proc
WHERE pronamespace = CAST('dovecote' AS regnamespace) AND proname = ANY (CAST(:names AS text[]))
""")


def _statements() -> list[str]:
    written = "\n".join((FUNCTIONS / name).read_text(encoding="utf-8") for name in FILES)
    return re.split(r"(?m)^(?=CREATE FUNCTION )", written)[1:]


def _functions() -> list[str]:
    """With their arguments, as they are in the database."""
    names = sorted(set(re.findall(r"(?m)^CREATE FUNCTION dovecote\.(\w+)", "".join(_statements()))))
    return list(op.get_bind().execute(OWN, {"names": names}).scalars())


def upgrade() -> None:
    """Create them. Whoever may call them is told by a GRANT."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for statement in _statements():
        op.get_bind().exec_driver_sql(statement)
    for function in _functions():
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")


def downgrade() -> None:
    """Drop them, and the rights to them."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for function in _functions():
        op.execute(f"DROP FUNCTION {function}")
