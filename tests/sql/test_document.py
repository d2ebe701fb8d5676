"""docs/sql.md: each block of SQL runs, in their order in one session, and answers what stands below it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from outboxes import START, Outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "sql.md"
BLOCK = re.compile(r"^```sql\n(?P<sql>.*?)^```\n(?:```text\n(?P<answer>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
NUMBERS = {20, 21, 23}
"""The types that psql writes on the right: bigint, smallint, integer."""


async def test_the_document(application: psycopg.Connection, outbox: Outbox) -> None:
    table = outbox.database.tables.files.file
    rows = [
        {
            "id": id_,
            "sha256": f"{id_:064x}",
            "size": 1000,
            "content_type": kind,
            "created_at": START,
            "needed_at": START,
        }
        for id_, kind in ((17, "application/pdf"), (18, "image/png"))
    ]
    statement = table.insert().values(kept=False)
    await outbox.database.run(lambda connection: connection.execute(statement, rows), write=True)
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    try:
        for block in blocks:
            line = text.count("\n", 0, block.start()) + 1
            answer = answered(application, block["sql"])
            if block["answer"] is not None or answer.startswith("ERROR"):
                assert answer == block["answer"], f"docs/sql.md:{line}"
    finally:
        application.execute("RESET ROLE; DROP OWNED BY shop_app; DROP ROLE shop_app")

    assert len(blocks) == text.count("```sql") > 10
    assert len(await outbox.rows("notification")) == 9


def answered(connection: psycopg.Connection, statements: str) -> str:
    """What psql prints of the last of the statements."""
    try:
        cursor = connection.execute(statements)
    except psycopg.Error as error:
        told = error.diag
        hint = "" if told.message_hint is None else f"HINT:  {told.message_hint}\n"
        return f"{told.severity}:  {told.message_primary}\n{hint}"
    while cursor.nextset():
        continue
    return "" if cursor.description is None else table_of(cursor.description, cursor.fetchall())


def table_of(columns: Sequence[psycopg.Column], rows: Sequence[Sequence[object]]) -> str:
    """Rows as psql aligns them."""
    cells = [[{True: "t", False: "f"}[cell] if isinstance(cell, bool) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, (column.name, *found))) for column, *found in zip(columns, *cells, strict=True)]
    lines = [
        "|".join(f" {column.name:^{width}} " for column, width in zip(columns, widths, strict=True)),
        "+".join("-" * (width + 2) for width in widths),
        *(
            "|".join(
                f" {cell:>{width}}" if column.type_code in NUMBERS else f" {cell:<{width}}".rstrip()
                for cell, column, width in zip(row, columns, widths, strict=True)
            )
            for row in cells
        ),
        f"({len(rows)} row{'s' if len(rows) != 1 else ''})",
    ]
    return "".join(f"{line}\n" for line in lines)
