"""Queries that wait for a bot's answer: pressed buttons, inline queries, and what a raw update brought."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

FIRST_QUERY: Final = 7 * 10**17
QUERIES_KEPT: Final = 100_000


class Queries:
    """The identifiers that were given out, and to which bot. The oldest are too old to be answered."""

    def __init__(self) -> None:
        self._bots: OrderedDict[str, int] = OrderedDict()
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
            self._bots.popitem(last=False)

    def are_for(self, bot_id: int, query: str) -> bool:
        """Whether that bot was asked so."""
        return self._bots.get(query) == bot_id
