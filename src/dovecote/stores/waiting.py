"""Why a notification is not sent now: the conditions of a claim, asked for one row.

The rules are those of `postgresql_cycle` and `sqlite_judgement`. What a claim meets it decides for good; what is told
here may have changed a moment later.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import literal, select, tuple_

from dovecote.model import Waiting, WaitReason
from dovecote.zones import quiet_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.model import Attempt
    from dovecote.stores.tables import Tables

# Outcomes after which a notification is tried again later.
COUNTED = {"failed", "unknown"}


def what_holds(
    connection: Connection, tables: Tables, row: Row[Any], attempts: Sequence[Attempt], now: datetime
) -> tuple[Waiting, ...]:
    """Everything that keeps this row of the outbox from being sent now; nothing for one that a worker has."""
    lost = row.lease_token is not None
    if lost and row.due_at > now:
        return ()
    bot = connection.execute(select(tables.bot).where(tables.bot.c.id == row.bot_id)).one()
    held: list[Waiting] = []
    if not lost and row.planned_at > now:
        # What quiet hours hold up is planned for their end.
        reason = WaitReason.QUIET_HOURS if _is_quiet(connection, tables, row, bot, now) else WaitReason.SCHEDULED
        held.append(Waiting(reason, row.planned_at if reason is WaitReason.SCHEDULED else row.due_at))
    elif not lost:
        # What its lease was lost for is what its chat has in flight: it waits for none of these.
        held += _in_its_chat(connection, tables, row, bot, now)
        own = list(_by_its_last_attempt(row, attempts, now))
        if any(one.reason is WaitReason.SNOOZED for one in own):
            # The 429 that its chat waits for was its own: it is told once.
            held = [one for one in held if one.reason is not WaitReason.CHAT_HALTED]
        held = [*own, *held]
        if not held and row.due_at > now:
            reason = WaitReason.UPLOAD if _is_uploaded(connection, tables, row, now) else WaitReason.TURN
            held.append(Waiting(reason, row.due_at))
    return tuple(_with_the_bots(held, row, bot, now))


def _by_its_last_attempt(row: Row[Any], attempts: Sequence[Attempt], now: datetime) -> Iterator[Waiting]:
    last = attempts[-1] if attempts else None
    if row.due_at <= now or last is None or last.number != row.attempts:
        return
    if last.outcome in COUNTED:
        count = f"{row.failures} failure{'' if row.failures == 1 else 's'}"
        yield Waiting(WaitReason.BACKOFF, row.due_at, detail=count)
    elif last.outcome == "snoozed":
        yield Waiting(WaitReason.SNOOZED, row.due_at, detail=last.error or "")


def _is_quiet(connection: Connection, tables: Tables, row: Row[Any], bot: Row[Any], now: datetime) -> bool:
    """Whether the quiet hours that hold now end when it is due."""
    recipient = tables.recipient.c
    hours = (recipient.zone, recipient.quiet_from, recipient.quiet_until)
    here = (recipient.bot_id == row.bot_id, recipient.chat == row.chat, recipient.quiet_from.is_not(None))
    own = connection.execute(select(*hours).where(*here)).one_or_none()
    if own is None or row.quiet in {"silent", "pass"}:
        return False
    end = quiet_end(now.replace(tzinfo=None), own.zone or bot.zone or "UTC", own.quiet_from, own.quiet_until)
    return end is not None and row.due_at.replace(tzinfo=None) == end


def _is_uploaded(connection: Connection, tables: Tables, row: Row[Any], now: datetime) -> bool:
    """Whether a file of it is being uploaded for its bot."""
    attachment, file, known = tables.files.attachment, tables.files.file, tables.files.file_id
    under_way = (
        select(known.c.sha256)
        .join(file, file.c.sha256 == known.c.sha256)
        .join(attachment, attachment.c.file_id == file.c.id)
        .where(attachment.c.notification_id == row.id, known.c.bot_id == row.bot_id)
        .where(known.c.file_id.is_(None), known.c.upload_until > now)
        .limit(1)
    )
    return connection.execute(under_way).first() is not None


def _in_its_chat(
    connection: Connection, tables: Tables, row: Row[Any], bot: Row[Any], now: datetime
) -> Iterator[Waiting]:
    if row.chat is None:
        return
    before = _before_it(connection, tables, row)
    if before is not None:
        detail = "waiting" if before.lease_token is None else "leased"
        yield Waiting(WaitReason.BLOCKED, before.due_at, behind=before.id, detail=detail)
    wait = tables.chat_wait.c
    told: datetime | None = connection.execute(
        select(wait.until).where(wait.bot_id == row.bot_id, wait.chat == row.chat)
    ).scalar()
    if told is not None and told > now:
        yield Waiting(WaitReason.CHAT_HALTED, told)
    paced_until = _paced_until(connection, tables, row, bot)
    if paced_until is not None and paced_until > now:
        yield Waiting(WaitReason.CHAT_LIMIT, paced_until)


def _before_it(connection: Connection, tables: Tables, row: Row[Any]) -> Any:
    """The one of its chat that is leased, or else the first of those that must go before it; None without either."""
    other = tables.notification.c
    of_chat = (
        select(other.id, other.due_at, other.lease_token)
        .where(other.bot_id == row.bot_id, other.chat == row.chat, other.id != row.id)
        .limit(1)
    )
    found: Any = connection.execute(of_chat.where(other.lease_token.is_not(None))).one_or_none()
    place = tuple_(literal(row.planned_at, other.planned_at.type), literal(row.id, other.id.type))
    for priority in range(row.priority + 1):
        if found is None:
            older = of_chat.where(other.priority == priority, tuple_(other.planned_at, other.id) < place)
            found = connection.execute(older.order_by(other.planned_at, other.id)).one_or_none()
    return found


def _paced_until(connection: Connection, tables: Tables, row: Row[Any], bot: Row[Any]) -> datetime | None:
    """When the limit of its chat allows the next one; None where there is no limit or too few were sent."""
    group = row.chat.startswith(("-", "@"))
    count, window = (bot.group_count, bot.group_window) if group else (bot.private_count, bot.private_window)
    if count is None:
        return None
    history = tables.history.c
    settled_at: datetime | None = connection.execute(
        select(history.settled_at)
        .where(history.bot_id == row.bot_id, history.chat == row.chat)
        .order_by(history.settled_at.desc())
        .offset(count - 1)
        .limit(1)
    ).scalar()
    return None if settled_at is None else settled_at + timedelta(seconds=window)


def _with_the_bots(held: Sequence[Waiting], row: Row[Any], bot: Row[Any], now: datetime) -> Iterator[Waiting]:
    """Add what holds the whole bot, where it does not end before this one is due anyway."""
    halted = bot.halted_until is not None and bot.halted_until > now and bot.halted_until >= row.due_at
    # A 429 for the whole bot makes wait the one that met it, too: it is told once.
    yield from (one for one in held if not (halted and one.reason is WaitReason.SNOOZED))
    if bot.stopped_reason is not None:
        yield Waiting(WaitReason.STOPPED, detail=bot.stopped_reason)
    if halted:
        yield Waiting(WaitReason.HALTED, bot.halted_until)
    free = not held and bot.stopped_reason is None and not halted
    if free and bot.pace is not None and bot.next_slot_at > now:
        yield Waiting(WaitReason.PACED, bot.next_slot_at)
