"""The statements of enqueue and the order in which they run, written once for every kind of connection.

A generator yields a `Query` and is sent its rows, so the same steps run over drivers that block and drivers that are
awaited. What they promise:

- nothing is touched that another transaction needs: no row of a bot, and on PostgreSQL no counter but the sequence;
- keys are written in one order, by bot and then by code points, over all chunks of a call. Two calls with the same
  keys may wait for each other and cannot deadlock;
- ids grow in the order of the input, and all that a call writes carries the same time;
- a key that is taken answers the id of the first. It may have been taken after the snapshot of the statement: that
  one then sees neither the key nor the id, and a second look finds them. (Under REPEATABLE READ PostgreSQL answers
  with a serialization failure instead.) The taken key stays locked until the transaction ends, so it cannot go away
  between the two looks.

On PostgreSQL every parameter is text, so that no driver's idea of a type and no codec of the application's comes
between. The rows are one JSON array.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import text

from dovecote.errors import NotMigrated
from dovecote.stores.enqueue_batch import CHUNK
from dovecote.stores.tables import MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from datetime import timedelta

    from dovecote.model import TraceContext
    from dovecote.stores.enqueue_batch import Batch

T = TypeVar("T")


class Statement:
    """SQL with named parameters, in the notation of each way to run it."""

    def __init__(self, sql: str) -> None:
        self.named = sql
        self.names = tuple(dict.fromkeys(re.findall(r":(\w+)", sql)))
        self.text = text(sql)
        self.answers = not sql.lstrip().startswith("INSERT")
        """Whether it answers rows, which a driver in a pipeline does not know beforehand."""

    @cached_property
    def numbered(self) -> str:
        """With `$1`, `$2` and so on, in the order of `names`."""
        return re.sub(r":(\w+)", lambda name: f"${self.names.index(name[1]) + 1}", self.named)

    @cached_property
    def formatted(self) -> str:
        """With `%(name)s`, as psycopg and Django write it."""
        return re.sub(r":(\w+)", r"%(\1)s", self.named.replace("%", "%%"))


class Query(NamedTuple):
    """A statement with its parameters: text or None, and integers too on SQLite."""

    statement: Statement
    parameters: Mapping[str, str | int | None]


if TYPE_CHECKING:
    Rows = Sequence[Sequence[Any]]
    Steps = Generator[Query, Rows, T]

# Whether a table of that name can be seen, without an error that would end the caller's transaction.
POSTGRESQL_IS_INSTALLED = Statement("SELECT count(to_regclass('dovecote.installation'))")
POSTGRESQL_IS_INSTALLATION = Statement("SELECT count(*) FROM dovecote.installation WHERE id = CAST(:id AS text)")
POSTGRESQL_BOTS = Statement("""
SELECT n.place, b.id
FROM json_array_elements_text(CAST(CAST(:names AS text) AS json)) WITH ORDINALITY AS n (name, place)
JOIN dovecote.bot b ON b.name = n.name
""")
POSTGRESQL_NAMES = Statement("SELECT name FROM dovecote.bot ORDER BY name LIMIT 20")

SQLITE_IS_INSTALLED = Statement("SELECT count(*) FROM sqlite_master WHERE name = 'dovecote_installation'")
SQLITE_IS_INSTALLATION = Statement("SELECT count(*) FROM dovecote_installation WHERE id = :id")
SQLITE_BOTS = Statement("""
SELECT n.key + 1, b.id FROM json_each(:names) n JOIN dovecote_bot b ON b.name = n.value
""")
SQLITE_NAMES = Statement("SELECT name FROM dovecote_bot ORDER BY name LIMIT 20")

POSTGRESQL_TAKE_IDS = Statement("""
SELECT string_agg(CAST(nextval('dovecote.notification_id_seq') AS text), ',' ORDER BY n)
FROM generate_series(1, CAST(CAST(:count AS text) AS int)) AS n
""")

# Answers the ids in the order of the rows, with nothing for a key that was taken meanwhile, and its time.
POSTGRESQL_ENQUEUE = Statement("""
WITH clock AS MATERIALIZED (
    SELECT coalesce(
        TIMESTAMP WITH TIME ZONE 'epoch' + CAST(CAST(:now AS text) AS bigint) * INTERVAL '1 microsecond',
        dovecote.clock()
    ) AS now
),
asked AS MATERIALIZED (
    SELECT coalesce(r.id, nextval('dovecote.notification_id_seq')) AS id, r.place, r.bot_id, r.chat, r.method,
        r.params, r.key, r.labels, coalesce(r.priority, 1) AS priority, coalesce(r.at_most_once, false) AS at_most_once,
        coalesce(r.weight, 1) AS weight, clock.now,
        greatest(TIMESTAMP WITH TIME ZONE 'epoch' + r.due_at * INTERVAL '1 microsecond', clock.now) AS due_at,
        TIMESTAMP WITH TIME ZONE 'epoch' + r.expires_at * INTERVAL '1 microsecond' AS expires_at,
        r.category, r.quiet
    FROM ROWS FROM (
        json_to_recordset(CAST(CAST(:rows AS text) AS json)) AS (
            id bigint, bot_id int, chat text, method text, params json, key text, labels text[], priority smallint,
            at_most_once boolean, weight smallint, due_at bigint, expires_at bigint, category text, quiet text
        )
    ) WITH ORDINALITY AS r (
        id, bot_id, chat, method, params, key, labels, priority, at_most_once, weight, due_at, expires_at,
        category, quiet, place
    ), clock
),
new_key AS (
    INSERT INTO dovecote.notification_key AS k (bot_id, key, notification_id, expires_at)
    SELECT a.bot_id, a.key, a.id, a.now + CAST(CAST(:window AS text) AS bigint) * INTERVAL '1 microsecond'
    FROM asked a
    WHERE a.key IS NOT NULL
    ORDER BY a.bot_id, a.key COLLATE "C" -- the order in which every enqueue waits for the same keys
    ON CONFLICT (bot_id, key) DO UPDATE
    SET notification_id = excluded.notification_id, expires_at = excluded.expires_at
    WHERE k.expires_at <= (SELECT now FROM clock)
    RETURNING notification_id
),
written AS (
    INSERT INTO dovecote.notification (
        id, bot_id, chat, method, params, key, labels, priority, at_most_once, enqueued_at, planned_at, expires_at,
        weight, due_at, category, quiet
    )
    SELECT a.id, a.bot_id, a.chat, a.method, a.params, a.key, a.labels, a.priority, a.at_most_once, a.now, a.due_at,
        a.expires_at, a.weight, a.due_at, a.category, a.quiet
    FROM asked a
    WHERE a.key IS NULL OR a.id IN (SELECT notification_id FROM new_key)
    RETURNING due_at
),
woken AS MATERIALIZED (
    SELECT pg_notify('dovecote', '')
    FROM clock
    WHERE EXISTS (SELECT FROM dovecote.idle_worker w WHERE w.until > clock.now)
      AND EXISTS (SELECT FROM written w WHERE w.due_at <= clock.now)
),
answered AS (
    SELECT a.place, a.now, CASE
        WHEN a.key IS NULL OR a.id IN (SELECT notification_id FROM new_key) THEN a.id
        ELSE (
            SELECT k.notification_id FROM dovecote.notification_key k
            WHERE k.bot_id = a.bot_id AND k.key = a.key AND k.expires_at > a.now
        )
    END AS id
    FROM asked a
)
SELECT string_agg(coalesce(CAST(id AS text), ''), ',' ORDER BY place),
    CAST(CAST(extract(epoch FROM max(now)) * 1000000 AS bigint) AS text), (SELECT count(*) FROM woken)
FROM answered
""")

# What was committed after the snapshot of the statement before.
POSTGRESQL_LOOK_AGAIN = Statement("""
SELECT string_agg(CAST(k.notification_id AS text), ',' ORDER BY a.place)
FROM ROWS FROM (
    json_to_recordset(CAST(CAST(:keys AS text) AS json)) AS (bot_id int, key text)
) WITH ORDINALITY AS a (bot_id, key, place)
JOIN dovecote.notification_key k ON k.bot_id = a.bot_id AND k.key = a.key
""")

# The share lock keeps them from being removed until the caller's transaction has ended; nobody who shares it waits.
POSTGRESQL_FILES = Statement("""
SELECT f.id, f.size, f.content_type
FROM dovecote.file f
WHERE f.id IN (SELECT CAST(n.value AS bigint) FROM json_array_elements_text(CAST(CAST(:ids AS text) AS json)) AS n)
ORDER BY f.id
FOR KEY SHARE OF f
""")
POSTGRESQL_ATTACH = Statement("""
INSERT INTO dovecote.attachment (notification_id, position, file_id, field)
SELECT r.notification_id, r.position, r.file_id, r.field
FROM json_to_recordset(CAST(CAST(:rows AS text) AS json)) AS r (
    notification_id bigint, position smallint, file_id bigint, field text
)
""")

POSTGRESQL_TRACE = Statement("""
INSERT INTO dovecote.trace_context (notification_id, traceparent, tracestate)
SELECT CAST(n.value AS bigint), CAST(:traceparent AS text), CAST(:tracestate AS text)
FROM json_array_elements_text(CAST(CAST(:ids AS text) AS json)) AS n
""")

SQLITE_FILES = Statement("""
SELECT f.id, f.size, f.content_type FROM json_each(:ids) i CROSS JOIN dovecote_file f ON f.id = i.value
""")
SQLITE_ATTACH = Statement("""
INSERT INTO dovecote_attachment (notification_id, position, file_id, field)
SELECT json_extract(value, '$.notification_id'), json_extract(value, '$.position'), json_extract(value, '$.file_id'),
    json_extract(value, '$.field')
FROM json_each(:rows)
""")

SQLITE_TRACE = Statement("""
INSERT INTO dovecote_trace_context (notification_id, traceparent, tracestate)
SELECT value, :traceparent, :tracestate FROM json_each(:ids)
""")

# The first statement, and the one that begins the transaction where the driver waits for a change: it takes the
# ids, and the lock that every writer on SQLite needs, before anything is read that must stay true.
SQLITE_TAKE_IDS = Statement("""
UPDATE sqlite_sequence SET seq = seq + :count WHERE name = 'dovecote_notification' RETURNING seq
""")
SQLITE_TAKEN_KEYS = Statement("""
SELECT r.key, k.notification_id
FROM json_each(:rows) r
CROSS JOIN dovecote_notification_key k
    ON k.bot_id = json_extract(r.value, '$.bot_id') AND k.key = json_extract(r.value, '$.key')
WHERE k.expires_at > :now
""")
SQLITE_WRITE_KEYS = Statement("""
INSERT INTO dovecote_notification_key (bot_id, key, notification_id, expires_at)
SELECT json_extract(value, '$.bot_id'), json_extract(value, '$.key'), json_extract(value, '$.id'), :expires_at
FROM json_each(:rows)
WHERE json_extract(value, '$.key') IS NOT NULL
ON CONFLICT (bot_id, key) DO UPDATE
SET notification_id = excluded.notification_id, expires_at = excluded.expires_at
WHERE expires_at <= :now
""")
# After the keys: a row is written if it has none, or if its key is its own.
SQLITE_WRITE = Statement("""
INSERT INTO dovecote_notification (
    id, bot_id, chat, method, params, key, labels, priority, at_most_once, enqueued_at, planned_at, expires_at,
    weight, due_at, category, quiet
)
SELECT r.id, r.bot_id, r.chat, r.method, r.params, r.key, r.labels, r.priority, r.at_most_once, :now, r.due_at,
    r.expires_at, r.weight, r.due_at, r.category, r.quiet
FROM (
    SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.bot_id') AS bot_id,
        json_extract(value, '$.chat') AS chat, json_extract(value, '$.method') AS method,
        json_extract(value, '$.params') AS params, json_extract(value, '$.key') AS "key",
        json_extract(value, '$.labels') AS labels, coalesce(json_extract(value, '$.priority'), 1) AS priority,
        coalesce(json_extract(value, '$.at_most_once'), 0) AS at_most_once,
        max(coalesce(json_extract(value, '$.due_at'), :now), :now) AS due_at,
        json_extract(value, '$.expires_at') AS expires_at, coalesce(json_extract(value, '$.weight'), 1) AS weight,
        json_extract(value, '$.category') AS category, json_extract(value, '$.quiet') AS quiet
    FROM json_each(:rows)
) r
WHERE r."key" IS NULL OR r.id = (
    SELECT k.notification_id FROM dovecote_notification_key k WHERE k.bot_id = r.bot_id AND k.key = r."key"
)
""")


def is_installation(installation: str, *, postgresql: bool) -> Steps[bool]:
    """Whether the connection leads to that outbox."""
    there = yield Query(POSTGRESQL_IS_INSTALLED if postgresql else SQLITE_IS_INSTALLED, {})
    if not there[0][0]:
        return False
    same = yield Query(POSTGRESQL_IS_INSTALLATION if postgresql else SQLITE_IS_INSTALLATION, {"id": installation})
    return bool(same[0][0])


def bot_ids(names: Sequence[str], *, postgresql: bool) -> Steps[dict[str, int]]:
    """The ids of those bots among `names` that there are."""
    parameters = {"names": json.dumps(names)}
    rows = yield Query(POSTGRESQL_BOTS if postgresql else SQLITE_BOTS, parameters)
    return {names[place - 1]: bot_id for place, bot_id in rows}


def bot_names(*, postgresql: bool) -> Steps[list[str]]:
    """The first names of bots, for whoever asked for one that there is not."""
    rows = yield Query(POSTGRESQL_NAMES if postgresql else SQLITE_NAMES, {})
    # An application may have told its sqlite3 connection to answer bytes.
    return [name.decode() if isinstance(name, bytes) else name for (name,) in rows]


def check_files(batch: Batch, *, largest_upload: int, postgresql: bool) -> Steps[None]:
    """Raise UnknownFile, FileTooLarge or InvalidNotification for a stored file that cannot be sent.

    On PostgreSQL they cannot be removed until the transaction ends; on SQLite its lock has to be held already.
    """
    statement = POSTGRESQL_FILES if postgresql else SQLITE_FILES
    rows = yield Query(statement, {"ids": json.dumps(batch.files)})
    # An application may have told its sqlite3 connection to answer bytes.
    types = [kind.decode() if isinstance(kind, bytes) else kind for _, _, kind in rows]
    batch.check_files({row[0]: (row[1], kind) for row, kind in zip(rows, types, strict=True)}, largest=largest_upload)


def write_postgresql(
    batch: Batch, bots: Mapping[str, int], window: timedelta, *, largest_upload: int
) -> Steps[list[int]]:
    """Write a batch, and answer the id of each notification. Keys are remembered for `window`.

    Files of more than `largest_upload` bytes are refused.
    """
    answer = [0] * len(batch)
    ids: list[int] | None = None
    places = batch.in_input_order()
    if batch.files:
        yield from check_files(batch, largest_upload=largest_upload, postgresql=True)
    if batch.keys and (len(places) > CHUNK or batch.files or batch.trace):
        # The order of the keys and the order of the ids part here, so the ids are taken beforehand; and one that is
        # answered tells by its own whether it was written.
        rows = yield Query(POSTGRESQL_TAKE_IDS, {"count": str(len(batch))})
        ids = _integers(rows[0][0])
        places = batch.in_key_order(bots)
    now: str | None = None
    for chunk, json_rows in batch.chunks(places, bots, ids):
        parameters = {"rows": json_rows, "window": str(window // MICROSECOND), "now": now}
        ((written, now, _),) = yield Query(POSTGRESQL_ENQUEUE, parameters)
        missed = []
        for place, found in zip(chunk, written.split(","), strict=True):
            if found:
                answer[place] = int(found)
            else:
                missed.append(place)
        if missed:
            keys = [{"bot_id": bots[bot], "key": key} for bot, key in batch.keys_of(missed)]
            ((written,),) = yield Query(POSTGRESQL_LOOK_AGAIN, {"keys": json.dumps(keys)})
            for place, notification_id in zip(missed, _integers(written), strict=True):
                answer[place] = notification_id
        new = {place: answer[place] for place in chunk if ids is None or answer[place] == ids[place]}
        if batch.files and (attachments := batch.attachments(new)):
            yield Query(POSTGRESQL_ATTACH, {"rows": attachments})
        if batch.trace and new:
            yield Query(POSTGRESQL_TRACE, _trace(batch.trace, new))
    return _with_repeats(answer, batch)


def write_sqlite(
    batch: Batch, bots: Mapping[str, int], window: timedelta, now: int, *, largest_upload: int
) -> Steps[list[int]]:
    """Write a batch at `now`, in microseconds since the epoch, and answer the id of each notification.

    Files of more than `largest_upload` bytes are refused.
    """
    rows = yield Query(SQLITE_TAKE_IDS, {"count": len(batch)})
    if not rows:
        raise NotMigrated("the outbox has lost the counter of its ids, a row of sqlite_sequence: restore a backup.")
    last = rows[0][0]
    ids = list(range(last - len(batch) + 1, last + 1))
    answer = list(ids)
    if batch.files:
        yield from check_files(batch, largest_upload=largest_upload, postgresql=False)
    for chunk, json_rows in batch.chunks(batch.in_input_order(), bots, ids):
        if batch.keys:
            taken = yield Query(SQLITE_TAKEN_KEYS, {"rows": json_rows, "now": now})
            for number, notification_id in taken:
                answer[chunk[number]] = notification_id
            expiry = {"expires_at": now + window // MICROSECOND}
            yield Query(SQLITE_WRITE_KEYS, {"rows": json_rows, "now": now, **expiry})
        yield Query(SQLITE_WRITE, {"rows": json_rows, "now": now})
        new = {place: answer[place] for place in chunk if answer[place] == ids[place]}
        if batch.files and (attachments := batch.attachments(new)):
            yield Query(SQLITE_ATTACH, {"rows": attachments})
        if batch.trace and new:
            yield Query(SQLITE_TRACE, _trace(batch.trace, new))
    return _with_repeats(answer, batch)


def _trace(trace: TraceContext, new: Mapping[int, int]) -> dict[str, str | None]:
    """The parameters that write the trace of the notifications that are new, whose ids are the values."""
    return {"ids": json.dumps([*new.values()]), "traceparent": trace.traceparent, "tracestate": trace.tracestate}


def _with_repeats(answer: list[int], batch: Batch) -> list[int]:
    for place, first in batch.repeats.items():
        answer[place] = answer[first]
    return answer


def _integers(joined: str) -> list[int]:
    return [int(number) for number in joined.split(",")]
