"""`dovecote doctor`: looks at everything that Dovecote stands on, and says of each what was found and what helps.

Each examination stands by itself: one that fails is a finding, and the others go on.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dovecote.channels.telegram import TelegramChannel
from dovecote.channels.telegram_files import TELEGRAMS_HOST
from dovecote.errors import DovecoteError, LeaseStoreUnavailable, StorageUnavailable, StoreUnavailable, TokenUnreadable
from dovecote.model import (
    BotStopped,
    ClaimedNotification,
    Delivered,
    DeliveryPolicy,
    Failed,
    Finding,
    Severity,
    Snoozed,
)
from dovecote.redaction import redact
from dovecote.stores.clock import real_microseconds
from dovecote.stores.health import DatabaseHealth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from dovecote.app import Dovecote
    from dovecote.model import Bloat, Bot, DatabaseVitals, LeadershipReport, Outcome, Stats

PATIENCE_SECONDS = 15.0
CLOCKS_DIFFER_SECONDS = 5.0
"""Dovecote itself goes by the database's clock; schedules that an application computes by its own would be off."""
SLOW_ROUND_TRIP_SECONDS = 0.05
OLD_SNAPSHOT_SECONDS = 300.0
DEAD_SHARE = 0.5
FEW_ROWS = 10_000
CONNECTIONS_SHARE = 0.9
WAITING_SECONDS = 60.0
TELEGRAMS_PACE = 30.0
BOTS_AT_ONCE = 20
AWAY = {
    "database": "see whether the server runs and lets this machine in, and whether database.url leads to it.",
    "redis": "see whether it runs and redis.url leads to it. While it is away nobody is elected; deliveries go on.",
    "storage": "see whether the store runs and storage.url leads to it. What needs no file goes on.",
}
"""What helps where something does not answer; its own words after a colon are no help."""


async def examine(dovecote: Dovecote) -> list[Finding]:
    """Examine all of it; the findings are in the order in which they should be mended. Raises nothing of what fails."""
    findings = await _each("database", lambda: _database(dovecote))
    if any(finding.severity is Severity.PROBLEM for finding in findings):
        return findings  # All else is asked of the database.
    for subject, examination in (
        ("listen", _listen),
        ("leader", _leader),
        ("redis", _redis),
        ("storage", _storage),
        ("bots", _bots),
        ("outbox", _outbox),
    ):
        findings += await _each(subject, partial(examination, dovecote))
    return findings


async def _each(subject: str, examination: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await examination()
    except TimeoutError:
        return [
            Finding(
                subject,
                Severity.PROBLEM,
                f"no answer within {PATIENCE_SECONDS:g} s",
                "see whether the network and the server let this machine through.",
            )
        ]
    except DovecoteError as error:
        return [problem_of(subject, error)]


def problem_of(subject: str, error: DovecoteError) -> Finding:
    """Of an error of ours: what helps stands after its last colon, unless that is what a server has said."""
    words = redact(str(error))
    if isinstance(error, (StoreUnavailable, LeaseStoreUnavailable, StorageUnavailable)):
        return Finding(subject, Severity.PROBLEM, words, AWAY.get(subject, AWAY["database"]))
    return Finding(subject, Severity.PROBLEM, words, words.rpartition(": ")[2])


async def _database(dovecote: Dovecote) -> list[Finding]:
    await dovecote.database.check_migrated()
    return list(database_findings(await DatabaseHealth(dovecote.database, now=real_microseconds).vitals()))


def database_findings(vitals: DatabaseVitals) -> Iterable[Finding]:
    """What the database's own answers mean."""
    trip = f"{vitals.round_trip * 1000:.1f} ms"
    if vitals.round_trip > SLOW_ROUND_TRIP_SECONDS:
        yield Finding(
            "database",
            Severity.WARNING,
            f"{vitals.version}, migrated; a round trip takes {trip}",
            "run workers near the database: each cycle of a worker is one round trip.",
        )
    else:
        yield Finding("database", Severity.OK, f"{vitals.version}, migrated; a round trip takes {trip}")
    if abs(vitals.ahead) > CLOCKS_DIFFER_SECONDS:
        yield Finding(
            "clock",
            Severity.WARNING,
            f"the database's clock is {abs(vitals.ahead):.1f} s {'ahead of' if vitals.ahead > 0 else 'behind'} this"
            " machine's",
            "let both be set by NTP. Deliveries go by the database's clock; what your application computes does not.",
        )
    else:
        yield Finding("clock", Severity.OK, f"the database's and this machine's differ by {abs(vitals.ahead):.3f} s")
    oldest = vitals.oldest_snapshot
    if oldest is not None and oldest.seconds > OLD_SNAPSHOT_SECONDS:
        yield Finding(
            "snapshot",
            Severity.WARNING,
            f"{oldest.holder} has held a snapshot for {timedelta(seconds=round(oldest.seconds))}",
            "end that transaction: no dead row is cleaned away meanwhile, and the claim has to step over them.",
        )
    else:
        age = "none is held" if oldest is None else f"the oldest is {oldest.seconds:.1f} s old"
        yield Finding("snapshot", Severity.OK, age)
    yield from _bloat_findings(vitals.bloat)
    used, most = vitals.connections, vitals.most_connections
    if used is not None and most is not None and used > CONNECTIONS_SHARE * most:
        yield Finding(
            "connections",
            Severity.WARNING,
            f"{used} of {most} connections are in use",
            "raise max_connections, or put a pooler in front and set worker.listen = false.",
        )


def _bloat_findings(bloat: Iterable[Bloat]) -> Iterable[Finding]:
    bad = [each for each in bloat if each.share > DEAD_SHARE and each.total > FEW_ROWS]
    for each in bad:
        cleaned = (
            "" if each.last_cleaned is None else f"; last cleaned {timedelta(seconds=round(each.last_cleaned))} ago"
        )
        yield Finding(
            "bloat",
            Severity.WARNING,
            f"{each.share:.0%} of {each.subject} is dead ({each.total:,} in all){cleaned}",
            "run VACUUM, look for an old snapshot, and let autovacuum come more often to this table.",
        )
    if not bad:
        yield Finding("bloat", Severity.OK, f"no more than {DEAD_SHARE:.0%} of any table of over {FEW_ROWS:,} is dead")


async def _listen(dovecote: Dovecote) -> list[Finding]:
    if not dovecote.settings.worker.listen:
        return [Finding("listen", Severity.OK, "switched off by worker.listen: workers poll")]
    heard = await DatabaseHealth(dovecote.database, now=real_microseconds).hears()
    if heard is None:
        return []
    if heard:
        return [Finding("listen", Severity.OK, "LISTEN and NOTIFY work")]
    return [
        Finding(
            "listen",
            Severity.PROBLEM,
            "what is told by NOTIFY is not heard by LISTEN",
            "set worker.listen = false where a transaction pooler is in between: workers poll then.",
        )
    ]


async def _leader(dovecote: Dovecote) -> list[Finding]:
    return list(leader_findings(await dovecote.leadership()))


def leader_findings(report: LeadershipReport) -> Iterable[Finding]:
    """What it means who leads."""
    alive = [peer for peer in report.instances if not peer.stale]
    versions = sorted({peer.version for peer in alive})
    if report.problem is not None:
        yield Finding(
            "leader",
            Severity.PROBLEM,
            redact(report.problem),
            AWAY["redis" if report.elected_by == "redis" else "database"],
        )
    elif report.leader is None:
        yield Finding(
            "leader",
            Severity.WARNING,
            f"nobody leads; {len(alive)} instances are alive: no schedule fires and nothing is cleaned up",
            "start `dovecote run` or `dovecote worker`; with instances alive, look into their logs.",
        )
    else:
        yield Finding("leader", Severity.OK, f"{report.leader} leads in term {report.term}; {len(alive)} instances")
    if len(versions) > 1:
        yield Finding(
            "versions",
            Severity.WARNING,
            f"instances of several versions are alive: {', '.join(versions)}",
            "finish the deploy.",
        )


async def _redis(dovecote: Dovecote) -> list[Finding]:
    url = dovecote.settings.redis.url
    if url is None:
        return []
    from dovecote.leases.redis import RedisLease  # noqa: PLC0415 (an extra)

    lease = RedisLease(url, identity=dovecote.database.installation, timeout=timedelta(seconds=5))
    try:
        await lease.holder()
    finally:
        await lease.close()
    return [Finding("redis", Severity.OK, "it answers")]


async def _storage(dovecote: Dovecote) -> list[Finding]:
    await dovecote.storage.check()
    return [Finding("storage", Severity.OK, f"{dovecote.storage!r} is there and takes files")]


async def _bots(dovecote: Dovecote) -> list[Finding]:
    bots = await dovecote.bots()
    if not bots:
        return [Finding("bots", Severity.WARNING, "there is none", "add one with `dovecote bot add NAME`.")]
    telegram = dovecote.settings.telegram
    at_telegram = urlsplit(telegram.base_url).hostname == TELEGRAMS_HOST
    channel = TelegramChannel(telegram.base_url, max_connections=BOTS_AT_ONCE)
    turns = asyncio.Semaphore(BOTS_AT_ONCE)

    async def one(bot: Bot) -> list[Finding]:
        async with turns:
            found = [await _token(dovecote, channel, bot)]
        return [*found, *pace_findings(bot)] if at_telegram else found

    try:
        return [finding for found in await asyncio.gather(*map(one, bots)) for finding in found]
    finally:
        await channel.close()


async def _token(dovecote: Dovecote, channel: TelegramChannel, bot: Bot) -> Finding:
    """Ask Telegram who the bot is. It costs nothing of the bot's pace."""
    subject = f"bot {bot.name}"
    try:
        token = dovecote.unseal(bot)
    except TokenUnreadable as error:
        return problem_of(subject, error)
    question = ClaimedNotification(
        id=0,
        lease_token=0,
        bot_id=bot.id,
        bot=bot.name,
        chat=None,
        method="getMe",
        params="{}",
        delivery=DeliveryPolicy.AT_LEAST_ONCE,
        attempt=1,
        failures=0,
        send_in=0.0,
        slot=None,
    )
    outcome = await channel.send(question, token, timeout=timedelta(seconds=PATIENCE_SECONDS / 3))
    return bot_finding(bot, outcome)


def bot_finding(bot: Bot, outcome: Outcome) -> Finding:
    """What Telegram's answer to getMe means."""
    subject = f"bot {bot.name}"
    if isinstance(outcome, Delivered):
        if bot.stopped_reason is None:
            return Finding(subject, Severity.OK, "Telegram knows it by its token")
        return Finding(
            subject,
            Severity.PROBLEM,
            f"it is stopped ({redact(bot.stopped_reason)}), and Telegram takes its token again",
            f"start it with `dovecote bot token {bot.name}`: its notifications wait.",
        )
    if isinstance(outcome, BotStopped):
        return Finding(
            subject,
            Severity.PROBLEM,
            f"Telegram refuses its token: {redact(outcome.error)}",
            f"take a new token from @BotFather and give it with `dovecote bot token {bot.name}`.",
        )
    if isinstance(outcome, Snoozed):
        return Finding(
            subject,
            Severity.WARNING,
            f"Telegram makes it wait for {outcome.retry_after.total_seconds():g} s",
            "lower its pace, and see whether another program sends with the same token.",
        )
    words = redact(getattr(outcome, "error", "") or type(outcome).__name__)
    never = "the Bot API cannot be reached" if isinstance(outcome, Failed) else "the Bot API gave no proper answer"
    return Finding(
        subject, Severity.PROBLEM, f"{never}: {words}", "see telegram.base_url, and the way from here to there."
    )


def pace_findings(bot: Bot) -> Iterable[Finding]:
    """Whether Telegram's own servers would stand the bot's limits (core.telegram.org/bots/faq)."""
    loose = [
        name
        for name, value in (("private_limit", bot.private_limit), ("group_limit", bot.group_limit))
        if value is None
    ]
    if bot.pace is None or bot.pace > TELEGRAMS_PACE:
        pace = "no pace" if bot.pace is None else f"a pace of {bot.pace:g}/s"
        yield Finding(
            f"bot {bot.name}",
            Severity.WARNING,
            f"it has {pace}, and Telegram allows {TELEGRAMS_PACE:g}/s",
            f"`dovecote bot limits {bot.name} --pace {TELEGRAMS_PACE:g}`; more is for paid broadcasts.",
        )
    if loose:
        yield Finding(
            f"bot {bot.name}",
            Severity.WARNING,
            f"it has no {' and no '.join(loose)}, and Telegram limits each chat",
            f"give it the usual ones with `dovecote bot limits {bot.name}`.",
        )


async def _outbox(dovecote: Dovecote) -> list[Finding]:
    return [outbox_finding(await dovecote.stats())]


def outbox_finding(stats: Stats) -> Finding:
    """Whether anybody delivers."""
    waiting = f"{stats.due:,} due, {stats.leased:,} leased, {stats.scheduled:,} scheduled"
    if stats.oldest_due is not None and stats.oldest_due > WAITING_SECONDS:
        nobody = not stats.leased
        return Finding(
            "outbox",
            Severity.WARNING,
            f"{waiting}; the oldest has been due for {timedelta(seconds=round(stats.oldest_due))}",
            "start a worker: nobody sends."
            if nobody
            else "see `dovecote stats` and each bot's pace for what it waits on.",
        )
    return Finding("outbox", Severity.OK, waiting)
