"""How much of the outbox is due, later or leased, counted in the index of due times and only up to a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, literal, literal_column, select

from dovecote.model import Priority, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import ColumnElement, Label, Row, Select

    from dovecote.stores.tables import Tables

COUNTED: Final = 100_000
"""So many due notifications of a bot and a priority are counted, and no more; the same goes for what is due later."""
SETTLED: Final = (State.DELIVERED, State.DEAD, State.UNKNOWN)


class Depths:
    """Subqueries for each row of the bots' table, one for each priority, and what reads them."""

    def __init__(self, tables: Tables, now: datetime, *, is_postgresql: bool) -> None:
        self._bot, self._outbox = tables.bot, tables.notification
        due_at = self._outbox.c.due_at
        now_ = literal(now, due_at.type)
        self._due, self._later = due_at <= now_, due_at > now_
        # The index's own condition, word for word: without it neither database uses the index.
        always = "due_at > '-infinity'" if is_postgresql else "due_at IS NOT NULL"
        self._always: ColumnElement[bool] = literal_column(f"{self._outbox.fullname}.{always}")

    def due(self) -> Iterator[Label[Any]]:
        """How many are due, `due_0` and so on, and the earliest of them, `oldest_0` and so on."""
        due_at = self._outbox.c.due_at
        for priority in Priority:
            earliest = select(func.min(due_at, type_=due_at.type)).where(*self._of(priority), self._due)
            yield self._counted(priority, self._due).label(f"due_{priority}")
            yield earliest.correlate(self._bot).scalar_subquery().label(f"oldest_{priority}")

    def later(self) -> Iterator[Label[Any]]:
        """How many are due later, `later_0` and so on, and how many of these are leased, `leased_0` and so on.

        A lease ends soon, so what is leased stands at the front of what is later.
        """
        lease = self._outbox.c.lease_token
        for priority in Priority:
            yield self._counted(priority, self._later).label(f"later_{priority}")
            first = select(lease.label("token")).where(*self._of(priority), self._later).correlate(self._bot)
            some = first.order_by(self._outbox.c.due_at).limit(COUNTED).subquery()
            leased = select(func.count(some.c.token)).select_from(some).correlate(self._bot)
            yield leased.scalar_subquery().label(f"leased_{priority}")

    def _of(self, priority: Priority) -> tuple[ColumnElement[bool], ...]:
        """Those of the bot and the priority."""
        outbox = self._outbox.c
        return outbox.bot_id == self._bot.c.id, outbox.priority == literal_column(str(int(priority))), self._always

    def _counted(self, priority: Priority, which: ColumnElement[bool]) -> Any:
        some: Select[Any] = select(literal_column("1").label("one")).select_from(self._outbox)
        some = some.where(*self._of(priority), which).correlate(self._bot)
        counted = select(func.count()).select_from(some.limit(COUNTED).subquery()).correlate(self._bot)
        return counted.scalar_subquery()


def total(rows: list[Row[Any]], name: str) -> int:
    """The sum over bots and priorities of the columns of that name."""
    return sum(getattr(row, f"{name}_{priority}") for row in rows for priority in Priority)


def settled(tables: Tables, bot_id: int | None) -> Iterator[Label[Any]]:
    """How many have ended in each way, of one bot or of all: exact, from the counts that the database keeps."""
    table = tables.history_count.c
    for outcome in SETTLED:
        statement = select(func.coalesce(func.sum(table.count), 0)).where(table.outcome == outcome.value)
        if bot_id is not None:
            statement = statement.where(table.bot_id == bot_id)
        yield statement.scalar_subquery().label(outcome.value)
