"""Reading what became of a broadcast's notifications: from the history into the record, and into the counts."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select

from dovecote.brake import LONGEST_ERROR, lately_of
from dovecote.broadcast_form import referred
from dovecote.model import Brake, BroadcastState, RecipientState
from dovecote.stores.among import among, among_texts
from dovecote.stores.broadcast_rows import ENQUEUED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.stores.tables import Tables

DISABLED: Final = "the recipient is disabled: "
OPTED_OUT: Final = "the recipient has opted out of "
"""So the claim's words begin for what it has ended without a request."""
ERRORS: Final = 50
"""So many different errors are counted apart."""
OTHERS: Final = "other errors"
MEASURED_EVERY: Final = timedelta(seconds=2)
NEWEST_SHARE: Final = 0.4
"""How much the rate of the last stretch weighs against those before."""


class Outcomes:
    """Collects inside of a transaction of the caller's, who holds the broadcast's row."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def collect(
        self, connection: Connection, row: Row[Any], now: datetime, *, after: int, limit: int
    ) -> tuple[int | None, bool]:
        """See `ports.BroadcastStore.collect`; answers as well whether the brake has paused it now."""
        table = self._tables.broadcast_recipient.c
        page = (
            select(table.chat, table.notification_id)
            .where(table.broadcast_id == row.id, ENQUEUED, table.notification_id > after)
            .order_by(table.notification_id)
            .limit(limit)
        )
        chats = {each.notification_id: each.chat for each in connection.execute(page)}
        if not chats:
            return None, False
        settled = self._settled(connection, row, list(chats))
        if settled:
            self._write(connection, row, [(chats[found["id_"]], found) for found in settled])
        braked = self._count(connection, row, settled, now)
        return max(chats) if len(chats) == limit else None, braked

    def _settled(self, connection: Connection, row: Row[Any], ids: Sequence[int]) -> list[dict[str, Any]]:
        """What became of those that have left the outbox."""
        notification, history = self._tables.notification.c, self._tables.history.c
        # The outbox first: what leaves it between the two looks is found in the history, or at the next look.
        waiting = set(
            connection.execute(select(notification.id).where(among(connection, notification.id, ids))).scalars()
        )
        gone = [id_ for id_ in ids if id_ not in waiting]
        if not gone:
            return []
        columns = (
            history.chat,
            history.outcome,
            history.settled_at,
            history.error_code,
            history.error,
            history.message_ids,
        )
        settled = select(history.id, *columns).where(among(connection, history.id, gone))
        known = {each.id: each for each in connection.execute(settled)}
        dead = {each.chat for each in known.values() if each.outcome == "dead"}
        refusing = self._disabled(connection, row.bot_id, dead)
        # A replay puts what was in the history back into the outbox.
        vanished = [id_ for id_ in gone if id_ not in known]
        there = select(notification.id).where(among(connection, notification.id, vanished))
        back = set(connection.execute(there).scalars()) if vanished else set()
        return [_read(each, blocked=each.chat in refusing) for each in known.values()] + [
            _unknown(id_) for id_ in vanished if id_ not in back
        ]

    def _disabled(self, connection: Connection, bot_id: int, chats: Iterable[str | None]) -> set[str]:
        recipient = self._tables.recipient.c
        wanted = [chat for chat in chats if chat is not None]
        if not wanted:
            return set()
        statement = select(recipient.chat).where(
            recipient.bot_id == bot_id,
            among_texts(connection, recipient.chat, wanted),
            recipient.disabled_at.is_not(None),
        )
        return set(connection.execute(statement).scalars())

    def _write(self, connection: Connection, row: Row[Any], found: Sequence[tuple[str, dict[str, Any]]]) -> None:
        table = self._tables.broadcast_recipient
        names = ("state", "settled_at", "error_code", "error", "message_ids")
        values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
        here = table.update().where(table.c.broadcast_id == row.id, table.c.chat == bindparam("of")).values(**values)
        rows = [{"of": chat, **{f"new_{name}": outcome[name] for name in names}} for chat, outcome in found]
        connection.execute(here, rows)

    def _count(self, connection: Connection, row: Row[Any], settled: Sequence[dict[str, Any]], now: datetime) -> bool:
        """Count them, and answer whether the brake has paused the broadcast for it."""
        table = self._tables.broadcast
        states = Counter(outcome["state"] for outcome in settled)
        blocked = sum(outcome["blocked"] for outcome in settled)
        errors = [_words(outcome) for outcome in settled if outcome["error"] is not None]
        values: dict[str, Any] = {state: getattr(row, state) + count for state, count in states.items()}
        values |= {"enqueued": row.enqueued - len(settled), "blocked": row.blocked + blocked}
        if errors:
            values["errors"] = json.dumps(_added(json.loads(row.errors), errors), ensure_ascii=False)
        done = row.delivered + row.dead + row.unknown + row.suppressed + row.cancelled + len(settled)
        values |= _measured(row, done, now)
        # What had ended before somebody let it go on is no reason to stop it again, whenever it is read.
        fresh = [each for each in settled if each["settled_at"] is not None and each["settled_at"] >= row.changed_at]
        if fresh and row.state == BroadcastState.RUNNING.value:
            lately = lately_of(json.loads(row.recent))
            own = [_words(outcome) for outcome in fresh if _counts_for_the_brake(outcome)]
            refusing = sum(outcome["blocked"] for outcome in fresh)
            brake = Brake(**json.loads(row.form)["brake"])
            reason = lately.count(settled=len(fresh), blocked=refusing, errors=own, brake=brake)
            values["recent"] = json.dumps(lately.form(), ensure_ascii=False)
            if reason is not None:
                paused = {"state": BroadcastState.PAUSED.value, "reason": reason, "changed_at": now, "turn_at": now}
                values |= paused
        connection.execute(table.update().where(table.c.id == row.id).values(**values))
        return "reason" in values


def without_words(
    connection: Connection, tables: Tables, row: Row[Any], gone: Row[Any], instead: str
) -> dict[str, Any]:
    """What a broadcast's row is without the error of a recipient that is `gone`, where nobody else ended with it.

    Such words may repeat what was written to that one. Counts stay: they are of `instead` then.
    """
    recipient = tables.broadcast_recipient.c
    others = select(recipient.chat).where(recipient.broadcast_id == row.id, recipient.error == gone.error).limit(1)
    if gone.error is None or connection.execute(others).first() is not None:
        return {}
    words = words_of(gone.error_code, gone.error)
    lately = json.loads(row.recent)
    values: dict[str, Any] = {"errors": json.dumps(_renamed(json.loads(row.errors), words, instead))}
    if "errors" in lately:
        values["recent"] = json.dumps({**lately, "errors": _renamed(lately["errors"], words, instead)})
    if row.reason is not None and words in row.reason:
        values["reason"] = row.reason.replace(words, instead)
    return values


def _renamed(counts: dict[str, int], name: str, other: str) -> dict[str, int]:
    if name not in counts:
        return counts
    left = {each: count for each, count in counts.items() if each != name}
    return {**left, other: left.get(other, 0) + counts[name]}


def sent_again(connection: Connection, tables: Tables, rows: Iterable[Any], now: datetime) -> None:
    """Let the record say that these, with id, chat and params, are on their way once more: an operator wants it so."""
    replayed: dict[int, dict[int, str]] = {}
    for row in rows:
        broadcast_id = referred(row.params)
        if broadcast_id is not None:
            replayed.setdefault(broadcast_id, {})[row.id] = row.chat
    table, recipient = tables.broadcast, tables.broadcast_recipient
    for broadcast_id, chats in sorted(replayed.items()):
        row = connection.execute(select(table).where(table.c.id == broadcast_id).with_for_update()).first()
        theirs = (
            recipient.c.broadcast_id == broadcast_id,
            recipient.c.chat.in_(sorted(set(chats.values()))),
            recipient.c.notification_id.in_(sorted(chats)),
        )
        found = select(recipient.c.chat, recipient.c.state).where(*theirs, recipient.c.settled_at.is_not(None))
        states = Counter(each.state for each in connection.execute(found))
        if row is None or not states:
            continue
        empty = dict.fromkeys(("settled_at", "error_code", "error", "message_ids"))
        again = recipient.update().where(*theirs).values(state=RecipientState.ENQUEUED.value, **empty)
        connection.execute(again)
        counts = {state: getattr(row, state) - count for state, count in states.items()}
        counts["enqueued"] = row.enqueued + sum(states.values())
        connection.execute(table.update().where(table.c.id == broadcast_id).values(**counts, turn_at=now))


def _read(row: Any, *, blocked: bool) -> dict[str, Any]:
    state = RecipientState(row.outcome)
    suppressed = row.outcome == "dead" and (row.error or "").startswith((DISABLED, OPTED_OUT))
    if suppressed:
        state = RecipientState.SUPPRESSED
    return {
        "id_": row.id,
        "state": state.value,
        "settled_at": row.settled_at,
        "error_code": row.error_code,
        "error": row.error if state is not RecipientState.DELIVERED else None,
        "message_ids": row.message_ids,
        "blocked": blocked and state is RecipientState.DEAD,
    }


def _unknown(notification_id: int) -> dict[str, Any]:
    return {
        "id_": notification_id,
        "state": RecipientState.UNKNOWN.value,
        "settled_at": None,
        "error_code": None,
        "error": "what became of it was pruned or purged before it was read",
        "message_ids": None,
        "blocked": False,
    }


def _counts_for_the_brake(outcome: dict[str, Any]) -> bool:
    return outcome["state"] in {"dead", "unknown"} and not outcome["blocked"]


def _words(outcome: dict[str, Any]) -> str:
    return words_of(outcome["error_code"], outcome["error"])


def words_of(code: int | None, error: str) -> str:
    """An error as it is counted."""
    return f"{'' if code is None else f'{code} '}{error}"[:LONGEST_ERROR]


def _added(counts: dict[str, int], errors: Sequence[str]) -> dict[str, int]:
    for error in errors:
        name = error if error in counts or len(counts) < ERRORS else OTHERS
        counts[name] = counts.get(name, 0) + 1
    return counts


def _measured(row: Row[Any], done: int, now: datetime) -> dict[str, Any]:
    """The rate, measured anew when the last time is long enough ago."""
    if row.measured_at is None:
        return {"measured_at": now, "measured": done}
    elapsed = now - row.measured_at
    if elapsed < MEASURED_EVERY:
        return {}
    newest = (done - row.measured) / elapsed.total_seconds()
    rate = newest if row.rate is None else NEWEST_SHARE * newest + (1 - NEWEST_SHARE) * row.rate
    return {"measured_at": now, "measured": done, "rate": rate}
