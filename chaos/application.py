"""The application of a campaign: a process that enqueues in transactions of its own and writes down what it committed.

    python -m chaos.application JSON

Its one argument has `url` (the database, through the campaign's proxy), `log` (the file), `seed`, `run` (how often it
was started before), `per_second`, `start` (the file that says when it ceases to enqueue), `settings` (of Dovecote) and
`recipients` (of its one broadcast).

The log has a line before each transaction and one behind it; a transaction whose end is not written there is in doubt.
A row in `chaos_batch`, written in the same transaction, tells afterwards whether it was committed. All of one chat's is
written one transaction after another, so that its order is that of the commits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from chaos import start
from chaos.connections import Commit, connection_of
from chaos.log import Log
from dovecote import Attachment, DeliveryPolicy, Dovecote, Notification, Priority
from dovecote.broadcast import Broadcast, BroadcastState
from dovecote.config import Settings
from dovecote.errors import DovecoteError

if TYPE_CHECKING:
    from chaos.connections import ApplicationConnection

logger = logging.getLogger("application")

SEQUENCES = range(1, 9)
PLAIN = range(1000, 1300)
GROUPS = range(-105, -100)
BLOCKED = range(9000, 9003)
BROADCAST = range(20_000, 30_000)
NAME, TEXT = "everybody", "to everybody"
ANSWER_SECONDS = 4.0
PAUSE = 0.3
FILES = 3
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)
"""Not one that Telegram would take for a photo: it is sent as a document."""


class Application:
    """Enqueues until it is told to stop."""

    def __init__(self, given: dict[str, Any], log: Log) -> None:
        self._given = given
        self._log = log
        self._random = Random(f"{given['seed']} application {given['run']}")  # noqa: S311 - no secrets
        self._dovecote = Dovecote(given["url"], settings=Settings.model_validate(given["settings"]))
        self._batch = given["run"] * 1_000_000
        self._known: list[tuple[int, str, str, int]] = []
        self._files: list[int] = []
        self._connection: ApplicationConnection | None = None
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Make the files and the broadcast, then transaction after transaction."""
        self._log.write("run", run=self._given["run"])
        times = await start.given(Path(self._given["start"]), self.stopping)
        made = asyncio.create_task(self._make_files_and_broadcast())
        try:
            while times is not None and not self.stopping.is_set() and time.time() < times["ends"]:
                written = await self._transaction()
                await self._rest(self._random.expovariate(self._given["per_second"] / max(written, 1)))
            await self.stopping.wait()
        finally:
            made.cancel()
            await asyncio.gather(made, return_exceptions=True)
            await self._drop_connection()
            await self._dovecote.close()

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), min(seconds, 3.0))

    # A transaction.

    async def _transaction(self) -> int:
        """One transaction, whatever becomes of it; answers how many notifications it was about."""
        random = self._random
        self._batch += 1
        batch, items, notifications = self._batch, [], []
        for number in range(random.choice([1, 1, 1, 2, 3, 6])):
            item, notification = self._notification(batch, number)
            items.append(item)
            notifications.append(notification)
        rolls_back = random.random() < 0.05  # noqa: PLR2004 - one in twenty
        self._log.write("begin", batch=batch, items=items)
        commit = Commit.NOT_ASKED
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = await self._connected()
                await connection.begin()
                ids = await self._dovecote.enqueue(connection.raw, notifications)
                await connection.note(batch)
                if rolls_back:
                    await connection.roll_back()
                    self._log.write("rolled_back", batch=batch)
                    return 1
                commit = Commit.ASKED
                await connection.commit()
        except Exception as error:  # noqa: BLE001 (whatever a broken database makes of it)
            if commit is Commit.NOT_ASKED:
                self._log.write("rolled_back", batch=batch, error=repr(error))
            else:
                self._log.write("in_doubt", batch=batch, error=repr(error))
            await self._drop_connection()
            await self._rest(PAUSE)
            return 1
        self._log.write("committed", batch=batch, ids=ids)
        self._known += [
            (id_, one["text"], one["key"], one["chat"])
            for id_, one in zip(ids, items, strict=True)
            if one["key"] and not one["repeats"]
        ]
        return len(items)

    def _notification(self, batch: int, number: int) -> tuple[dict[str, Any], Notification]:
        """A notification of some kind, and what the log says of it."""
        random = self._random
        kind = random.choices(
            ["plain", "sequence", "group", "blocked", "repeat", "file"], weights=[8, 8, 1, 0.3, 1, 2]
        )[0]
        item: dict[str, Any] = {
            "text": f"n {batch} {number}",
            "chat": random.choice(PLAIN),
            "key": f"k-{batch}-{number}" if random.random() < 0.5 else None,  # noqa: PLR2004 - half of them
            "priority": int(Priority.NORMAL),
            "once": random.random() < 0.2,  # noqa: PLR2004 - one in five
            "due_at": None,
            "expires_at": None,
            "repeats": None,
            "kind": kind,
        }
        options: dict[str, Any] = {}
        match kind:
            case "sequence":
                item["chat"] = random.choice(SEQUENCES)
                item["priority"] = random.choice([0, 1, 1, 1, 2])
                if random.random() < 0.15:  # noqa: PLR2004
                    item["due_at"] = round(time.time() + random.uniform(1, 4), 3)
            case "group":
                item["chat"] = random.choice(GROUPS)
            case "blocked":
                item["chat"] = random.choice(BLOCKED)
            case "repeat" if self._known:
                id_, _, item["key"], item["chat"] = random.choice(self._known)
                item["repeats"] = id_
            case "file" if self._files:
                options = {"method": "sendDocument", "params": {"document": Attachment(random.choice(self._files))}}
        if kind in {"plain", "sequence"} and random.random() < 0.15:  # noqa: PLR2004
            item["expires_at"] = round((item["due_at"] or time.time()) + random.uniform(0.5, 4), 3)
        if options:
            options["params"]["caption"] = item["text"]
        else:
            options = {"text": item["text"]}
        return item, Notification(
            bot="shop",
            chat_id=item["chat"],
            key=item["key"],
            priority=Priority(item["priority"]),
            delivery=DeliveryPolicy.AT_MOST_ONCE if item["once"] else DeliveryPolicy.AT_LEAST_ONCE,
            due_at=_instant(item["due_at"]),
            expires_at=_instant(item["expires_at"]),
            **options,
        )

    async def _connected(self) -> ApplicationConnection:
        if self._connection is None:
            self._connection = await connection_of(self._given["url"], pooled=self._given["pooled"])
        return self._connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                async with asyncio.timeout(1):
                    await connection.close()

    # What is made once.

    async def _make_files_and_broadcast(self) -> None:
        for number in range(FILES):
            self._files.append(await _in_the_end(lambda number=number: self._put(number)))
        if self._given["recipients"]:
            chats = list(BROADCAST[: self._given["recipients"]])
            await _in_the_end(lambda: self._create(chats))
            # Written before it starts: whether it did is in the database.
            self._log.write("broadcast", name=NAME, text=TEXT, chats=chats)
            await _in_the_end(self._start)

    async def _put(self, number: int) -> int:
        file = await self._dovecote.files.put(PICTURE + bytes([number]), name=f"file{number}.bin", keep=True)
        return file.id

    async def _create(self, chats: list[int]) -> None:
        """Make the broadcast, or go on where a killed application was."""
        known = {record.broadcast.name: record for record in await self._dovecote.broadcasts.list()}
        if NAME not in known:
            await self._dovecote.broadcasts.create(Broadcast(name=NAME, bot="shop", text=TEXT))
        elif known[NAME].state is not BroadcastState.DRAFT:
            return
        await self._dovecote.broadcasts.add_recipients(NAME, chats)

    async def _start(self) -> None:
        record = await self._dovecote.broadcasts.get(NAME)
        if record.state is BroadcastState.DRAFT:
            await self._dovecote.broadcasts.start(NAME)


async def _in_the_end(call: Any) -> Any:
    """Call until it succeeds: databases and stores come back."""
    while True:
        try:
            return await call()
        except (DovecoteError, OSError) as error:
            logger.warning("tried again: %r", error)
            await asyncio.sleep(PAUSE)


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=round(seconds * 1000))


async def main() -> None:
    """Run until SIGTERM, or until its time is over."""
    given = json.loads(sys.argv[1])
    application = Application(given, Log(Path(given["log"])))
    sys.stdout.write("enqueuing\n")
    sys.stdout.flush()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, application.stopping.set)
    await application.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
