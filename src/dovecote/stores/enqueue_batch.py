"""The notifications of one enqueue call, all of them valid, as rows of JSON.

Memory is bounded beyond the caller's own list: a row is kept from its validation to its writing while all that is
kept fits into `KEPT`; past that it is made anew when it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from dovecote.errors import UnknownFile
from dovecote.model import Priority
from dovecote.stores.tables import EPOCH, MICROSECOND
from dovecote.validation import check_file, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from dovecote.model import Notification, TraceContext
    from dovecote.validation import PreparedFile, PreparedNotification

CHUNK: Final = 2000
"""One statement writes so many notifications at most."""
CHUNK_CHARACTERS: Final = 4 * 1024 * 1024
"""One statement carries so many characters and one notification more at most."""
KEPT: Final = 32 * 1024 * 1024


class Batch:
    """What one call writes; `alone` is for a call with one notification and no sequence.

    `bots` are the names that occur, `keys` has for each bot with keys the place of the first notification with each
    key, and `repeats` the place of that one for the place of every later one. `files` are the ids of all stored files
    that are sent, `trace` the span that all of it comes from. Raises InvalidNotification.
    """

    def __init__(self, notifications: Sequence[Notification], *, alone: bool = False) -> None:
        self._notifications = notifications
        self._bots: list[str] = []
        self._rows: list[str | None] = []
        self._alone = alone
        self.trace: TraceContext | None = None
        # A broadcast sends one file to all, and so it is kept once.
        self._files: dict[int, tuple[PreparedFile, ...]] = {}
        self._uses: dict[PreparedFile, int] = {}
        shared: dict[tuple[PreparedFile, ...], tuple[PreparedFile, ...]] = {}
        self.keys: dict[str, dict[str, int]] = {}
        self.repeats: dict[int, int] = {}
        names: dict[str, str] = {}
        kept = 0
        for place, notification in enumerate(notifications):
            checked = prepared(notification, index=None if alone else place)
            self._bots.append(names.setdefault(checked.bot, checked.bot))
            row = _row(checked) if kept < KEPT else None
            kept += len(row or "")
            self._rows.append(row)
            if checked.files:
                self._files[place] = shared.setdefault(checked.files, checked.files)
                for file in checked.files:
                    self._uses.setdefault(file, place)
            if checked.key is not None:
                first = self.keys.setdefault(checked.bot, {}).setdefault(checked.key, place)
                if first != place:
                    self.repeats[place] = first
        self.bots = tuple(names)
        self.files = tuple(sorted({file.file_id for file in self._uses}))

    def __len__(self) -> int:
        return len(self._bots)

    def check_files(self, stored: Mapping[int, tuple[int, str]], *, largest: int) -> None:
        """Check the files that are sent by what is stored of them: size in bytes and content type, by id.

        `largest` is the most bytes that the server takes. Raises UnknownFile, FileTooLarge, InvalidNotification.
        """
        for file, place in self._uses.items():
            if file.file_id not in stored:
                raise UnknownFile(file.file_id)
            size, content_type = stored[file.file_id]
            check_file(file, size, content_type, largest=largest, index=None if self._alone else place)

    def attachments(self, ids: Mapping[int, int]) -> str:
        """The attachments of the notifications at these places, by the id of each, as one JSON array of rows."""
        rows = [
            {"notification_id": id_, "position": position, "file_id": file.file_id, "field": file.field}
            for place, id_ in ids.items()
            for position, file in enumerate(self._files.get(place, ()))
        ]
        return orjson.dumps(rows).decode() if rows else ""

    def in_input_order(self) -> list[int]:
        """The places of all that may be written: without those that repeat an earlier one's key."""
        return [place for place in range(len(self)) if place not in self.repeats]

    def in_key_order(self, bot_ids: Mapping[str, int]) -> list[int]:
        """The same places: first those with keys, by bot and key, then those without."""
        keyed = [
            self.keys[bot][key] for bot in sorted(self.keys, key=bot_ids.__getitem__) for key in sorted(self.keys[bot])
        ]
        with_key = set(keyed)
        return keyed + [place for place in self.in_input_order() if place not in with_key]

    def keys_of(self, places: Sequence[int]) -> list[tuple[str, str]]:
        """Bot and key of each of `places`."""
        wanted = set(places)
        names = {place: (bot, key) for bot, keys in self.keys.items() for key, place in keys.items() if place in wanted}
        return [names[place] for place in places]

    def chunks(
        self, places: Sequence[int], bot_ids: Mapping[str, int], ids: Sequence[int] | None = None
    ) -> Iterator[tuple[Sequence[int], str]]:
        """The rows of `places` in chunks: the places, and the rows as one JSON array; `ids` has each place's id."""
        chunk: list[str] = []
        begun = characters = 0
        for number, place in enumerate(places):
            row = self._rows[place] or _row(prepared(self._notifications[place], index=place))
            self._rows[place] = None
            given = "" if ids is None else f'"id":{ids[place]},'
            chunk.append(f'{{{given}"bot_id":{bot_ids[self._bots[place]]},{row}')
            characters += len(row)
            if len(chunk) == CHUNK or characters >= CHUNK_CHARACTERS:
                yield places[begun : number + 1], f"[{','.join(chunk)}]"
                chunk, begun, characters = [], number + 1, 0
        if chunk:
            yield places[begun:], f"[{','.join(chunk)}]"


def microseconds(instant: datetime) -> int:
    """Since the epoch."""
    return (instant - EPOCH) // MICROSECOND


def _row(notification: PreparedNotification) -> str:
    """A row without its id, its bot and its opening brace. What is as usual is left out."""
    _, chat, method, params, key, priority, due_at, expires_at, at_most_once, labels, weight, *rest = notification
    _, category, quiet = rest
    # The chat and the method are validated to need no escapes, and the parameters are JSON already.
    row = f'"method":"{method}","params":{params}'
    if chat is not None:
        row += f',"chat":"{chat}"'
    if key is not None:
        row += f',"key":{orjson.dumps(key).decode()}'
    if priority != Priority.NORMAL:
        row += f',"priority":{priority}'
    if due_at is not None:
        row += f',"due_at":{microseconds(due_at)}'
    if expires_at is not None:
        row += f',"expires_at":{microseconds(expires_at)}'
    if at_most_once:
        row += ',"at_most_once":true'
    if labels:
        row += f',"labels":{orjson.dumps(labels).decode()}'
    if weight != 1:
        row += f',"weight":{weight}'
    # Both are validated to need no escapes.
    choices = (("category", category), ("quiet", quiet))
    return "".join([row, *(f',"{name}":"{value}"' for name, value in choices if value is not None), "}"])
