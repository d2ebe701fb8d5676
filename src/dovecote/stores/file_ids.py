"""What Telegram calls the contents, and the turns of uploading them, in the database.

A row is one content of a bot, as it was sent. It appears with the first upload, which holds it for a lease; whoever
finds it held leaves the upload to that one. Rows are taken in the order of their keys, so that two albums with the
same pictures in another order cannot wait for each other.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, func, literal, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from dovecote.errors import StoreUnavailable
from dovecote.model import Known, KnownFile, UploadKey, UploadTurn
from dovecote.stores.clock import StoreClock, real_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Connection

    from dovecote.model import ClaimedNotification
    from dovecote.stores.database import Database

T = TypeVar("T")

CONNECTIONS = 4
# Ids in one statement: well below what either database takes as parameters.
CHUNK = 1000
# The PostgreSQL channel on which idle workers listen.
WOKEN = "dovecote"


class FileIds:
    """`ports.attachments.FileIds` on either database.

    `clock` answers microseconds since the epoch; PostgreSQL has its own.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._table = database.tables.files.file_id
        self._clock = StoreClock(database, clock)
        self._room = asyncio.Semaphore(CONNECTIONS)

    async def _run(self, function: Callable[[Connection], T], *, write: bool = False) -> T:
        """Few at a time: a hundred uploads are not to take a hundred connections. Raises StoreUnavailable."""
        async with self._room:
            try:
                return await self._database.run(function, write=write)
            except DBAPIError as error:
                # Nothing that is done here decides anything, so whatever it is, it can wait.
                words = str(error.orig).splitlines()[:1]
                raise StoreUnavailable(f"the database cannot be used just now: {' '.join(words)}") from error

    async def look_up(self, files: AbstractSet[tuple[int, int]]) -> Known:
        """See `ports.attachments.FileIds.look_up`. One statement for each thousand files."""
        file, named, known = self._tables.files.file, self._tables.files.file_name, self._table
        bots = sorted({bot_id for bot_id, _ in files})
        name = (
            select(named.c.name)
            .where(named.c.file_id == file.c.id)
            .order_by(named.c.named_at.desc(), named.c.name)
            .limit(1)
            .scalar_subquery()
        )
        of_content = and_(known.c.sha256 == file.c.sha256, known.c.bot_id.in_(bots), known.c.file_id.is_not(None))
        columns = (file.c.id, file.c.sha256, file.c.size, file.c.content_type, name.label("name"))
        called = (known.c.bot_id, known.c.kind, known.c.options, known.c.file_id)
        statement = select(*columns, *called).select_from(file.outerjoin(known, of_content))

        def read(connection: Connection) -> Known:
            found: dict[int, KnownFile] = {}
            file_ids: dict[UploadKey, str] = {}
            for ids in _chunks(sorted({file_id for _, file_id in files})):
                for row in connection.execute(statement.where(file.c.id.in_(ids))):
                    found[row.id] = KnownFile(row.id, row.sha256, row.size, row.content_type, row.name)
                    if row.file_id is not None:
                        file_ids[UploadKey(row.bot_id, row.sha256, row.kind, row.options)] = row.file_id
            return Known(found, file_ids)

        return await self._run(read)

    async def begin(self, keys: Sequence[UploadKey], *, uploader: str, lease: timedelta) -> UploadTurn:
        """See `ports.attachments.FileIds.begin`."""

        def take(connection: Connection) -> UploadTurn:
            now = self._clock.now(connection)
            for key in sorted(set(keys)):
                self._take(connection, key, uploader, now, now + lease)
            rows = connection.execute(select(self._table).where(self._is_one_of(keys))).all()
            busy = {
                _key(row): (row.upload_until - now).total_seconds()
                for row in rows
                if row.file_id is None and row.uploader != uploader and row.upload_until is not None
            }
            if busy:
                self._give_up(connection, keys, uploader)
            return UploadTurn({_key(row): row.file_id for row in rows if row.file_id is not None}, busy)

        return await self._run(take, write=True)

    def _take(self, connection: Connection, key: UploadKey, uploader: str, now: datetime, until: datetime) -> None:
        table = self._table
        ours = {"uploader": uploader, "upload_until": until}
        free = or_(table.c.upload_until.is_(None), table.c.upload_until <= now, table.c.uploader == uploader)
        connection.execute(
            self._insert(key, ours).on_conflict_do_update(
                index_elements=list(table.primary_key), set_=ours, where=and_(table.c.file_id.is_(None), free)
            )
        )

    async def renew(self, keys: Sequence[UploadKey], *, uploader: str, lease: timedelta) -> None:
        """See `ports.attachments.FileIds.renew`."""

        def write(connection: Connection) -> None:
            until = self._clock.now(connection) + lease
            ours = self._table.update().where(self._is_one_of(keys), self._table.c.uploader == uploader)
            connection.execute(ours.values(upload_until=until))

        await self._run(write, write=True)

    async def finish(self, file_ids: Mapping[UploadKey, str]) -> None:
        """See `ports.attachments.FileIds.finish`."""

        def write(connection: Connection) -> None:
            now = self._clock.now(connection)
            for key, file_id in sorted(file_ids.items()):
                known = {"file_id": file_id, "known_at": now, "uploader": None, "upload_until": None}
                connection.execute(
                    self._insert(key, known).on_conflict_do_update(
                        index_elements=list(self._table.primary_key), set_=known
                    )
                )

        await self._run(write, write=True)

    async def give_up(self, keys: Sequence[UploadKey], *, uploader: str) -> None:
        """See `ports.attachments.FileIds.give_up`."""
        await self._run(lambda connection: self._give_up(connection, keys, uploader), write=True)

    def _give_up(self, connection: Connection, keys: Sequence[UploadKey], uploader: str) -> None:
        table = self._table
        ours = (table.c.uploader == uploader, table.c.file_id.is_(None))
        connection.execute(table.delete().where(self._is_one_of(keys), *ours))

    async def forget(self, file_ids: Mapping[UploadKey, str]) -> None:
        """See `ports.attachments.FileIds.forget`."""

        def write(connection: Connection) -> None:
            for key, file_id in sorted(file_ids.items()):
                connection.execute(self._table.delete().where(self._is_one_of([key]), self._table.c.file_id == file_id))

        await self._run(write, write=True)

    async def wake(self, released: Sequence[ClaimedNotification]) -> Sequence[int]:
        """See `ports.attachments.FileIds.wake`. In transactions of a thousand each."""
        left: set[int] = set()
        for chunk in _chunks(released):
            left.update(await self._run(partial(self._wake, released=chunk), write=True))
        chats: dict[int, set[str]] = {}
        for claimed in released:
            if claimed.chat is not None and claimed.id not in left:
                chats.setdefault(claimed.bot_id, set()).add(claimed.chat)
        for bot_id, of_bot in sorted(chats.items()):
            for some in _chunks(sorted(of_bot)):
                last: tuple[Any, ...] | None = None
                while (last := await self._run(partial(self._make_due, bot_id, some, last), write=True)) is not None:
                    pass
        return sorted(left)

    def _wake(self, connection: Connection, released: Sequence[ClaimedNotification]) -> list[int]:
        outbox = self._tables.notification
        now = self._clock.now(connection)
        tokens = {claimed.id: claimed.lease_token for claimed in released}
        found = select(outbox.c.id, outbox.c.lease_token).where(outbox.c.id.in_(list(tokens)))
        left = [row.id for row in connection.execute(found) if row.lease_token == tokens[row.id]]
        woken: list[int] = []
        for attempt in {claimed.attempt for claimed in released}:
            # Whatever else has happened to one since has counted an attempt, and what makes it wait is not this.
            untouched = (outbox.c.attempts == attempt - 1, outbox.c.lease_token.is_(None), outbox.c.due_at > now)
            ids = sorted(claimed.id for claimed in released if claimed.attempt == attempt)
            # What a cycle has locked is being settled or claimed: it is among those that are not given back, or gone.
            free = select(outbox.c.id).where(outbox.c.id.in_(ids), *untouched).order_by(outbox.c.id)
            woken += connection.execute(free.with_for_update(skip_locked=True)).scalars()
        self._are_due(connection, woken, now)
        return left

    def _make_due(
        self, bot_id: int, chats: Sequence[str], last: tuple[Any, ...] | None, connection: Connection
    ) -> tuple[Any, ...] | None:
        """Make the next of these chats due that wait behind others, in order, after `last`; answers the last, or None.

        A claim has postponed them to when what was in front would have been due; it may put them back again.
        """
        now = self._clock.now(connection)
        outbox = self._tables.notification
        place = (outbox.c.chat, outbox.c.priority, outbox.c.planned_at, outbox.c.id)
        statement = (
            select(*place)
            .where(outbox.c.bot_id == bot_id, outbox.c.chat.in_(chats), outbox.c.chat.is_not(None))
            .where(outbox.c.lease_token.is_(None), outbox.c.planned_at <= now, outbox.c.due_at > now)
            # What was tried before waits for its backoff.
            .where(outbox.c.attempts == 0)
            .order_by(*place)
            .limit(CHUNK)
            .with_for_update(skip_locked=True)
        )
        if last is not None:
            behind = tuple_(*(literal(value, column.type) for value, column in zip(last, place, strict=True)))
            statement = statement.where(tuple_(*place) > behind)
        rows = connection.execute(statement).all()
        self._are_due(connection, [row.id for row in rows], now)
        return tuple(rows[-1]) if len(rows) == CHUNK else None

    def _are_due(self, connection: Connection, ids: Sequence[int], now: datetime) -> None:
        outbox = self._tables.notification
        if ids:
            connection.execute(outbox.update().where(outbox.c.id.in_(ids)).values(due_at=now))
        if ids and self._database.is_postgresql:
            connection.execute(select(func.pg_notify(WOKEN, "")))

    def _insert(self, key: UploadKey, values: Mapping[str, Any]) -> Any:
        insert = postgresql.insert if self._database.is_postgresql else sqlite.insert
        return insert(self._table).values(**key._asdict(), **values)

    def _is_one_of(self, keys: Sequence[UploadKey]) -> ColumnElement[bool]:
        """Found by their contents, and then told apart: SQLite finds no tuples by an index."""
        contents = self._table.c.sha256.in_({key.sha256 for key in keys})
        return and_(contents, tuple_(*self._table.primary_key).in_([tuple(key) for key in keys]))


def _key(row: Any) -> UploadKey:
    return UploadKey(row.bot_id, row.sha256, row.kind, row.options)


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
