"""The witnesses' files: reading them, and writing down every table of a database by plain SQL."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SCHEMA = "dovecote"
PREFIX = "dovecote_"
OWN = ("chaos_batch",)
"""The application's own tables, outside of that schema."""
INSTANTS = {"until", "upload_until", "halted_until", "paid_until", "coalesced_from"}
"""Columns that are instants although their name does not end with `_at`."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the witnesses say. Instants are seconds since the epoch, by the clock of the one machine."""

    setting: Mapping[str, Any]
    campaign: Sequence[Row]
    application: Sequence[Row]
    requests: Sequence[Row]
    tables: Mapping[str, Sequence[Row]]


def read_evidence(folder: Path) -> Evidence:
    """Read the files that a campaign has left in its folder."""
    return Evidence(
        setting=json.loads((folder / "setting.json").read_text()),
        campaign=list(_lines(folder / "campaign.jsonl")),
        application=list(_lines(folder / "application.jsonl")),
        requests=list(_lines(folder / "requests.jsonl")),
        tables=json.loads((folder / "tables.json").read_text()),
    )


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write the same files."""
    (folder / "setting.json").write_text(json.dumps(evidence.setting))
    for name in ("campaign", "application", "requests"):
        with (folder / f"{name}.jsonl").open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in getattr(evidence, name))
    (folder / "tables.json").write_text(json.dumps(evidence.tables))


def write_tables(url: str, path: Path) -> None:
    """Write every row of every table of the database, without the prefix of its name."""
    tables = _postgresql(url) if url.startswith("postgresql") else _sqlite(url.removeprefix("sqlite:///"))
    path.write_text(json.dumps({name: [_plain(row) for row in rows] for name, rows in tables.items()}))


def _lines(path: Path) -> Iterator[Row]:
    """The objects of a file; the last line may have been cut off with its writer."""
    lines = [line for line in path.read_text().splitlines() if line]
    for number, line in enumerate(lines):
        try:
            yield json.loads(line)
        except ValueError:
            if number < len(lines) - 1 and not _is_cut(line):
                raise


def _is_cut(line: str) -> bool:
    """Whether it is half a line, after which another process has begun a new one."""
    return line.startswith("{") and not line.endswith("}")


def _postgresql(url: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    with psycopg.connect(url, row_factory=dict_row, connect_timeout=10) as connection:
        names = connection.execute(
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s", [SCHEMA]
        ).fetchall()
        for name in sorted(row["name"] for row in names):
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(SCHEMA, name))
            found[name] = connection.execute(query).fetchall()
        for name in OWN:
            found[name] = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))).fetchall()
    return found


def _sqlite(path: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in sorted(names):
            if name.startswith(PREFIX) or name in OWN:
                rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608 (a name of its own)
                found[name.removeprefix(PREFIX)] = [dict(row) for row in rows]
    return found


def _plain(row: Mapping[str, Any]) -> Row:
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool) and (name.endswith("_at") or name in INSTANTS):
        return value / 1e6
    if isinstance(value, str) and name in {"params", "message_ids", "labels"} and value[:1] in {"{", "["}:
        return json.loads(value)
    return value
