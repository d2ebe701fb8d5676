"""Ephemeral messages: in a group, and seen by one of its members alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

KEPT: Final = 10_000
"""More of them and the oldest go, as they do at Telegram when they expire."""

Key = tuple[int, int, int]


class Ephemerals:
    """The messages by the bot, the chat and who sees them. Each such place has numbers of its own."""

    def __init__(self) -> None:
        self._messages: OrderedDict[tuple[Key, int], dict[str, Any]] = OrderedDict()
        self._last: dict[Key, int] = {}

    def add(self, key: Key, message: dict[str, Any]) -> dict[str, Any]:
        """Keep a message under a number that is new there; answers it with the number."""
        number = self._last[key] = self._last.get(key, 0) + 1
        message["ephemeral_message_id"] = number
        self._messages[key, number] = message
        if len(self._messages) > KEPT:
            self._messages.popitem(last=False)
        return message

    def find(self, key: Key, number: int) -> dict[str, Any] | None:
        """The message."""
        return self._messages.get((key, number))

    def put(self, key: Key, message: dict[str, Any]) -> None:
        """Keep its edited form."""
        self._messages[key, message["ephemeral_message_id"]] = message

    def drop(self, key: Key, number: int) -> None:
        """It goes."""
        del self._messages[key, number]

    def seen(self, key: Key) -> list[dict[str, Any]]:
        """Those that somebody sees in a chat, in order."""
        return [message for (place, _), message in self._messages.items() if place == key]
