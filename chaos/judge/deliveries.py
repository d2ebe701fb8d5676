"""Lost, sent without having been committed, sent twice, sent too late: every notification against what arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.judge.evidence import Row
    from chaos.judge.truth import Arrival, Identity, Item, Truth
    from chaos.judge.verdict import Verdict

POISON = 3
"""So many lost workers make a dead letter of a notification that may have arrived."""
LATE = 2.0
"""Seconds that a worker may hold what it has claimed: half a second of slots, a quarter of lateness, the request."""
TROUBLING = ("processes", "network", "telegram", "database", "machine")


def judge_deliveries(truth: Truth, verdict: Verdict) -> None:
    """Judge what the application enqueued and what it broadcast."""
    for half in truth.halves:
        verdict.find("half", "the application", half)
    known = {item.identity for item in truth.items}
    for item in truth.items:
        verdict.seen["committed"] += 1
        verdict.seen["commits in doubt"] += item.in_doubt
        _judge_item(truth, verdict, item)
    for name, row in truth.broadcasts.items():
        if _has_started(truth, name):
            known |= {(str(chat), row["text"]) for chat in row["chats"]}
            _judge_broadcast(truth, verdict, name, row)
    by_chat = {str(row["chat"]) for row in (*truth.schedules, *truth.jobs)}
    for identity, arrivals in truth.accepted.items():
        verdict.seen["accepted"] += len(arrivals)
        if identity not in known and identity[0] not in by_chat:
            why = "it was rolled back, or its key was known" if identity in truth.never else "nobody enqueued it"
            verdict.find("uncommitted", identity, f"{why}, and it was sent {len(arrivals)} times")


def _judge_item(truth: Truth, verdict: Verdict, item: Item) -> None:
    arrivals = truth.accepted.get(item.identity, ())
    row = None if item.id is None else truth.history.get(item.id)
    if row is None:
        waits = item.id is not None and item.id in truth.waiting
        verdict.find("lost", item.identity, f"it {'still waits' if waits else 'is nowhere'} (id {item.id})")
        return
    verdict.seen[f"ended {row['outcome']}"] += 1
    if (row["chat"], row["priority"], row["at_most_once"]) != (item.identity[0], item.priority, item.once):
        verdict.find("row", item.identity, f"it is recorded as something else: {row}")
    _judge_end(truth, verdict, item, row, arrivals)
    judge_copies(truth, verdict, item.identity, item.id or 0, arrivals, once=item.once)
    if item.expires_at is not None:
        _judge_expiry(truth, verdict, item, arrivals)


def _judge_end(truth: Truth, verdict: Verdict, item: Item, row: Row, arrivals: Sequence[Arrival]) -> None:
    """Whether the end that is recorded is one that is promised, and true."""
    match row["outcome"]:
        case "delivered":
            told = set(row["message_ids"] or ())
            if not any(told <= set(arrival.message_ids) for arrival in arrivals) or not told:
                verdict.find("false", item.identity, f"messages {sorted(told)} were never accepted in that chat")
        case "unknown":
            if item.once or (item.expires_at is not None and row["lost_leases"]):
                verdict.seen["unknown that arrived" if arrivals else "unknown that never arrived"] += 1
            else:
                verdict.find("lost", item.identity, f"unknown, although at least once: {row['error']}")
        case "dead":
            _judge_dead(truth, verdict, item, row)
    if item.once and row["outcome"] == "unknown" and not truth.tries(item.id or 0) and row["took"] is None:
        verdict.find("row", item.identity, "unknown without an attempt")


def _judge_dead(truth: Truth, verdict: Verdict, item: Item, row: Row) -> None:
    """A dead letter: expired, refused by Telegram in its own words, or given up after three lost workers."""
    if item.expires_at is not None and row["settled_at"] >= item.expires_at - 0.001 and row["error_code"] is None:
        verdict.seen["expired unsent"] += 1
    elif row["error_code"] in {400, 403} and _was_refused(truth, item.identity, row["error_code"]):
        verdict.seen["refused by Telegram"] += 1
    elif (row["error"] or "").startswith("the recipient is disabled") and _was_refused_in(truth, item.identity[0]):
        verdict.seen["not sent to a disabled recipient"] += 1
    elif row["lost_leases"] >= POISON:
        verdict.seen["given up after three lost workers"] += 1
    else:
        verdict.find("lost", item.identity, f"dead without a reason that is promised: {row['error']}")


def _was_refused(truth: Truth, identity: Identity, code: int) -> bool:
    return any(each.identity == identity and each.status == code for each in truth.arrivals)


def _was_refused_in(truth: Truth, chat: str) -> bool:
    return any(each.identity[0] == chat and each.status in {400, 403} for each in truth.arrivals)


def judge_copies(
    truth: Truth, verdict: Verdict, subject: object, id_: int, arrivals: Sequence[Arrival], *, once: bool
) -> None:
    """Whether each copy more than one is confessed, and every lost lease has a fault before it."""
    copies = len(arrivals)
    if once and copies > 1:
        verdict.find("double_once", subject, f"{copies} copies")
    elif copies > 1:
        allowed = truth.allowed_copies(id_)
        verdict.seen["copies explained"] += min(copies, allowed) - 1 if allowed else 0
        if copies > allowed:
            verdict.find("double", subject, f"{copies} copies, and the record explains {allowed} (id {id_})")
    for attempt in truth.attempts.get(id_, ()):
        verdict.seen[f"attempts {attempt['outcome']}"] += 1
        if attempt["outcome"] == "lost" and not any(
            each.begins <= attempt["ended_at"] and each.lane in TROUBLING for each in truth.troubles
        ):
            verdict.find("row", subject, "its lease was lost before any fault was made")


def _judge_expiry(truth: Truth, verdict: Verdict, item: Item, arrivals: Sequence[Arrival]) -> None:
    expires_at = item.expires_at or 0.0
    for arrival in arrivals:
        late = arrival.at - expires_at
        if late <= LATE:
            verdict.seen["sent in time before an expiry"] += late <= 0
            continue
        # A request that was frozen or held up on its way was claimed in time all the same; so is what was claimed then.
        held_up = truth.troubled(expires_at - LATE, arrival.at, ("processes", "network", "machine"), after=LATE)
        if held_up and late <= _longest_hold(truth):
            verdict.seen["held up on its way beyond its expiry"] += 1
        else:
            verdict.find("expired", item.identity, f"sent {late:.3f} s after its expiry")


def _longest_hold(truth: Truth) -> float:
    """How long a frozen process or a network can hold up what had been claimed."""
    longest = max((each.ends - each.begins for each in truth.troubles if each.lane != "valkey"), default=0.0)
    return longest + LATE + float(truth.setting["timeout"])


def _has_started(truth: Truth, name: str) -> bool:
    """Whether it is more than a draft; a broadcast that is nowhere has started, and is lost."""
    return all(row["state"] != "draft" for row in truth.tables["broadcast"] if row["name"] == name)


def _judge_broadcast(truth: Truth, verdict: Verdict, name: str, row: Row) -> None:
    found = {one["name"]: one for one in truth.tables["broadcast"]}
    broadcast = found.get(name)
    if broadcast is None:
        verdict.find("lost", f"broadcast {name}", "it is nowhere")
        return
    ids = {
        one["chat"]: one["notification_id"]
        for one in truth.tables["broadcast_recipient"]
        if one["broadcast_id"] == broadcast["id"]
    }
    for chat in map(str, row["chats"]):
        verdict.seen["recipients of broadcasts"] += 1
        arrivals = truth.accepted.get((chat, row["text"]), ())
        id_ = ids.get(chat)
        if not arrivals:
            verdict.find("lost", f"broadcast {name}", f"the recipient {chat} got nothing")
        if id_ is not None:
            judge_copies(truth, verdict, f"broadcast {name} to {chat}", id_, arrivals, once=False)
