"""Whatever a file of recipients holds: valid ones, named bad lines, or a refusal in words; never another error."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dovecote.broadcasts.sources import addressee, batches
from dovecote.errors import InvalidBroadcast

if TYPE_CHECKING:
    from dovecote.model import Addressee, BadLine

TIMES = float(os.environ.get("DOVECOTE_TEST_EXAMPLES", "1"))
CELLS = st.text(max_size=12) | st.integers().map(str) | st.sampled_from(["42", "@shop", "-100", "pt-BR", "", '"', "\0"])
HEADERS = st.lists(st.sampled_from(["chat_id", "locale", "name"]) | st.text(max_size=6), max_size=4)


def written(rows: list[list[str]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode(errors="surrogatepass")


CSV = st.builds(lambda header, rows: written([header, *rows]), HEADERS, st.lists(st.lists(CELLS, max_size=4)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["chat_id", "locale"]) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=6,
)
LINES = st.lists(VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30)).map(b"\n".join)


def read(name: str, content: bytes) -> tuple[list[Addressee], list[BadLine]] | None:
    """Recipients and bad lines; None when the file is refused as a whole."""

    async def run() -> tuple[list[Addressee], list[BadLine]] | None:
        recipients: list[Addressee] = []
        bad: list[BadLine] = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(content)  # noqa: ASYNC240 (a few bytes)
            try:
                async for batch in batches(path, addressee):
                    recipients += batch.recipients
                    bad += batch.bad
            except InvalidBroadcast as error:
                str(error).encode()
                return None
        return recipients, bad

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
@settings(max_examples=round(25 * TIMES))
@given(content=CSV | LINES | st.binary(max_size=200))
@example(content=b"chat_id,name\n1," + b"x" * 140_000)
@example(content=b"x" * 140_000)
@example(content=b"chat_id,\xff\n1,2\n")
@example(content=b'{"chat_id": 1, "a": ' + b"[" * 5000 + b"]" * 5000 + b"}")
@example(content=b'chat_id\n"')
@example(content=b"chat_id,chat_id\n1,2\n")
def test_whatever_a_file_holds(name: str, content: bytes) -> None:
    found = read(name, content)
    if found is None:
        return
    recipients, bad = found
    for one in recipients:
        assert isinstance(one.chat_id, str)
        # As the database takes them.
        assert "\\u0000" not in json.dumps({**one.variables, "chat": one.chat_id, "locale": one.locale})
        json.dumps(one.variables, ensure_ascii=False).encode()
    for line in bad:
        assert line.line >= 1
        assert line.problem
        line.problem.encode()
        assert len(line.problem) < 2000
    lines = content.replace(b"\r\n", b"\n").count(b"\n") + content.count(b"\r") + 1
    assert len(recipients) + len(bad) <= lines
