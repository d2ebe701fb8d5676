"""Whatever the Bot API's end of the connection says, over real HTTP: the worker goes on, and no row is stuck.

Each example is a bot of its own with a few notifications. The first request of each is answered with what Hypothesis
draws, later ones as delivered. After that every notification has ended, or waits for what the answer itself asked for:
a bot that is stopped or halted, or a chat that waits.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from answering import QUICK
from deliveries import Delivery, until
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from migrated import migrate
from scripted_socket import Connection, ScriptedServer

from dovecote.model import DeliveryPolicy, Notification

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES = float(os.environ.get("DOVECOTE_TEST_EXAMPLES", "1"))
"""How many times as many examples: `make chaos` says more."""
HUGE = b"x" * (2 * 1024 * 1024)

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["ok", "result", "error_code", "description", "parameters", "message_id", "retry_after"])
DESCRIPTIONS = st.sampled_from(
    [
        "Not Found",
        "Bad Request: chat not found",
        "Forbidden: bot was blocked by the user",
        "Unauthorized",
        "\0",
        "\ud800",
    ]
)
TELEGRAM = st.fixed_dictionaries(
    {"ok": st.booleans() | VALUES},
    optional={
        "result": st.fixed_dictionaries({"message_id": VALUES}) | VALUES,
        "error_code": st.sampled_from([400, 401, 403, 404, 409, 429, 500]) | VALUES,
        "description": DESCRIPTIONS | VALUES,
        "parameters": st.fixed_dictionaries(
            {}, optional={"retry_after": st.integers() | VALUES, "migrate_to_chat_id": st.integers() | VALUES}
        )
        | VALUES,
    },
)
LONG_HEADER = "X: " + "y" * 100_000 + "\r\n"
BODIES = (
    (TELEGRAM | st.dictionaries(NAMES, VALUES) | VALUES).map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.sampled_from([b"", HUGE, b"[" * 100_000, b'{"ok":true', b"\xef\xbb\xbf{}", b"<html>502</html>"])
)
LENGTHS = st.sampled_from(["right", "right", "right", "none", "more", "less", "-1", "99999999999999999999", "x"])
STATUSES = st.sampled_from([200, 200, 400, 401, 403, 404, 429, 500, 502]) | st.integers(0, 1500)
HEADERS = st.sampled_from(
    ["", "", "Retry-After: 1\r\n", "Retry-After: -5\r\n", "Content-Encoding: gzip\r\n",
     "Transfer-Encoding: chunked\r\n", "Location: http://127.0.0.1:9/\r\n", "no colon\r\n", "X: \0\r\n", LONG_HEADER]
)  # fmt: skip


def http(status: int, headers: str, length: str, body: bytes, cut: int | None) -> bytes:
    """An answer, perhaps a wrong one, perhaps cut off."""
    size = {"right": len(body), "more": len(body) + 10, "less": max(len(body) - 1, 0)}.get(length, length)
    said = "" if length == "none" else f"Content-Length: {size}\r\n"
    whole = f"HTTP/1.1 {status} Said\r\n{headers}{said}\r\n".encode("latin-1") + body
    return whole if cut is None else whole[:cut]


ANSWERS = st.builds(http, STATUSES, HEADERS, LENGTHS, BODIES, st.none() | st.none() | st.integers(0, 200)) | st.binary(
    max_size=100
)


class Doors:
    """An outbox with a worker that goes on through all examples, and the server it talks to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bots = 0
        self._answers: dict[int, bytes] = {}
        self._runner = asyncio.Runner()
        self._runner.run(self._begin())

    async def _begin(self) -> None:
        self._server = await ScriptedServer(self._serve).__aenter__()
        self.parts = Delivery(self._url, self._server.base_url, timeout=1, retry=QUICK)
        self._worker = self.parts.dovecote.worker()
        self._working = asyncio.create_task(self._worker.run())

    async def _serve(self, connection: Connection) -> None:
        """One request a connection, so that what is said too much is nobody else's answer."""
        request = await connection.request()
        if request is None:
            return
        answer = self._answers.pop(int(request.json().get("chat_id", 0)), None)
        if answer is None:
            connection.answer(headers="Connection: close\r\n")
        else:
            connection.raw(answer)
        connection.finish()

    def close(self) -> None:
        async def end() -> None:
            self._worker.stop()
            await self._working
            await self.parts.dovecote.close()
            await self._server.__aexit__()

        self._runner.run(end())
        self._runner.close()

    def send(self, answers: list[bytes]) -> None:
        """A notification for each answer, half of them at most once; returns when all have ended, or wait rightly."""
        self._runner.run(self._send(answers))

    async def _send(self, answers: list[bytes]) -> None:
        self._bots += 1
        bot, first = f"b{self._bots}", self._bots * 100
        await self.parts.bot(bot, f"{4242 + self._bots}:" + "A" * 35)
        self._answers = {first + number: answer for number, answer in enumerate(answers)}
        await self.parts.enqueue(
            *(
                Notification(bot=bot, chat_id=chat, text="x", delivery=list(DeliveryPolicy)[chat % 2])
                for chat in self._answers
            )
        )
        await until(lambda: self._is_over(bot))
        assert not self._working.done()

    async def _is_over(self, bot: str) -> bool:
        waiting = [row for row in await self.rows("notification") if row["bot"] == bot]
        if not waiting:
            return True
        (found,) = [one for one in await self.parts.dovecote.bots() if one.name == bot]
        halted = found.halted_until is not None
        return (halted or found.stopped_reason is not None) and all(row["lease_token"] is None for row in waiting)

    async def rows(self, table: str) -> list[dict[str, Any]]:
        names = {row.id: row.name for row in await self.parts.dovecote.bots()}
        columns = self.parts.dovecote.database.tables.metadata.tables[f"dovecote_{table}"].c.keys()
        rows = [dict(zip(columns, row, strict=True)) for row in await self.parts.rows(table)]
        return [{**row, "bot": names[row["bot_id"]]} for row in rows]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    url = f"sqlite:///{tmp_path_factory.mktemp('doors')}/x.db"
    migrate(url)
    made = Doors(url)
    yield made
    made.close()


@settings(
    max_examples=round(6 * TIMES), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=12))
@example(answers=[http(200, "", "right", HUGE, None), http(200, "", "none", HUGE, None)])
@example(answers=[http(429, "", "right", b'{"ok":false,"error_code":429,"parameters":{"retry_after":1e308}}', None)])
@example(answers=[http(401, "", "right", b'{"ok":false,"error_code":401,"description":"Unauthorized"}', None)])
def test_whatever_is_answered_the_worker_goes_on_and_no_row_is_stuck(doors: Doors, answers: list[bytes]) -> None:
    doors.send(answers)


def test_the_worker_that_heard_all_that_still_delivers(doors: Doors) -> None:
    doors.send([http(200, "", "right", b'{"ok":true,"result":{"message_id":7}}', None)])
