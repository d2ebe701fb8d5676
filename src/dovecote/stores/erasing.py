"""Erasing a person: nothing of a recipient is left in any table, and what is counted stays counted.

All of it happens in bounded transactions, so it may be cut off, and is then begun again. What each table does:

- what waits is removed; what a worker has in hand is left to it, and counted, so that whoever asks erases again;
- a settled notification keeps its numbers (bot, outcome, times) and loses chat, parameters, key, labels, errors and
  message ids, and so statistics stay right; it is never sent again. Its attempts, files and trace are removed;
- a broadcast forgets the recipient and keeps its counts: one that has not been sent to counts as cancelled, and an
  error that was this one's alone, which may repeat what was written, is counted without its words;
- keys are looked through for the chat's number, since a key may outlive what it was given to;
- why a firing, or a run of a job, has failed is kept without its words where they name the chat;
- a schedule for it alone is deleted, and in others it is no recipient any more; a firing that is being fanned out to it
  is left to end, and counted as in hand.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, collate, exists, func, or_, select, tuple_

from dovecote.model import BroadcastState, Erased, RecipientState
from dovecote.references import slots
from dovecote.stores.among import among
from dovecote.stores.bots import bot_id_of
from dovecote.stores.broadcast_outcomes import without_words
from dovecote.stores.by_index import read_by_index
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.schedule_files import files_of, need, need_no_more
from dovecote.stores.schedule_rows import sends_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from dovecote.stores.database import Database

AT_ONCE: Final = 500
KEYS_AT_ONCE: Final = 5000
BROADCASTS_AT_ONCE: Final = 100
REMNANT: Final = "erased"
"""What is left of an error."""


class Erasing:
    """`ports.ErasingStore` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def erase(self, bot: str, chat: str) -> Erased:
        """See `ports.ErasingStore.erase`."""
        bot_id = await self._database.run(lambda connection: bot_id_of(connection, self._tables, bot))
        files: set[int] = set()
        waiting = await self._all(partial(self._waiting, bot_id, chat, files))
        settled = await self._all(partial(self._settled, bot_id, chat, files))
        broadcasts = await self._in_pages(partial(self._broadcasts, bot_id, chat), 0)
        keys = await self._in_pages(partial(self._keys, bot_id, chat), "")
        await self._write(partial(self._own_rows, bot_id, chat))
        alone, changed = await self._write(partial(self._schedules, bot_id, chat))
        await self._write(partial(self._failures, chat))
        in_flight = await self._database.run(partial(self._in_flight, bot_id, chat))
        unneeded, kept = await self._database.run(partial(self._files, files))
        jobs = await self._database.run(partial(self._jobs, chat))
        return Erased(
            notifications=waiting,
            history=settled,
            broadcasts=broadcasts,
            keys=keys,
            schedules_changed=changed,
            in_flight=in_flight,
            files=unneeded,
            kept_files=kept,
            schedules=alone,
            jobs=jobs,
        )

    async def _write(self, step: Callable[[Connection], Any]) -> Any:
        def wiped(connection: Connection) -> Any:
            if not self._database.is_postgresql:
                # What is deleted is overwritten as well, and not merely free to be.
                connection.exec_driver_sql("PRAGMA secure_delete = ON")
            return step(connection)

        return await self._database.run(wiped, write=True)

    async def _all(self, step: Callable[[Connection], int]) -> int:
        total = 0
        while count := await self._write(step):
            total += count
        return total

    async def _in_pages(self, step: Callable[[Any, Connection], tuple[int, Any]], first: Any) -> int:
        total, after = 0, first
        while after is not None:
            count, after = await self._write(partial(step, after))
            total += count
        return total

    def _waiting(self, bot_id: int, chat: str, files: set[int], connection: Connection) -> int:
        table = self._tables.notification
        statement = (
            select(table.c.id, table.c.bot_id, table.c.key, table.c.method, table.c.params)
            .where(table.c.bot_id == bot_id, table.c.chat == chat, table.c.lease_token.is_(None))
            .order_by(table.c.id)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        rows = connection.execute(statement).all()
        ids = self._forget_around(connection, rows, files)
        connection.execute(table.delete().where(among(connection, table.c.id, ids)))
        return len(rows)

    def _settled(self, bot_id: int, chat: str, files: set[int], connection: Connection) -> int:
        table = self._tables.history
        own = (table.c.bot_id == bot_id, table.c.chat == chat)
        oldest = select(table.c.id).where(*own).order_by(table.c.settled_at).limit(AT_ONCE)
        rows: Sequence[Any] = ()
        # In the order of the ids, as operators who replay hold them: neither waits for the other and is waited for.
        while not rows and (ids := list(connection.execute(oldest).scalars())):
            these = select(table.c.id, table.c.bot_id, table.c.key, table.c.method, table.c.params)
            held = these.where(among(connection, table.c.id, ids), *own).order_by(table.c.id)
            rows = connection.execute(held.with_for_update()).all()
        ids = self._forget_around(connection, rows, files)
        here = table.update().where(among(connection, table.c.id, ids))
        connection.execute(here.values(**remnants(table, self._clock.now(connection)), chat=None, key=None))
        return len(rows)

    def _forget_around(self, connection: Connection, rows: Sequence[Any], files: set[int]) -> list[int]:
        """Remove what stands beside notifications: attempts, traces, keys, and the files that they sent, noted."""
        ids = [row.id for row in rows]
        attachment = self._tables.files.attachment
        for row in rows:
            files.update(slot.file_id for slot in slots(row.method, dict(row.params or {})))
        attached = attachment.delete().where(among(connection, attachment.c.notification_id, ids))
        files.update(connection.execute(attached.returning(attachment.c.file_id)).scalars())
        for beside in (self._tables.attempt, self._tables.trace_context):
            connection.execute(beside.delete().where(among(connection, beside.c.notification_id, ids)))
        key = self._tables.notification_key
        named = [(row.bot_id, row.key) for row in rows if row.key is not None]
        if named:
            self._forget_keys(connection, tuple_(key.c.bot_id, key.c.key).in_(named))
        return ids

    def _forget_keys(self, connection: Connection, these: ColumnElement[bool]) -> None:
        key = self._tables.notification_key
        if self._database.is_postgresql:
            # In the order in which every enqueue waits for them, or an application's would be ended for a deadlock.
            in_order = select(key.c.key).where(these).order_by(key.c.bot_id, collate(key.c.key, "C"))
            connection.execute(in_order.with_for_update()).all()
        connection.execute(key.delete().where(these))

    def _keys(self, bot_id: int, chat: str, after: str, connection: Connection) -> tuple[int, str | None]:
        table = self._tables.notification_key
        read_by_index(connection)
        page = select(table.c.key).where(table.c.bot_id == bot_id, table.c.key > after).order_by(table.c.key)
        keys = list(connection.execute(page.limit(KEYS_AT_ONCE)).scalars())
        found = [key for key in keys if names(key, chat)]
        found.sort()
        for start in range(0, len(found), AT_ONCE):
            these = table.c.key.in_(found[start : start + AT_ONCE])
            self._forget_keys(connection, and_(table.c.bot_id == bot_id, these))
        return len(found), keys[-1] if len(keys) == KEYS_AT_ONCE else None

    def _own_rows(self, bot_id: int, chat: str, connection: Connection) -> None:
        recipient, wait = self._tables.recipient, self._tables.chat_wait
        # Its topics as well: in byte order they lie between the two.
        own = or_(recipient.c.chat == chat, and_(recipient.c.chat > f"{chat}/", recipient.c.chat < f"{chat}0"))
        connection.execute(recipient.delete().where(recipient.c.bot_id == bot_id, own))
        connection.execute(wait.delete().where(wait.c.bot_id == bot_id, wait.c.chat == chat))

    def _broadcasts(self, bot_id: int, chat: str, after: int, connection: Connection) -> tuple[int, int | None]:
        table, recipient = self._tables.broadcast, self._tables.broadcast_recipient
        some = select(table.c.id).where(table.c.id > after).order_by(table.c.id).limit(BROADCASTS_AT_ONCE)
        ids = list(connection.execute(some).scalars())
        theirs = select(recipient.c.broadcast_id).where(recipient.c.broadcast_id.in_(ids), recipient.c.chat == chat)
        concerned = or_(table.c.id.in_(theirs), and_(table.c.id.in_(ids), table.c.cursor == chat))
        held = select(table).where(concerned, table.c.bot_id == bot_id).order_by(table.c.id).with_for_update()
        count = 0
        for row in connection.execute(held).all():
            here = (recipient.c.broadcast_id == row.id, recipient.c.chat == chat)
            removed = recipient.delete().where(*here).returning(*recipient.c)
            gone = connection.execute(removed).one_or_none()
            values: dict[str, Any] = {}
            if gone is not None:
                count += 1
                values = self._without(connection, row, RecipientState(gone.state), gone.notification_id)
                values |= without_words(connection, self._tables, row, gone, REMNANT)
            if row.reason is not None and names(row.reason, chat):
                values["reason"] = REMNANT
            if row.cursor == chat:
                before = select(func.max(recipient.c.chat)).where(
                    recipient.c.broadcast_id == row.id, recipient.c.chat < chat
                )
                values["cursor"] = connection.execute(before).scalar() or ""
            if values:
                connection.execute(table.update().where(table.c.id == row.id).values(**values))
        return count, ids[-1] if len(ids) == BROADCASTS_AT_ONCE else None

    def _without(
        self, connection: Connection, row: Row[Any], state: RecipientState, notification_id: int | None
    ) -> dict[str, Any]:
        """The counts of a broadcast that forgets one of its recipients: what was not sent counts as cancelled."""
        if row.state == BroadcastState.DRAFT.value:
            return {"recipients": row.recipients - 1}
        if state is RecipientState.WAITING:
            return {"cancelled": row.cancelled + 1}
        if state is not RecipientState.ENQUEUED:
            return {}
        # It may have been settled, and not read yet.
        history = self._tables.history.c
        outcome = connection.execute(select(history.outcome).where(history.id == notification_id)).scalar()
        counted = outcome or RecipientState.CANCELLED.value
        return {"enqueued": row.enqueued - 1, counted: getattr(row, counted) + 1}

    def _schedules(self, bot_id: int, chat: str, connection: Connection) -> tuple[tuple[str, ...], int]:
        """Take it out of the recipients of schedules; answers those for it alone by name, and how many were changed."""
        table = self._tables.schedule
        alone, changed = [], 0
        # Only those that name it are held: a bot may have very many.
        named = table.c.sends.contains(chat, autoescape=True)
        held = select(table.c.id, table.c.name, table.c.sends, table.c.version).where(table.c.bot_id == bot_id, named)
        for row in connection.execute(held.order_by(table.c.id).with_for_update()).all():
            form = json.loads(row.sends)
            left = [each for each in form["to"] or () if str(each) != chat]
            if form["to"] is None or len(left) == len(form["to"]):
                continue
            if not left:
                alone.append(row.name)
                continue
            written = json.dumps({**form, "to": left}, ensure_ascii=False, separators=(",", ":"))
            # Another version, so that a firing that has read the old one is not made.
            here, version = table.update().where(table.c.id == row.id), row.version + 1
            connection.execute(here.values(sends=written, version=version))
            need(connection, self._tables, row.id, version, files_of(sends_of(written)[0]))
            need_no_more(connection, self._tables, row.id, self._clock.now(connection), newest=version)
            changed += 1
        return tuple(alone), changed

    def _failures(self, chat: str, connection: Connection) -> None:
        """Take the words of failures that name the chat: which firing and which run it was stays."""
        tables = self._tables
        for table, name in ((tables.occurrence, "reason"), (tables.jobs.run, "error"), (tables.jobs.job, "problem")):
            key, words = list(table.primary_key.columns), table.c[name]
            found = select(*key, words.label("words")).where(words.contains(chat, autoescape=True))
            rows = connection.execute(found).all()
            keys = [tuple(row)[:-1] for row in rows if names(row.words, chat)]
            for start in range(0, len(keys), AT_ONCE):
                here = tuple_(*key).in_(keys[start : start + AT_ONCE])
                connection.execute(table.update().where(here).values({name: REMNANT}))

    def _in_flight(self, bot_id: int, chat: str, connection: Connection) -> int:
        table, occurrence = self._tables.notification.c, self._tables.occurrence.c
        waits = select(func.count()).where(table.bot_id == bot_id, table.chat == chat)
        held: int = connection.execute(waits).scalar_one()
        open_ = select(occurrence.sends, occurrence.cursor).where(occurrence.turn_at.is_not(None))
        for row in connection.execute(open_):
            to = json.loads(row.sends)["to"] if row.sends else None
            held += (row.cursor or "").lstrip("hm") == chat or (to is not None and chat in map(str, to))
        return held

    def _files(self, files: Iterable[int], connection: Connection) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of these the ones that nothing needs any more, and those that are kept until somebody deletes them."""
        file, attachment, scheduled = (
            self._tables.files.file,
            self._tables.files.attachment,
            self._tables.schedule_file,
        )
        needed = or_(
            exists(select(attachment.c.file_id).where(attachment.c.file_id == file.c.id)),
            exists(select(scheduled.c.file_id).where(scheduled.c.file_id == file.c.id)),
        )
        there = select(file.c.id, file.c.kept, needed.label("needed")).where(
            among(connection, file.c.id, sorted(files))
        )
        rows = connection.execute(there.order_by(file.c.id)).all()
        return (
            tuple(row.id for row in rows if not row.kept and not row.needed),
            tuple(row.id for row in rows if row.kept),
        )

    def _jobs(self, chat: str, connection: Connection) -> tuple[str, ...]:
        job = self._tables.jobs.job.c
        held = or_(job.definition.contains(chat, autoescape=True), job.id.contains(chat, autoescape=True))
        rows = connection.execute(select(job.store, job.id, job.definition).where(held).order_by(job.store, job.id))
        return tuple(f"{row.store}:{row.id}" for row in rows if names(row.definition, chat) or names(row.id, chat))


def names(text: str, chat: str) -> bool:
    """Whether a text holds the chat, and not merely a longer number that has it in it, nor the group of that number."""
    if chat.startswith("@"):
        return re.search(rf"{re.escape(chat)}(?!\w)", text, re.IGNORECASE) is not None
    return re.search(rf"(?<!\d)(?<!(?<!\w)-){re.escape(chat)}(?!\d)", text) is not None


def remnants(history: Any, now: Any) -> dict[str, Any]:
    """What a row of the history is left with when its content is erased."""
    return {
        "params": {},
        "labels": None,
        "message_ids": None,
        "error": case((history.c.error.is_(None), None), else_=REMNANT),
        "category": None,
        "erased_at": now,
    }
