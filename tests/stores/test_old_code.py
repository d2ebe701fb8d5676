"""What old code asks of the outbox is still there after every migration: it goes on while instances are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from dovecote.stores.database import MIGRATIONS, Database, outbox_url

if TYPE_CHECKING:
    from pathlib import Path

Schema = dict[str, dict[str, tuple[str, bool]]]


def schema(connection: Connection) -> Schema:
    """Each table's columns: name to the type as text, and whether a row may leave it out."""
    found = inspect(connection)
    return {
        table: {
            column["name"]: (str(column["type"]), column["nullable"] or column["default"] is not None)
            for column in found.get_columns(table)
        }
        for table in found.get_table_names()
    }


def broken_by(before: Schema, after: Schema) -> list[str]:
    """What a statement that was written for `before` would miss, or not know to fill in."""
    faults = []
    for table, columns in before.items():
        there = after.get(table, {})
        faults += [f"{table}.{name} is gone" for name in columns if name not in there]
        faults += [
            f"{table}.{name} has another type"
            for name in columns
            if there.get(name, columns[name])[0] != columns[name][0]
        ]
        faults += [
            f"{table}.{name} must be filled in"
            for name, (_, may_be_left_out) in there.items()
            if not may_be_left_out and (name not in columns or columns[name][1])
        ]
    return faults


async def test_no_migration_takes_away_what_the_one_before_had(tmp_path: Path) -> None:
    database = Database(outbox_url(f"sqlite:///{tmp_path}/x.db"))
    revisions = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
    faults: dict[str, list[str]] = {}
    before: Schema = {}
    for revision in revisions:
        await database.migrate(revision)
        after = await database.run(schema)
        if broken := broken_by(before, after):
            faults[revision] = broken
        before = after
    await database.close()

    assert faults == {}
    assert "dovecote_notification" in before


def test_it_would_be_found() -> None:
    before: Schema = {"a": {"x": ("TEXT", True), "y": ("TEXT", True)}, "b": {"z": ("TEXT", True)}}

    after: Schema = {"a": {"x": ("INTEGER", True), "new": ("TEXT", False), "free": ("TEXT", True)}}

    assert broken_by(before, after) == [
        "a.y is gone",
        "a.x has another type",
        "a.new must be filled in",
        "b.z is gone",
    ]
