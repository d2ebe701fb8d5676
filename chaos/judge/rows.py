"""Every row of every table, after all is drained and every process has stopped: each in a state that is explained.

A table that nobody here knows is a finding itself, so that a new one cannot go unjudged.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaos.judge.evidence import Row
    from chaos.judge.truth import Truth
    from chaos.judge.verdict import Verdict

OUTCOMES = {"delivered", "failed", "unknown", "snoozed", "lost", "migrated", "stopped", "dead"}
FINAL = {"delivered", "dead", "blocked", "unknown", "suppressed", "cancelled"}
COUNTED = ("delivered", "dead", "blocked", "unknown", "suppressed", "cancelled")
"""The counts of a broadcast whose sum is its recipients."""
LONGEST_WAIT = 60.0
"""Seconds: no 429 of the campaign asks for a longer one, and no lease of it lasts so long."""
MOST_STRIKES = 3
NEGATIVE_IS_FINE = {"chat", "took", "count"}

Problems = Iterator[tuple[object, str]]


def judge_rows(truth: Truth, verdict: Verdict) -> None:
    """Judge all tables."""
    for name, rows in truth.tables.items():
        rule = RULES.get(name)
        if rule is None:
            verdict.find("row", name, "a table that the judge does not know")
            continue
        verdict.seen["rows judged"] += len(rows)
        for subject, problem in rule(truth, rows):
            verdict.find("row", f"{name} {subject}", problem)
        for row in rows:
            for column, value in row.items():
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                if is_number and value < 0 and column not in NEGATIVE_IS_FINE:
                    verdict.find("row", f"{name} {row.get('id', '')}", f"{column} is {value}")


def _now(truth: Truth) -> float:
    """When the tables were read."""
    return float(truth.setting["read_at"])


def _notification(_truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        held = "under a lease that nobody holds" if row["lease_token"] is not None else "waiting"
        yield row["id"], f"{held}, although all is drained: due at {row['due_at']}"


def _history(truth: Truth, rows: Sequence[Row]) -> Problems:
    keys = {(row["bot_id"], row["key"]): row["notification_id"] for row in truth.tables["notification_key"]}
    for row in rows:
        id_ = row["id"]
        if id_ in truth.waiting:
            yield id_, "in the outbox as well"
        if row["outcome"] == "delivered" and not (row["attempts"] and row["message_ids"]):
            yield id_, f"delivered by {row['attempts']} attempts as {row['message_ids']}"
        if row["settled_at"] < row["enqueued_at"]:
            yield id_, "settled before it was enqueued"
        numbers = sorted(attempt["number"] for attempt in truth.attempts.get(id_, ()))
        if numbers and numbers[-1] > row["attempts"]:
            yield id_, f"attempt {numbers[-1]} of {row['attempts']}"
        if row["failures"] > row["attempts"]:
            yield id_, f"{row['failures']} failures in {row['attempts']} attempts"
        lost = sum(attempt["outcome"] == "lost" for attempt in truth.attempts.get(id_, ()))
        if lost > row["lost_leases"]:
            yield id_, f"{lost} lost attempts, and {row['lost_leases']} lost leases"
        if row["key"] is not None and keys.get((row["bot_id"], row["key"])) != id_:
            yield id_, f"its key leads to {keys.get((row['bot_id'], row['key']))}"


def _attempt(truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        if row["notification_id"] not in truth.history and row["notification_id"] not in truth.waiting:
            yield row["notification_id"], "an attempt of nothing"
        if row["outcome"] not in OUTCOMES or row["number"] < 1:
            yield row["notification_id"], f"attempt {row['number']}: {row['outcome']}"


def _notification_key(truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        found = truth.history.get(row["notification_id"]) or truth.waiting.get(row["notification_id"])
        if found is None or found["key"] != row["key"]:
            yield row["key"], "it leads to nothing that has it"
        if row["expires_at"] <= _now(truth):
            yield row["key"], "forgotten before its time"


def _bot(truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        ahead = row["next_slot_at"] - _now(truth)
        if ahead > 1.0:
            yield row["name"], f"its next slot lies {ahead:.1f} s ahead"
        if row["stopped_reason"] is not None:
            yield row["name"], f"stopped: {row['stopped_reason']}"
        if (row["halted_until"] or 0) > _now(truth) + LONGEST_WAIT:
            yield row["name"], f"halted until {row['halted_until']}"
        if row["pace"] is not None and (row["pace_held"] or 0) > row["pace"]:
            yield row["name"], f"it kept a pace of {row['pace_held']}, above its own {row['pace']}"
        if row["paid_spent"]:
            yield row["name"], f"{row['paid_spent']} tenths of Stars were spent, and nothing is paid"


def _until(subject: str, longest: float = LONGEST_WAIT) -> Callable[[Truth, Sequence[Row]], Any]:
    """A rule: `until` lies at most so many seconds ahead."""

    def rule(truth: Truth, rows: Sequence[Row]) -> Problems:
        for row in rows:
            if row["until"] > _now(truth) + longest:
                yield row[subject], f"until {row['until'] - _now(truth):.1f} s from now"

    return rule


def _recipient(truth: Truth, rows: Sequence[Row]) -> Problems:
    refused = {arrival.identity[0] for arrival in truth.arrivals if arrival.status in {400, 403}}
    for row in rows:
        if not 0 <= row["strikes"] <= MOST_STRIKES:
            yield row["chat"], f"{row['strikes']} strikes"
        if row["disabled_at"] is not None and row["chat"].partition("/")[0] not in refused:
            yield row["chat"], "disabled, and Telegram never refused it"


def _lease(truth: Truth, rows: Sequence[Row]) -> Problems:
    by_machine = truth.setting["database"] == "sqlite"
    for row in rows:
        # On SQLite it is by a clock of its own, which nothing here can be compared with.
        if not by_machine and row["until"] > _now(truth) + row["lease"]:
            yield row["name"], f"held by {row['instance']} until {row['until']}"


def _term(_truth: Truth, rows: Sequence[Row]) -> Problems:
    in_order = sorted(rows, key=lambda row: row["number"])
    for earlier, later in itertools.pairwise(in_order):
        if later["begun_at"] < earlier["begun_at"]:
            yield later["number"], "begun before the term that it follows"
    for row in rows:
        if row["ended_at"] is not None and row["ended_at"] < row["begun_at"]:
            yield row["number"], "ended before it began"


def _occurrence(truth: Truth, rows: Sequence[Row]) -> Problems:
    known = {row["id"] for row in truth.tables["schedule"]}
    for row in rows:
        subject = f"{row['schedule_id']} {row['fire_at']}"
        if row["schedule_id"] not in known:
            yield subject, "of no schedule"
        if row["turn_at"] is not None:
            yield subject, "open, although all is drained"
        if row["happened"] == "fired" and not row["notifications"]:
            yield subject, "fired without a notification"


def _schedule(_truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        if row["due_at"] is not None or row["next_fire_at"] is not None:
            yield row["name"], f"due at {row['due_at']}, although its end has passed"


def _broadcast(truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        states = Counter(
            each["state"] for each in truth.tables["broadcast_recipient"] if each["broadcast_id"] == row["id"]
        )
        if row["state"] == "draft":
            continue  # its application was killed before it could start it
        if row["state"] != "finished":
            yield row["name"], f"{row['state']}, although all is drained"
        if row["enqueued"] or row["recipients"] != sum(row[name] for name in COUNTED):
            yield row["name"], f"its counts do not add up: { ({name: row[name] for name in COUNTED}) }"
        for name in COUNTED:
            if row[name] != states[name]:
                yield row["name"], f"{row[name]} {name}, and {states[name]} recipients are"


def _broadcast_recipient(truth: Truth, rows: Sequence[Row]) -> Problems:
    drafts = {row["id"] for row in truth.tables["broadcast"] if row["state"] == "draft"}
    for row in rows:
        subject = f"{row['broadcast_id']} {row['chat']}"
        if row["broadcast_id"] in drafts:
            continue
        if row["state"] not in FINAL:
            yield subject, f"{row['state']}, although all is drained"
        elif row["notification_id"] is not None and row["notification_id"] not in truth.history:
            yield subject, "its notification is nowhere"


def _job(truth: Truth, rows: Sequence[Row]) -> Problems:
    known = {row["name"] for row in truth.jobs}
    for row in rows:
        if row["id"] not in known:
            yield row["id"], "nobody added it"
        if row["problem"] is not None:
            yield row["id"], row["problem"]
        if row["next_run_at"] is not None:
            yield row["id"], f"it is to run at {row['next_run_at']}, although its end has passed"


def _job_run(_truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        subject = f"{row['job_id']} {row['fire_at']}"
        if row["lease_token"] is not None or row["due_at"] is not None:
            yield subject, f"{row['state']}, although all is drained"


def _file(truth: Truth, rows: Sequence[Row]) -> Problems:
    copied = {row["file_id"] for row in truth.tables["file_copy"]}
    for row in rows:
        if row["id"] not in copied:
            yield row["id"], "it is in no store"


def _of_a_file(truth: Truth, rows: Sequence[Row]) -> Problems:
    known = {row["id"] for row in truth.tables["file"]}
    for row in rows:
        if row["file_id"] not in known:
            yield row["file_id"], "of no file"


def _attachment(truth: Truth, rows: Sequence[Row]) -> Problems:
    yield from _of_a_file(truth, rows)
    for row in rows:
        if row["notification_id"] not in truth.history and row["notification_id"] not in truth.waiting:
            yield row["notification_id"], "of no notification"


def _file_id(truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        if row["file_id"] is None and (row["upload_until"] or 0) > _now(truth) + LONGEST_WAIT:
            yield row["sha256"], f"its upload is somebody's until {row['upload_until']}"


def _one_row(_truth: Truth, rows: Sequence[Row]) -> Problems:
    if len(rows) != 1:
        yield len(rows), "rows, and there is to be one"


def _none(_truth: Truth, rows: Sequence[Row]) -> Problems:
    for row in rows:
        yield row, "nothing in the campaign makes such a row"


def _history_count(truth: Truth, rows: Sequence[Row]) -> Problems:
    """Kept as the history changes, in parts that are added up: it says how much history there is."""
    said: Counter[tuple[object, object]] = Counter()
    for row in rows:
        said[row["bot_id"], row["outcome"]] += row["count"]
    true = Counter((row["bot_id"], row["outcome"]) for row in truth.tables["history"])
    for key in said.keys() | true.keys():
        if said[key] != true[key]:
            yield f"of bot {key[0]}, {key[1]}", f"it says {said[key]}, there are {true[key]}"


def _any(_truth: Truth, _rows: Sequence[Row]) -> Problems:
    """Nothing but what holds for every row."""
    yield from ()


RULES: dict[str, Callable[[Truth, Sequence[Row]], Any]] = {
    "attachment": _attachment,
    "attempt": _attempt,
    "bot": _bot,
    "bot_retention": _none,
    "broadcast": _broadcast,
    "broadcast_recipient": _broadcast_recipient,
    "chaos_batch": _any,
    "chat_wait": _until("chat"),
    "direct_upload": _none,
    "file": _file,
    "file_copy": _of_a_file,
    "file_id": _file_id,
    "file_name": _of_a_file,
    "file_store": _any,
    "history": _history,
    "history_count": _history_count,
    "idle_worker": _until("id"),
    "installation": _one_row,
    "instance": _any,
    "job": _job,
    "job_run": _job_run,
    "job_stranger": _none,
    "leadership_lease": _lease,
    "leadership_term": _term,
    # An upload that was cut off is cleaned up a day later.
    "loose_object": _until("key", longest=172_800.0),
    "migration": _one_row,
    "notification": _notification,
    "notification_key": _notification_key,
    "occurrence": _occurrence,
    "recipient": _recipient,
    "schedule": _schedule,
    "schedule_file": _none,
    "switch": _none,
    "trace_context": _none,
}
