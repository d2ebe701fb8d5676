"""Where recipients come from: what is good is kept, what is bad is named with its line, and nothing is read whole."""

from __future__ import annotations

import tracemalloc
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from migrated import migrate
from sqlalchemy import text

from dovecote.broadcasts.sources import BATCH, addressee, batches
from dovecote.errors import InvalidBroadcast
from dovecote.model import Addressee
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.queries import rows_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from dovecote.model import BadLine


async def read(source: object) -> tuple[list[Addressee], list[BadLine]]:
    recipients: list[Addressee] = []
    bad: list[BadLine] = []
    async for batch in batches(source, addressee):
        recipients += batch.recipients
        bad += batch.bad
    return recipients, bad


async def test_a_list_holds_chats_mappings_and_addressees() -> None:
    recipients, bad = await read([42, "@News", {"chat_id": "7", "name": "Ana"}, Addressee(8, "pt_BR"), "x", True])

    assert recipients == [
        Addressee("42"),
        Addressee("@news"),
        Addressee("7", None, {"name": "Ana"}),
        Addressee("8", "pt-BR"),
    ]
    assert [(line.line, line.problem.partition(":")[0]) for line in bad] == [(5, "chat_id"), (6, "chat_id")]


async def test_an_asynchronous_iterable_is_read_in_batches() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(1, 2 * BATCH + 2):
            yield number

    sizes = [len(batch.recipients) async for batch in batches(numbers(), addressee)]

    assert sizes == [BATCH, BATCH, 1]


async def test_a_csv_file_with_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    lines = [
        "\ufeffname,chat_id,locale".encode(),
        b'"Rui, Ana",1,pt-BR',
        b"too,2,pt,many",
        b"",
        b'"two\nlines",3,',
        b"\xff\xfe,4,",
        b"x,nobody,",
        b"x,5,not a locale",
        "Jürgen,6,de".encode(),
    ]
    path.write_bytes(b"\n".join(lines))

    recipients, bad = await read(path)

    assert recipients == [
        Addressee("1", "pt-BR", {"name": "Rui, Ana"}),
        Addressee("3", None, {"name": "two\nlines"}),
        Addressee("6", "de", {"name": "Jürgen"}),
    ]
    assert [line.line for line in bad] == [3, 7, 8, 9]
    assert bad[0].problem == "it has 4 columns, and the header names 3"
    assert bad[1].problem == "it is not UTF-8"


async def test_a_line_of_a_csv_file_without_end_is_bad_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("chat_id,name\n1,Ana\n2," + "x" * 1_000_000 + "\n3,Rui\nnobody,Eva\n4," + "x" * 70_000)

    recipients, bad = await read(path)

    assert [recipient.chat_id for recipient in recipients] == ["1", "3"]
    assert [line.line for line in bad] == [3, 5, 6]
    assert bad[0].problem == bad[2].problem == "it is no line of a CSV file: it is longer than 65536 characters"


async def test_a_json_lines_file_with_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        '{"chat_id": 1, "locale": "pt", "cart": ["tea", "milk"]}\n2\n\n{"chat_id": 3\n"'
        + "x" * 70_000
        + '"\n{"a": 1}\n4'
    )

    recipients, bad = await read(path)

    assert recipients == [Addressee("1", "pt", {"cart": ["tea", "milk"]}), Addressee("2"), Addressee("4")]
    assert [line.line for line in bad] == [4, 5, 6]
    assert bad[1].problem == "it is longer than 65536 bytes"
    assert "chat_id" in bad[2].problem


async def test_a_quotation_mark_that_is_never_closed_is_a_bad_line_and_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('chat_id,name\n1,"a\nb"\n2,"Ana\n3,Rui\n4,Eva\n')

    recipients, bad = await read(path)

    assert recipients == [Addressee("1", None, {"name": "a\nb"})]
    assert [line.line for line in bad] == [4]


async def test_two_columns_of_one_name_are_refused_before_the_wrong_chat_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("chat_id,name,chat_id,,\n1,Ana,2,,\n")

    with pytest.raises(InvalidBroadcast, match="has several columns chat_id: give each a name of its own"):
        await read(path)


async def test_a_json_lines_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("1\n2\n", encoding="utf-8-sig")

    assert await read(path) == ([Addressee("1"), Addressee("2")], [])


async def test_a_query_may_answer_chats_as_decimals() -> None:
    recipients, bad = await read([Decimal(42), Decimal("4.5"), Decimal("NaN"), Decimal("1E+1000000")])

    assert recipients == [Addressee("42")]
    assert [line.line for line in bad] == [2, 3, 4]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [("x.csv", "chat,name\n1,x\n", "has no column chat_id"), ("x.txt", "1", "neither a .csv"), ("y.csv", None, "read")],
)
async def test_what_is_no_source_is_refused(tmp_path: Path, name: str, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)

    with pytest.raises(InvalidBroadcast, match=why):
        await read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"chat_id,\xff\n1,2\n", "is not UTF-8"), (b"x" * 140_000, "has no first line"), (b"x" * 60_000, "no column")],
)
async def test_a_first_line_that_is_none_is_refused_in_words_that_can_be_shown(
    tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "x.csv").write_bytes(content)

    with pytest.raises(InvalidBroadcast, match=why) as refused:
        await read(tmp_path / "x.csv")

    assert len(str(refused.value).encode()) < 1000


@pytest.mark.parametrize("source", ["42", 42, {"chat_id": 1}])
async def test_a_chat_alone_is_no_source(source: object) -> None:
    with pytest.raises(InvalidBroadcast, match="is no source"):
        await read(source)


async def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with path.open("w") as file:
        file.write("chat_id,name\n")
        file.writelines(f"{number},{'n' * 500}\n" for number in range(1, 40_001))
    count = 0

    tracemalloc.start()
    async for batch in batches(path, addressee):
        count += len(batch.recipients)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 40_000
    assert path.stat().st_size > 20_000_000
    assert peak < 8_000_000


def test_variables_are_what_json_has() -> None:
    made = addressee({"chat_id": 1, "sum": Decimal("2.50"), "count": Decimal(3), "day": date(2026, 1, 31)})
    assert made.variables == {"sum": 2.5, "count": 3, "day": "2026-01-31"}
    for wrong in (object(), "\0", "x" * 9000):
        with pytest.raises(InvalidBroadcast, match="variables"):
            addressee({"chat_id": 1, "x": wrong})


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_query_is_read_in_pages_by_its_key(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind.removesuffix('ql')}_url" if kind == "postgresql" else "sqlite_url")
    migrate(url)
    database = Database(outbox_url(url))

    def fill(connection: object) -> None:
        execute = connection.execute  # type: ignore[attr-defined] # a Connection of SQLAlchemy's
        execute(text("CREATE TABLE customer (id integer PRIMARY KEY, first_name text, visits integer)"))
        for number in range(1, 26):
            execute(text("INSERT INTO customer VALUES (:id, 'C:x', 3)"), {"id": number})

    await database.run(fill, write=True)
    query = "SELECT id AS chat_id, first_name AS name FROM customer WHERE first_name = 'C:x' ;"

    rows = [row async for row in rows_of(database, query, key="chat_id", page=10)]

    assert [row["chat_id"] for row in rows] == list(range(1, 26))
    assert rows[0] == {"chat_id": 1, "name": "C:x"}
    with pytest.raises(InvalidBroadcast, match="no name of a column"):
        [row async for row in rows_of(database, query, key="id; DROP TABLE customer")]
    commented = "SELECT id AS chat_id, id / 4 AS quarter, 1 AS one FROM customer -- all of them"
    assert len([row async for row in rows_of(database, commented, key="chat_id", page=10)]) == 25
    for key in ("quarter", "one"):
        with pytest.raises(InvalidBroadcast, match="name a column that is unique"):
            [row async for row in rows_of(database, commented, key=key, page=4)]
    twice = "SELECT id / 2 AS chat_id FROM customer"
    assert {row["chat_id"] async for row in rows_of(database, twice, key="chat_id", page=3)} == set(range(13))
    for wrong in ("SELECT id AS chat_id FROM custmer", "SELCT 1", "SELECT nme AS chat_id FROM customer"):
        with pytest.raises(InvalidBroadcast, match="query: the database does not take it: "):
            [row async for row in rows_of(database, wrong, key="chat_id")]
    # PostgreSQL refuses a name that is no column, which SQLite takes for a text.
    with pytest.raises(InvalidBroadcast, match=r'answers no "id", only chat_id|column "id" does not exist'):
        [row async for row in rows_of(database, "SELECT id AS chat_id FROM customer", key="id")]
    with pytest.raises(InvalidBroadcast, match="query: it answers no chat_id, only id, first_name: "):
        [row async for row in rows_of(database, "SELECT id, first_name FROM customer", key="id")]
    await database.close()
