"""What arrived, in order: one record for every request to the Bot API, and which of them were accepted.

Accepted is what Telegram would have acted on: everything that sends, changes or removes, whether or not the client ever
saw the answer. That is what lost and doubled messages are counted by. A token is never kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from dovecote.emulator.reading import json_parameters
from dovecote.emulator.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DEFAULT_CAPACITY = 2_000_000


@dataclass(slots=True)
class Record:
    """One request. `status` is the HTTP status that was answered, None while or when there was no answer.

    `chat_id` is as the client gave it: a number or an @name. `monotonic` and `time` are in seconds, taken on arrival.
    """

    sequence: int
    bot_id: int
    method: str
    chat_id: int | str | None
    monotonic: float
    time: float
    status: int | None = None
    accepted: bool = False
    message_ids: tuple[int, ...] = ()
    description: str | None = None
    kept: bytes | Mapping[str, Any] = b""
    space: int = 0

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The call's parameters as they came; a file is an object with its name, type, size and SHA-256."""
        # A JSON body is kept as its bytes: a tenth of the memory, and most records are never looked into.
        return json_parameters(self.kept) if isinstance(self.kept, bytes) else self.kept

    def as_json(self) -> dict[str, Any]:
        """For the control API."""
        return {
            "sequence": self.sequence,
            "bot": self.bot_id,
            "method": self.method,
            "chat_id": self.chat_id,
            "message_ids": self.message_ids,
            "status": self.status,
            "accepted": self.accepted,
            "description": self.description,
            "monotonic": self.monotonic,
            "time": self.time,
            "parameters": self.parameters,
        }

    def as_row(self) -> tuple[Any, ...]:
        """For the control API's compact mode, in the order of COLUMNS."""
        return (
            self.sequence,
            self.bot_id,
            self.method,
            self.chat_id,
            self.message_ids,
            self.status,
            self.accepted,
            self.monotonic,
            self.time,
        )


COLUMNS = ("sequence", "bot", "method", "chat_id", "message_ids", "status", "accepted", "monotonic", "time")


class Journal:
    """The records. At most `capacity` are kept; the oldest go a tenth at a time, and `forget` is told of each."""

    def __init__(self, capacity: int, forget: Callable[[Record], None]) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: keep at least one record.")
        self._capacity = capacity
        self._forget = forget
        self.clear()

    def clear(self) -> None:
        """Forget everything and count from zero. Sequence numbers begin again at 1."""
        self.records: list[Record] = []
        self.accepted: list[Record] = []
        self.count = 0
        self.accepted_count = 0
        self.refused_count = 0
        self.traffic = Traffic()

    def next_sequence(self) -> int:
        """The number of the request that arrives now."""
        self.count += 1
        return self.count

    def add(self, record: Record) -> None:
        """Keep a request that has arrived."""
        self.records.append(record)
        if len(self.records) > self._capacity:
            self._shorten()

    def accept(self, record: Record) -> None:
        """Count it among the accepted."""
        record.accepted = True
        self.accepted_count += 1
        self.accepted.append(record)

    def refuse(self, record: Record, status: int, description: str | None) -> None:
        """Count it among the refused."""
        record.status = status
        record.description = description
        self.refused_count += 1
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.traffic.limited(record.bot_id, record.chat_id)

    def _shorten(self) -> None:
        gone = self.records[: self._capacity // 10 + 1]
        del self.records[: len(gone)]
        for record in gone:
            self._forget(record)
        last = gone[-1].sequence
        kept_from = next((index for index, record in enumerate(self.accepted) if record.sequence > last), None)
        del self.accepted[: len(self.accepted) if kept_from is None else kept_from]

    def page(
        self, *, accepted: bool, bot: int | None, chat: int | str | None, after: int, limit: int
    ) -> tuple[Sequence[Record], int | None]:
        """Up to `limit` records with a sequence above `after`, and the `after` of the next page if there is one."""
        found: list[Record] = []
        for record in self._since(self.accepted if accepted else self.records, after):
            if (bot is not None and record.bot_id != bot) or (chat is not None and record.chat_id != chat):
                continue
            if len(found) == limit:
                return found, found[-1].sequence
            found.append(record)
        return found, None

    @staticmethod
    def _since(records: list[Record], after: int) -> Iterator[Record]:
        low, high = 0, len(records)
        while low < high:
            middle = (low + high) // 2
            if records[middle].sequence <= after:
                low = middle + 1
            else:
                high = middle
        for index in range(low, len(records)):
            yield records[index]

    def counts(self) -> dict[str, int]:
        """Requests, accepted and refused since the last reset, and how many records are kept."""
        return {
            "requests": self.count,
            "accepted": self.accepted_count,
            "refused": self.refused_count,
            "kept": len(self.records),
        }

    def accepted_by_chat(self, bot: int | None = None) -> dict[str, int]:
        """How many kept accepted records each chat has."""
        counted = Counter(record.chat_id for record in self.accepted if bot is None or record.bot_id == bot)
        return {str(chat): number for chat, number in counted.items() if chat is not None}


def page_json(records: Sequence[Record], following: int | None, *, compact: bool) -> bytes:
    """A page for the control API."""
    if compact:
        body: dict[str, Any] = {"columns": COLUMNS, "rows": [record.as_row() for record in records]}
    else:
        body = {"records": [record.as_json() for record in records]}
    return orjson.dumps(body | {"next": following}, option=orjson.OPT_NON_STR_KEYS)
