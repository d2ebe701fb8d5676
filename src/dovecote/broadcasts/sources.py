"""Where recipients come from: lists, CSV and JSON-lines files, queries. Each is read in batches of a bounded size.

A recipient is a chat, perhaps a locale, and variables for the template. In a file and in a query that is a column or
member `chat_id`, one `locale` where there is one, and everything else is a variable of that name.
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import math
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TextIO, TypeVar

import orjson

from dovecote.broadcasts.content import checked_locale
from dovecote.content import shown
from dovecote.errors import InvalidBroadcast, InvalidNotification, InvalidRecipient
from dovecote.model import Addressee, BadLine
from dovecote.validation import prepared_chat

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

    Lines = Generator[tuple[int, object], None, None]

T = TypeVar("T")

BATCH: Final = 1000
LARGEST_VARIABLES: Final = 8 * 1024
"""Bytes of JSON for one recipient."""
LONGEST_LINE: Final = 64 * 1024
_LINE_ENDS: Final = ("\n", "\r")
LONGEST_SHOWN: Final = 200
"""Characters of a header that an error repeats."""
CHAT: Final = "chat_id"
LOCALE: Final = "locale"


@dataclass(slots=True)
class Batch(Generic[T]):
    """Recipients that are valid, as `make` makes them, and the lines that are none."""

    make: Callable[[object], T]
    recipients: list[T] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)

    def take(self, line: int, value: object) -> None:
        """Add what stands in a line, to the one or to the other."""
        try:
            self.recipients.append(self.make(value))
        except (InvalidBroadcast, InvalidNotification, InvalidRecipient) as error:
            self.bad.append(BadLine(line, str(error)))


def addressee(value: object) -> Addressee:
    """A recipient from an `Addressee`, a mapping, or a chat alone. Raises InvalidBroadcast, InvalidNotification."""
    if isinstance(value, Mapping):
        members = {str(name): inner for name, inner in value.items()}
        if CHAT not in members:
            raise InvalidBroadcast(CHAT, f"{shown(value)} has none: every recipient needs a {CHAT}.")
        value = Addressee(members.pop(CHAT), members.pop(LOCALE, None) or None, members)
    if not isinstance(value, Addressee):
        value = Addressee(value)  # type: ignore[arg-type] # what is no chat is refused in the next line
    chat_id: object = value.chat_id
    if isinstance(chat_id, Decimal) and math.isfinite(chat_id):
        # A column of type numeric. What is too large or has a fraction is refused as any other number is.
        chat_id = _as_json(chat_id)
    chat = prepared_chat(chat_id.strip() if isinstance(chat_id, str) else chat_id)
    locale = None if value.locale is None else checked_locale(value.locale)
    return Addressee(chat, locale, _variables(value.variables))


def _variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    try:
        written = orjson.dumps(dict(variables), default=_as_json)
    except (TypeError, ValueError) as error:
        raise InvalidBroadcast("variables", f"{shown(variables)} cannot be written as JSON: {error}.") from None
    if len(written) > LARGEST_VARIABLES:
        raise InvalidBroadcast(
            "variables", f"they are {len(written)} bytes of JSON, and one recipient has at most {LARGEST_VARIABLES}."
        )
    if b"\\u0000" in written:
        raise InvalidBroadcast("variables", "they hold the character NUL, which no database can: remove it.")
    plain: dict[str, Any] = orjson.loads(written)
    return plain


def _as_json(value: object) -> Any:
    """What a query answers and JSON does not know."""
    if isinstance(value, Decimal) and math.isfinite(value):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


async def batches(source: object, make: Callable[[object], T]) -> AsyncGenerator[Batch[T]]:
    """The batches of a source: an iterable, asynchronous or not, of what `make` takes, or the path of a file.

    A file's name ends with `.csv`, `.jsonl` or `.ndjson`. Raises InvalidBroadcast for what is no source.
    """
    if isinstance(source, Path):
        async for batch in _file(source, make):
            yield batch
    elif isinstance(source, AsyncIterable):
        batch, number = Batch(make), 0
        async for value in source:
            number += 1
            batch.take(number, value)
            if number % BATCH == 0:
                yield batch
                batch = Batch(make)
        yield batch
    elif isinstance(source, Iterable) and not isinstance(source, (str, bytes, Mapping)):
        numbered = enumerate(source, 1)
        while some := list(islice(numbered, BATCH)):
            batch = Batch(make)
            for number, value in some:
                batch.take(number, value)
            yield batch
    else:
        raise InvalidBroadcast("recipients", f"{shown(source)} is no source: give a list, or the Path of a file.")


async def _file(path: Path, make: Callable[[object], T]) -> AsyncGenerator[Batch[T]]:
    """A file, read in a thread a batch at a time."""
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InvalidBroadcast("recipients", f'"{path}" is neither a .csv nor a .jsonl file: name it so.')
    lines = reader(path)
    try:
        while (batch := await asyncio.to_thread(_taken, lines, make)) is not None:
            yield batch
    except OSError as error:
        raise InvalidBroadcast("recipients", f'"{path}" cannot be read: {error.strerror or error}.') from None
    finally:
        lines.close()


def _taken(lines: Lines, make: Callable[[object], T]) -> Batch[T] | None:
    batch = Batch(make)
    empty = True
    for number, value in islice(lines, BATCH):
        empty = False
        if isinstance(value, BadLine):
            batch.bad.append(value)
        else:
            batch.take(number, value)
    return None if empty else batch


def _csv(path: Path) -> Lines:
    """The rows of a CSV file as mappings, by its header. A row of another length is bad."""
    with path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        # Strict, or a quotation mark that is never closed would take all recipients after it for a text.
        lines = _CsvLines(file)
        rows = csv.reader(lines, strict=True)
        header = _header(path, rows)
        while True:
            begun = lines.number + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                yield begun, BadLine(begun, f"it is no line of a CSV file: {error}")
                continue
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(header):
                problem = f"it has {len(row)} columns, and the header names {len(header)}"
                yield lines.number, BadLine(lines.number, problem)
            elif not all(map(_is_text, row)):
                yield lines.number, BadLine(lines.number, "it is not UTF-8")
            else:
                yield lines.number, dict(zip(header, row, strict=True))


class _CsvLines:
    """The lines of a file for the csv module, counted, and none longer than LONGEST_LINE: that is a csv.Error."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == LONGEST_LINE and not line.endswith(_LINE_ENDS):
            while (rest := self._file.readline(LONGEST_LINE)) and not rest.endswith(_LINE_ENDS):
                continue
            raise csv.Error(f"it is longer than {LONGEST_LINE} characters")
        return line


def _header(path: Path, rows: Iterator[list[str]]) -> list[str]:
    """The names of the columns. Raises InvalidBroadcast."""
    try:
        header = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise InvalidBroadcast("recipients", f'"{path}" has no first line of a CSV file: {error}.') from None
    if not all(map(_is_text, header)):
        raise InvalidBroadcast("recipients", f'the first line of "{path}" is not UTF-8: save it as UTF-8.')
    if CHAT not in header:
        names = ", ".join(header)[:LONGEST_SHOWN] or "nothing"
        raise InvalidBroadcast("recipients", f'"{path}" has no column {CHAT}: its first line names {names}.')
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        problem = f'"{path}" has several columns {", ".join(twice)[:LONGEST_SHOWN]}: give each a name of its own.'
        raise InvalidBroadcast("recipients", problem)
    return header


def _json_lines(path: Path) -> Lines:
    """The lines of a JSON-lines file: an object with a `chat_id`, or a chat alone."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)  # as a CSV file may begin
            if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
                while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    continue
                yield number, BadLine(number, f"it is longer than {LONGEST_LINE} bytes")
                continue
            if not line.strip():
                continue
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield number, BadLine(number, f"it is no JSON: {error}")


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text)
