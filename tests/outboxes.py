"""An outbox for a test: a fresh migrated database, a clock that stands still until it is moved, and plain rows.

What is written and read here goes past the store under test, straight into and out of the tables.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, select, text

from dovecote.model import Delivered, Failed, RecipientChange, Settlement
from dovecote.schedules import Schedules
from dovecote.stores.bots import Bots
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.enqueue import Enqueuer
from dovecote.stores.firing import FiringStore
from dovecote.stores.history import History
from dovecote.stores.pruning import Pruning
from dovecote.stores.recipient_book import RecipientBook as Book
from dovecote.stores.recipients import Recipients
from dovecote.stores.retentions import Retentions
from dovecote.stores.schedules import SchedulesBook
from dovecote.stores.tables import EPOCH, MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.model import Bot, ClaimedNotification, Cycle, Outcome
    from dovecote.ports import OutboxStore, PruneStore, RecipientBook, RecipientStore, RetentionStore

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
"""When every test begins."""
LEASE = timedelta(seconds=60)


def at(seconds: float) -> datetime:
    """The instant so many seconds after the test's beginning."""
    return START + timedelta(seconds=seconds)


class Outbox:
    """One outbox, as the tests see it. `store` is what they test; `second` is another worker's store."""

    def __init__(self, url: str) -> None:
        place = outbox_url(url)
        # A connection for each call would take most of a test's time; on SQLite it takes none.
        self.database = Database(place, pool_size=20 if place.get_backend_name() == "postgresql" else 0)
        self.now = START
        self.bots = Bots(self.database, clock=self._microseconds)
        self.history = History(self.database, clock=self._microseconds)
        self.recipients: RecipientStore = Recipients(self.database, clock=self._microseconds)
        self.people: RecipientBook = Book(self.database, clock=self._microseconds)
        self.pruning: PruneStore = Pruning(self.database, clock=self._microseconds)
        self.retentions: RetentionStore = Retentions(self.database)
        self.book = SchedulesBook(self.database, clock=self._microseconds)
        self.firing = FiringStore(self.database, clock=self._microseconds)
        self.enqueuer = Enqueuer(self.database, clock=self._microseconds)
        self.schedules = Schedules(self.book, self.firing, self.bots, within=self._within)
        self._stores: list[OutboxStore] = []
        self.store = self.new_store()
        self._bot_ids: dict[str, int] = {}

    def _microseconds(self) -> int:
        return (self.now - EPOCH) // MICROSECOND

    def _within(self, connection: object) -> Schedules:
        run = self.enqueuer.run_within(connection)
        book = SchedulesBook(self.database, clock=self._microseconds, run=run)
        firing = FiringStore(self.database, clock=self._microseconds, run=run)
        return Schedules(book, firing, self.bots, within=self._within)

    def new_store(self) -> OutboxStore:
        """Another store on the same database, as another worker has it."""
        store: OutboxStore
        if self.database.is_postgresql:
            from dovecote.stores.postgresql import PostgreSQLOutbox  # noqa: PLC0415 (an extra, as its users have it)

            store = PostgreSQLOutbox(self.database.url)
        else:
            from dovecote.stores.sqlite import SQLiteOutbox  # noqa: PLC0415 (beside the other)

            store = SQLiteOutbox(self.database.url, clock=self._microseconds)
        self._stores.append(store)
        return store

    async def stop_clock(self) -> None:
        """Let the store's time be `self.now`."""
        if self.database.is_postgresql:
            await self.sql(
                "CREATE OR REPLACE FUNCTION dovecote.clock() RETURNS timestamptz LANGUAGE sql VOLATILE"
                f" AS $$ SELECT '{self.now.isoformat()}'::timestamptz $$"
            )

    async def advance(self, seconds: float) -> None:
        """Move the store's time."""
        self.now += timedelta(seconds=seconds)
        await self.stop_clock()

    async def close(self) -> None:
        await self.firing.close()
        for store in self._stores:
            await store.close()
        await self.database.close()

    async def sql(self, statement: str) -> None:
        """Execute one statement."""
        await self.database.run(lambda connection: connection.execute(text(statement)), write=True)

    # Writing.

    async def bot(
        self,
        name: str = "shop",
        *,
        pace: float | None = None,
        private: tuple[int, float] | None = None,
        group: tuple[int, float] | None = None,
    ) -> Bot:
        """Add a bot, without any limit unless given."""
        bot = await self.bots.add_bot(name, token_variable="TOKEN", pace=pace, private_limit=private, group_limit=group)
        self._bot_ids[name] = bot.id
        return bot

    async def put(
        self, *ids: int, bot: str = "shop", chat: str | None = "7", planned: float = 0, **columns: Any
    ) -> None:
        """Insert notifications as they are after an enqueue. `planned` is in seconds from the test's beginning."""
        await self.put_rows([{"id": id_, "chat": chat, **columns} for id_ in ids], bot=bot, planned=planned)

    async def put_rows(self, rows: Sequence[dict[str, Any]], *, bot: str = "shop", planned: float = 0) -> None:
        """Insert many. A row names at least its id; what it does not name is as in a plain enqueue."""
        complete = [
            {
                "bot_id": self._bot_ids[bot],
                "chat": None,
                "method": "sendMessage",
                "params": {"text": "hello"},
                "key": None,
                "labels": None,
                "priority": 1,
                "at_most_once": False,
                "enqueued_at": START,
                "planned_at": at(planned),
                "due_at": row.get("planned_at", at(planned)),
                "expires_at": None,
                "weight": 1,
                "lost_leases": 0,
                "attempts": 0,
                **row,
            }
            for row in rows
        ]
        notification = self.database.tables.notification
        await self.database.run(lambda c: c.execute(notification.insert(), complete), write=True)

    async def put_history(self, rows: Sequence[dict[str, Any]], *, bot: str = "shop") -> None:
        """Insert rows of the history."""
        complete = [
            {
                "bot_id": self._bot_ids[bot],
                "chat": None,
                "method": "sendMessage",
                "params": {"text": "hello"},
                "priority": 1,
                "at_most_once": False,
                "enqueued_at": START,
                "planned_at": START,
                "attempts": 1,
                "settled_at": START,
                "took": 0.25,
                **row,
            }
            for row in rows
        ]
        history = self.database.tables.history
        await self.database.run(lambda c: c.execute(history.insert(), complete), write=True)

    async def stop_bot(self, reason: str, name: str = "shop") -> None:
        """Let the bot be stopped, as after a 401."""
        bot = self.database.tables.bot
        statement = bot.update().where(bot.c.name == name).values(stopped_reason=reason)
        await self.database.run(lambda connection: connection.execute(statement), write=True)

    async def tell(self, chat: str, **known: Any) -> None:
        """Tell what is known of a recipient of "shop"."""
        await self.people.tell("shop", [RecipientChange(chat=chat, **known)])

    # The store.

    async def claim(
        self, count: int = 100, *, store: OutboxStore | None = None, alone: bool = False
    ) -> list[ClaimedNotification]:
        """Claim under a lease of 60 s, and answer in the order of the slots."""
        cycle = await (store or self.store).cycle([], claim=count, lease=LEASE, alone=alone)
        return sorted(cycle.claimed, key=lambda claimed: (claimed.send_in, claimed.slot or 0, claimed.id))

    async def claim_one(self, *, store: OutboxStore | None = None, alone: bool = False) -> ClaimedNotification:
        """Claim, and find exactly one."""
        (claimed,) = await self.claim(store=store, alone=alone)
        return claimed

    async def settle(self, *settlements: Settlement, store: OutboxStore | None = None) -> Cycle:
        """Settle and claim nothing."""
        return await (store or self.store).cycle(settlements, claim=0, lease=LEASE)

    async def deliver(self, *claimed: ClaimedNotification, store: OutboxStore | None = None) -> Cycle:
        """Settle as delivered and claim nothing."""
        return await self.settle(*map(delivered, claimed), store=store)

    # Reading.

    async def rows(self, table: str) -> list[Row[Any]]:
        """All rows of a table, by its primary key."""
        which = getattr(self.database.tables, table)

        def read(connection: Connection) -> list[Row[Any]]:
            return list(connection.execute(select(which).order_by(*which.primary_key)))

        return await self.database.run(read)

    async def waiting(self, id_: int) -> Row[Any]:
        """The notification's row in the outbox; there must be one."""
        (row,) = [row for row in await self.rows("notification") if row.id == id_]
        return row

    async def settled(self, id_: int) -> Row[Any]:
        """The notification's row in the history; there must be one."""
        (row,) = [row for row in await self.rows("history") if row.id == id_]
        return row

    async def places(self) -> dict[int, str]:
        """Where each notification is: `waiting` or `leased` in the outbox, else its outcome in the history."""
        outbox = {row.id: "waiting" if row.lease_token is None else "leased" for row in await self.rows("notification")}
        history = {row.id: row.outcome for row in await self.rows("history")}
        assert not outbox.keys() & history.keys(), "a notification is in the outbox and in the history"
        return outbox | history

    async def attempts(self, id_: int) -> list[tuple[int, str]]:
        """Number and outcome of each row of `attempt`."""
        return [(row.number, row.outcome) for row in await self.rows("attempt") if row.notification_id == id_]


def settlement(claimed: ClaimedNotification, outcome: Outcome, retry_in: float | None = None) -> Settlement:
    """A settlement of a request that took a quarter of a second."""
    return Settlement(claimed, outcome, None if retry_in is None else timedelta(seconds=retry_in), took=0.25)


def delivered(claimed: ClaimedNotification, *message_ids: int) -> Settlement:
    """Telegram accepted it."""
    return settlement(claimed, Delivered(message_ids or (1000 + claimed.id,)))


def failed(claimed: ClaimedNotification, retry_in: float | None = None) -> Settlement:
    """It was not sent."""
    return settlement(claimed, Failed("connection refused"), retry_in)


def ids(claimed: Sequence[ClaimedNotification]) -> list[int]:
    """Their ids."""
    return [each.id for each in claimed]
