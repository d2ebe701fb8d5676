"""Queries that wait for a bot's answer: pressed buttons, inline queries, and what a raw update brought."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

FIRST_QUERY: Final = 7 * 10**17
QUERIES_KEPT: Final = 100_000

JOIN_SECONDS: Final = 10
"""How long a bot has for a wish to join. One that has shown a Mini App has as long as its user takes."""


@dataclass(slots=True)
class JoinQuery:
    """Who wants to join what, and until when the bot may answer."""

    chat: dict[str, Any]
    user: int
    until: float


class Queries:
    """The identifiers that were given out, and to which bot. The oldest are too old to be answered."""

    def __init__(self) -> None:
        self._bots: OrderedDict[str, int] = OrderedDict()
        self._joins: dict[str, JoinQuery] = {}
        self._last = FIRST_QUERY

    def new(self, bot_id: int) -> str:
        """An identifier for a query to that bot."""
        self._last += 1
        query = str(self._last)
        self.add(bot_id, query)
        return query

    def add(self, bot_id: int, query: str) -> None:
        """A query with an identifier of its own."""
        self._bots[query] = bot_id
        if len(self._bots) > QUERIES_KEPT:
            oldest, _ = self._bots.popitem(last=False)
            self._joins.pop(oldest, None)

    def new_join(self, bot_id: int, join: JoinQuery) -> str:
        """An identifier for somebody's wish to join, which that bot decides."""
        query = self.new(bot_id)
        self._joins[query] = join
        return query

    def join(self, bot_id: int, query: str, now: float) -> JoinQuery | None:
        """What that bot was asked so, if it may still answer."""
        join = self._joins.get(query)
        return join if join and self.are_for(bot_id, query) and now <= join.until else None

    def end_join(self, query: str) -> None:
        """It is answered, and cannot be a second time."""
        self._joins.pop(query, None)

    def are_for(self, bot_id: int, query: str) -> bool:
        """Whether that bot was asked so."""
        return self._bots.get(query) == bot_id
