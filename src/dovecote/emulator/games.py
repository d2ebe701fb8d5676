"""Games: which one a message is of, and the best scores in a chat.

A game is set up with @BotFather, where the emulator is not: any short name that one can have is a game of the bot's.
"""

from __future__ import annotations

import re
from typing import Any, Final

NEIGHBOURS: Final = 2
TOP: Final = 3

_SHORT_NAME: Final = re.compile(r"[A-Za-z0-9_]{3,30}")


class Games:
    """Short names by chat and message, and scores by bot, chat and game."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, int], str] = {}
        self._scores: dict[tuple[int, int, str], dict[int, int]] = {}

    @staticmethod
    def can_be(short_name: str) -> bool:
        """Whether a game can be called so."""
        return _SHORT_NAME.fullmatch(short_name) is not None

    def note(self, chat: int, message_id: int, short_name: str) -> None:
        """A message has that game."""
        self._sent[chat, message_id] = short_name

    def find(self, chat: int, message_id: int) -> str | None:
        """The game of a message."""
        return self._sent.get((chat, message_id))

    def scores(self, bot: int, chat: int, short_name: str) -> dict[int, int]:
        """The scores of a game in a chat, by user."""
        return self._scores.setdefault((bot, chat, short_name), {})


def ranking(scores: dict[int, int]) -> list[tuple[int, int, int]]:
    """Position from 1, user and score, the best first; who came to a score first stands before."""
    best = sorted(scores.items(), key=lambda one: -one[1])
    return [(position, user, score) for position, (user, score) in enumerate(best, 1)]


def shown(scores: dict[int, int], user: int) -> list[tuple[int, int, int]]:
    """Those of a ranking that are told about a user: the neighbours on each side, and the top if none is there."""
    ranked = ranking(scores)
    place = next((position for position, who, _ in ranked if who == user), None)
    if place is None:
        return ranked[:TOP]
    near = [one for one in ranked if abs(one[0] - place) <= NEIGHBOURS]
    top: list[Any] = [one for one in ranked[:TOP] if one not in near] if place - NEIGHBOURS > TOP else []
    return top + near
