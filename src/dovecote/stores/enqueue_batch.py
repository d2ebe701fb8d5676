"""The notifications of one enqueue call, all of them valid, as rows of JSON.

Memory is bounded beyond the caller's own list: a row is kept from its validation to its writing while all that is
kept fits into `KEPT`; past that it is made anew when it is written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from dovecote.stores.tables import EPOCH, MICROSECOND
from dovecote.validation import prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from dovecote.model import Notification
    from dovecote.validation import PreparedNotification

CHUNK: Final = 2000
"""One statement writes so many notifications at most."""
CHUNK_CHARACTERS: Final = 4 * 1024 * 1024
"""One statement carries so many characters and one notification more at most."""
KEPT: Final = 32 * 1024 * 1024


class Batch:
    """What one call writes; `alone` is for a call with one notification and no sequence.

    `bots` are the names that occur, `keys` has the place of the first notification with each bot and key, and
    `repeats` the place of the first for the place of every later one. Raises InvalidNotification.
    """

    def __init__(self, notifications: Sequence[Notification], *, alone: bool = False) -> None:
        self._notifications = notifications
        self._bots: list[str] = []
        self._rows: list[str | None] = []
        self.keys: dict[tuple[str, str], int] = {}
        self.repeats: dict[int, int] = {}
        names: dict[str, str] = {}
        kept = 0
        for place, notification in enumerate(notifications):
            checked = prepared(notification, index=None if alone else place)
            self._bots.append(names.setdefault(checked.bot, checked.bot))
            row = _row(checked) if kept < KEPT else None
            kept += len(row or "")
            self._rows.append(row)
            if checked.key is not None:
                first = self.keys.setdefault((checked.bot, checked.key), place)
                if first != place:
                    self.repeats[place] = first
        self.bots = tuple(names)

    def __len__(self) -> int:
        return len(self._bots)

    def in_input_order(self) -> list[int]:
        """The places of all that may be written: without those that repeat an earlier one's key."""
        return [place for place in range(len(self)) if place not in self.repeats]

    def in_key_order(self, bot_ids: Mapping[str, int]) -> list[int]:
        """The same places: first those with keys, by bot and key, then those without."""
        keyed = [self.keys[name] for name in sorted(self.keys, key=lambda name: (bot_ids[name[0]], name[1]))]
        with_key = set(keyed)
        return keyed + [place for place in self.in_input_order() if place not in with_key]

    def keys_of(self, places: Sequence[int]) -> list[tuple[str, str]]:
        """Bot and key of each of `places`."""
        wanted = set(places)
        names = {place: name for name, place in self.keys.items() if place in wanted}
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
    # The chat and the method are validated to need no escapes, and the parameters are JSON already.
    parts = [f'"method":"{notification.method}","params":{notification.params}']
    if notification.chat is not None:
        parts.append(f'"chat":"{notification.chat}"')
    if notification.key is not None:
        parts.append(f'"key":{json.dumps(notification.key, ensure_ascii=False)}')
    if notification.labels:
        parts.append(f'"labels":{json.dumps(notification.labels, ensure_ascii=False)}')
    if notification.priority != 1:
        parts.append(f'"priority":{notification.priority}')
    if notification.at_most_once:
        parts.append('"at_most_once":true')
    if notification.due_at is not None:
        parts.append(f'"due_at":{microseconds(notification.due_at)}')
    if notification.expires_at is not None:
        parts.append(f'"expires_at":{microseconds(notification.expires_at)}')
    if notification.weight != 1:
        parts.append(f'"weight":{notification.weight}')
    return ",".join(parts) + "}"
