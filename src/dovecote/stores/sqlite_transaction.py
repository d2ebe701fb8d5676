"""What a cycle does inside its transaction on SQLite: the statements of `sqlite_cycle` in their order."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from dovecote.model import ClaimedNotification, Cycle, Delivered, DeliveryPolicy
from dovecote.stores import sqlite_cycle as statements
from dovecote.stores.rows import bot_effects, chat_waits, given_back, moves, result_row, strikes
from dovecote.stores.sqlite_heeded import DEFER, MEET, MEET_SUSPECTS, deferred, quiet_until
from dovecote.stores.sqlite_judgement import (
    SECOND,
    GrantedBot,
    Known,
    Met,
    Share,
    arranged,
    ending,
    judge,
    next_claim_in,
    share_out,
)
from dovecote.stores.sqlite_paid import looked_at, terms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from dovecote.model import Settlement
    from dovecote.stores.rows import ResultRow

# Slots are reserved at most so far ahead, so that an urgent notification waits behind no more than that.
HORIZON = SECOND // 2
DAY = 86_400 * SECOND
# At most so many bots are served by one claim, and at least so many of each priority are looked at.
MOST_BOTS = 50
FEWEST_MET = 64
# So many are moved to another chat in one transaction.
MOVED_AT_ONCE = 500
# An instant that is earlier than all others.
EVER = -(2**63)


class Execute(Protocol):
    """Runs a statement with named values; answers all of its rows."""

    def __call__(self, statement: str, **values: Any) -> list[Any]:
        """Run it."""


class Transaction:
    """The parts of one cycle, to be called in the order in which they stand here. `now` is the store's time."""

    def __init__(self, execute: Execute, now: int, lease: timedelta) -> None:
        self._execute = execute
        self._now = now
        self._day = now // DAY
        self._lease = _microseconds(lease.total_seconds())
        self._attempts: list[tuple[Any, ...]] = []
        # What is sent without a sound, and how much quiet hours hold up.
        self._silent: set[int] = set()
        self._deferred = 0

    def halt_bots(self, settlements: Sequence[Settlement]) -> None:
        """Let bots wait that a 429 halts, and stop those that Telegram refuses."""
        halts, stops = bot_effects(settlements)
        rows = [
            (bot, _microseconds(halts[bot]) if bot in halts else None, stops.get(bot)) for bot in {**halts, **stops}
        ]
        if rows:
            self._execute(statements.HALT, rows=_json(rows), now=self._now)

    def settle(self, settlements: Sequence[Settlement]) -> list[int]:
        """Record the outcomes whose lease is still held; answers the ids of the others."""
        if not settlements:
            return []
        # One that comes twice is settled once.
        results = list({(row.id, row.lease_token): row for row in map(result_row, settlements)}.values())
        if rows := given_back(settlements):
            self._execute(statements.GIVE_BACK, rows=_json([tuple(row)[:3] for row in rows]), day=self._day)
        if waits := chat_waits(settlements):
            told = [(wait.bot_id, wait.chat, _microseconds(wait.seconds)) for wait in waits]
            self._execute(statements.TOLD_TO_WAIT, rows=_json(told), now=self._now)
        leases = dict(self._execute(statements.LEASES_OF, ids=_json([result.id for result in results])))
        leaving: list[ResultRow] = []
        kept: list[ResultRow] = []
        lost: list[ResultRow] = []
        for result in results:
            if leases.get(result.id) != result.lease_token:
                lost.append(result)
            elif result.retry_in is None:
                leaving.append(result)
            else:
                kept.append(result)
        self._to_history([_settled_row(result) for result in leaving])
        self._judge_recipients(settlements)
        if kept:
            self._execute(statements.KEEP, rows=_json([_kept_row(result) for result in kept]), now=self._now)
        self._attempts += [_attempt_row(result) for result in kept if result.outcome != "released"]
        self._attempts += [_attempt_row(result) for result in lost if result.outcome == "delivered"]
        return [result.id for result in lost]

    def move(self, settlements: Sequence[Settlement], lost: Sequence[int]) -> None:
        """Begin to move what waits for a group that has become a supergroup, or this claim would meet it at the old."""
        for move in moves(settlements, lost):
            self._execute(statements.MOVE, bot=move.bot_id, old=move.old, new=move.new, limit=MOVED_AT_ONCE)

    def _judge_recipients(self, settlements: Sequence[Settlement]) -> None:
        if self._execute(statements.HAS_STRIKES)[0][0]:
            delivered = [
                (settlement.claimed.bot_id, settlement.claimed.chat)
                for settlement in settlements
                if isinstance(settlement.outcome, Delivered)
            ]
            self._execute(statements.FORGIVE, rows=_json(delivered))
        if struck := strikes(settlements):
            self._execute(statements.STRIKE, rows=_json([tuple(strike) for strike in struck]), now=self._now)

    def renew(self, claims: Sequence[ClaimedNotification]) -> None:
        """Let leases that are still held end later."""
        if claims:
            rows = [(claimed.id, claimed.lease_token) for claimed in claims]
            self._execute(statements.RENEW, rows=_json(rows), lease_ends_at=self._now + self._lease)

    def claim(self, count: int, *, alone: bool, lost: Sequence[int]) -> Cycle:
        """Claim up to `count`, write down the attempts of this cycle, and answer it."""
        count = min(count, 1) if alone else count
        bots = self._granted(count, alone=alone)
        waiting, ended = self._meet(bots, count, alone=alone)
        free, due_again = self._judge(waiting, bots)
        shares = self._share_out(bots, free, waiting, count)
        claimed = self._take(shares)
        if due_again:
            self._execute(statements.POSTPONE, rows=_json(list(due_again.items())))
        if shares:
            rows = [(share.bot.id, share.used, share.next_slot_at()) for share in shares]
            self._execute(statements.ADVANCE, rows=_json(rows))
            if paid := [(s.bot.id, s.stars, s.terms.paid_until(s.used)) for s in shares if s.stars]:
                self._execute(statements.PAY, rows=_json(paid), day=self._day)
        self._record_attempts()
        return Cycle(
            claimed=claimed,
            lost=tuple(lost),
            ended=ended,
            postponed=len(due_again) + self._deferred,
            next_due_in=self._next_due_in(count, shares, claimed, ended),
            suspects=not alone and bool(self._execute(statements.SUSPECTS, now=self._now)[0][0]),
        )

    def _granted(self, count: int, *, alone: bool) -> dict[int, GrantedBot]:
        if not count:
            return {}
        rows = self._execute(
            statements.GRANT, now=self._now, day=self._day, horizon=HORIZON, alone=alone, bots=min(count, MOST_BOTS)
        )
        return {bot.id: bot for bot in map(GrantedBot._make, rows)}

    def _meet(self, bots: dict[int, GrantedBot], count: int, *, alone: bool) -> tuple[list[Met], dict[str, int]]:
        """Find what is due, and take out of the outbox whatever ends here."""
        if not bots:
            return [], {}
        most = max(looked_at(bot, self._now, count // len(bots), HORIZON) for bot in bots.values())
        statement = MEET_SUSPECTS if alone else MEET
        rows = self._execute(statement, bots=_json(list(bots)), now=self._now, limit=max(most, FEWEST_MET))
        waiting: list[Met] = []
        ended: Counter[str] = Counter()
        history: list[tuple[Any, ...]] = []
        quiet: list[tuple[int, int, int]] = []
        for met in map(Met._make, rows):
            end = ending(met, self._now)
            if end is None:
                until, silently = quiet_until(met, bots[met.bot_id], self._now)
                if until is not None and not silently:
                    quiet.append(deferred(met, until))
                    continue
                if until is not None:
                    self._silent.add(met.id)
                waiting.append(met)
                continue
            ended[end.reason] += 1
            history.append((met.id, end.outcome, 0, met.lost, None, None, end.error, None))
            if met.lost:
                self._attempts.append(_lost_attempt_row(met))
        self._to_history(history)
        if quiet:
            self._execute(DEFER, rows=_json(quiet))
            self._deferred = len(quiet)
        return waiting, dict(ended)

    def _judge(self, waiting: list[Met], bots: dict[int, GrantedBot]) -> tuple[list[Met], dict[int, int]]:
        free, chats = arranged(waiting, bots)
        if not chats:
            return free, {}
        heads = [ranked[0].id for chat in chats for ranked in chat.by_priority()]
        known = {row[0]: Known._make(row) for row in self._execute(statements.JUDGE, heads=_json(heads), now=self._now)}
        verdict = judge(free, chats, known, self._now, self._lease)
        return verdict.free, verdict.due_again

    def _share_out(self, bots: dict[int, GrantedBot], free: list[Met], waiting: list[Met], count: int) -> list[Share]:
        free_of: dict[int, list[Met]] = {bot: [] for bot in bots}
        for met in free:
            free_of[met.bot_id].append(met)
        waiting_of = Counter(met.bot_id for met in waiting)
        shares = []
        for bot in bots.values():
            its = terms(bot, free_of[bot.id], self._now, count // len(bots), HORIZON)
            shares.append(share_out(its, free_of[bot.id], waiting_of[bot.id], self._now))
        return shares

    def _take(self, shares: Sequence[Share]) -> list[ClaimedNotification]:
        taken = {one.met.id: (share.bot, one) for share in shares for one in share.taken}
        if not taken:
            return []
        token = secrets.randbits(63)
        rows = self._execute(
            statements.LEASE, ids=_json(list(taken)), token=token, lease_ends_at=self._now + self._lease
        )
        leased = {row[0]: row for row in rows}
        tried = [(row[0], row[3]) for row in rows if taken[row[0]][1].met.attempts]
        answered = self._answered(tried)
        claimed = []
        for id_, (bot, (met, send_in, slot, paid)) in taken.items():
            if met.lost:
                self._attempts.append(_lost_attempt_row(met))
            _, method, params, failures = leased[id_]
            refusals, moved = answered.get(id_, (0, 0))
            claimed.append(
                ClaimedNotification(
                    id=id_,
                    lease_token=token,
                    bot_id=bot.id,
                    bot=bot.name,
                    chat=met.chat,
                    method=method,
                    params=params,
                    delivery=DeliveryPolicy.AT_MOST_ONCE if met.at_most_once else DeliveryPolicy.AT_LEAST_ONCE,
                    attempt=met.attempts + 1,
                    failures=failures,
                    send_in=send_in,
                    slot=slot,
                    paid_day=self._day if paid else None,
                    refusals=refusals,
                    moves=moved,
                    silent=id_ in self._silent,
                )
            )
        return claimed

    def _answered(self, tried: Sequence[tuple[int, int]]) -> dict[int, Sequence[int]]:
        """What bounds the tries of these, by id; given are ids and failures of what has been tried before."""
        if not tried:
            return {}
        # The last of them may have been settled by this very cycle.
        self._record_attempts()
        return {row[0]: row[1:] for row in self._execute(statements.ANSWERED, rows=_json(tried))}

    def _record_attempts(self) -> None:
        if self._attempts:
            self._execute(statements.ATTEMPT, rows=_json(self._attempts), now=self._now)
            self._attempts.clear()

    def _next_due_in(
        self, count: int, shares: Sequence[Share], claimed: Sequence[ClaimedNotification], ended: dict[str, int]
    ) -> float | None:
        if not count:
            return None
        if claimed:
            return next_claim_in(shares, self._now, HORIZON, MOST_BOTS)
        if ended or self._deferred or any(share.left_over for share in shares):
            return 0.0
        granted = _json([share.bot.id for share in shares])
        ((due_at,),) = self._execute(statements.NEXT_DUE, granted=granted, now=self._now, horizon=HORIZON, ever=EVER)
        return None if due_at is None else max(0.0, (due_at - self._now) / SECOND)

    def _to_history(self, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._execute(statements.TO_HISTORY, rows=_json(rows), now=self._now)
            self._execute(statements.OUT_OF_OUTBOX, ids=_json([row[0] for row in rows]))


def _settled_row(result: ResultRow) -> tuple[Any, ...]:
    failed = result.outcome == "failed"
    outcome = "dead" if failed else result.outcome
    return (result.id, outcome, int(failed), 0, result.took, result.error_code, result.error, result.message_ids)


def _kept_row(result: ResultRow) -> tuple[Any, ...]:
    attempts_added = -1 if result.outcome == "released" else 0
    failures_added = int(result.outcome in {"failed", "unknown"})
    return (result.id, _microseconds(result.retry_in or 0.0), attempts_added, failures_added, result.new_chat)


def _attempt_row(result: ResultRow) -> tuple[Any, ...]:
    return (
        result.id,
        result.attempt,
        result.outcome,
        result.took,
        result.error_code,
        result.error,
        result.message_ids,
    )


def _lost_attempt_row(met: Met) -> tuple[Any, ...]:
    return (met.id, met.attempts, "lost", None, None, "its lease ran out unsettled", None)


def _microseconds(seconds: float) -> int:
    return round(seconds * SECOND)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
