"""Removing payloads: what a notification said, while who got it, when and what became of it stays.

A broadcast keeps its content once, and for each recipient the variables. They go with the payload of the recipient's
notification; those of recipients that never had one go when the broadcast has been over for as long as the longest of
its bot's payloads is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, or_, select

from dovecote.broadcast_form import referred
from dovecote.model import BroadcastState, RecipientState
from dovecote.stores.among import among, among_texts
from dovecote.stores.depths import SETTLED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.model import Retention
    from dovecote.stores.retentions import BotRule
    from dovecote.stores.tables import Tables

RECIPIENTS_AT_ONCE: Final = 2000
OVER: Final = (BroadcastState.FINISHED.value, BroadcastState.CANCELLED.value)


def empty(connection: Connection, tables: Tables, rows: Sequence[Row[Any]], now: datetime) -> None:
    """Remove the payloads of these rows of the history, which the caller has locked.

    Their files are needed no longer: the next collection lets go of them.
    """
    if not rows:
        return
    forget_variables(connection, tables, rows)
    history = tables.history
    here = history.update().where(among(connection, history.c.id, [row.id for row in rows]))
    connection.execute(here.values(params={}, erased_at=now))


def forget_variables(connection: Connection, tables: Tables, rows: Sequence[Row[Any]]) -> None:
    """Remove the variables of the recipients of broadcasts that these notifications went to.

    What is held by somebody is left to `EmptiedBroadcasts`: nothing here waits for who holds the broadcast.
    """
    chats: dict[int, set[str]] = {}
    for row in rows:
        broadcast_id = referred(row.params) if row.params else None
        if broadcast_id is not None and row.chat is not None:
            chats.setdefault(broadcast_id, set()).add(row.chat)
    recipient = tables.broadcast_recipient
    for broadcast_id, theirs in sorted(chats.items()):
        free = (
            select(recipient.c.chat)
            .where(
                recipient.c.broadcast_id == broadcast_id,
                among_texts(connection, recipient.c.chat, sorted(theirs)),
                recipient.c.variables.is_not(None),
            )
            .with_for_update(skip_locked=True)
        )
        found = list(connection.execute(free).scalars())
        if found:
            these = among_texts(connection, recipient.c.chat, found)
            here = recipient.update().where(recipient.c.broadcast_id == broadcast_id, these)
            connection.execute(here.values(variables=None))


class _Due(NamedTuple):
    id: int
    before: datetime
    """What was settled before has no payload any more."""


class EmptiedBroadcasts:
    """Broadcasts that are over lose the variables of all recipients, so many in a transaction."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # Where the broadcast that is under way has come to: who begins anew reads it again, and changes nothing.
        self._at: tuple[int, str] = (0, "")

    def due(self, connection: Connection, rules: Sequence[BotRule], now: datetime) -> list[_Due]:
        """Those that are over for long enough."""
        table = self._tables.broadcast.c
        before = {rule.id: now - _longest_payload(rule.retention) for rule in rules}
        over = (
            select(table.id, table.bot_id, func.coalesce(table.finished_at, table.changed_at).label("over_at"))
            .where(table.state.in_(OVER), table.emptied_at.is_(None))
            .order_by(table.id)
        )
        rows = connection.execute(over)
        return [_Due(row.id, before[row.bot_id]) for row in rows if row.over_at < before.get(row.bot_id, row.over_at)]

    def empty_some(self, connection: Connection, rules: Sequence[BotRule], now: datetime) -> tuple[int, bool]:
        """Go on with the first of them; answers how many are done with now, and whether there is more to do."""
        waiting = self.due(connection, rules, now)
        for due in waiting:
            table = self._tables.broadcast
            # As whoever changes its recipients does.
            held = select(table.c.id).where(table.c.id == due.id).with_for_update(skip_locked=True)
            if connection.execute(held).scalar() is not None:
                done = self._go_on(connection, due, now)
                return int(done), not done or len(waiting) > 1
        return 0, False

    def _go_on(self, connection: Connection, due: _Due, now: datetime) -> bool:
        table, recipient = self._tables.broadcast, self._tables.broadcast_recipient
        after = self._at[1] if self._at[0] == due.id else ""
        own = recipient.c.broadcast_id == due.id
        page = select(recipient.c.chat).where(own, recipient.c.chat > after).order_by(recipient.c.chat)
        chats = list(connection.execute(page.limit(RECIPIENTS_AT_ONCE)).scalars())
        if chats:
            # A dead letter that was replayed since has its payload still, and its variables go with that.
            settled = or_(recipient.c.settled_at.is_(None), recipient.c.settled_at < due.before)
            passed = (own, recipient.c.chat > after, recipient.c.chat <= chats[-1], recipient.c.variables.is_not(None))
            waits = recipient.c.state == RecipientState.ENQUEUED.value
            connection.execute(recipient.update().where(*passed, settled, ~waits).values(variables=None))
        if len(chats) == RECIPIENTS_AT_ONCE:
            self._at = due.id, chats[-1]
            return False
        self._at = 0, ""
        connection.execute(table.update().where(table.c.id == due.id).values(emptied_at=now))
        return True


def _longest_payload(retention: Retention) -> Any:
    return max(retention.of(outcome).payload for outcome in SETTLED)
