"""Occurrences and runs: every fire time, by the judge's own arithmetic, once."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chaos.judge.deliveries import judge_copies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.judge.evidence import Row
    from chaos.judge.truth import Arrival, Truth
    from chaos.judge.verdict import Verdict


def fire_times(row: Row) -> list[float]:
    """Every fire time from `start` to `end`, both inclusive, `interval` apart."""
    count = round((row["end"] - row["start"]) / row["interval"]) + 1
    return [round(row["start"] + number * row["interval"], 3) for number in range(count)]


def judge_schedules(truth: Truth, verdict: Verdict) -> None:
    """Judge every schedule: its occurrences, their notifications, and what arrived in its chat."""
    by_name = {row["name"]: row for row in truth.tables["schedule"]}
    notifications: dict[str, list[Row]] = defaultdict(list)
    for row in (*truth.history.values(), *truth.waiting.values()):
        notifications[row["chat"]].append(row)
    for schedule in truth.schedules:
        found = by_name.get(schedule["name"])
        if found is None:
            verdict.find("missed", schedule["name"], "there is no such schedule")
            continue
        occurrences = [row for row in truth.tables["occurrence"] if row["schedule_id"] == found["id"]]
        expected = fire_times(schedule)
        verdict.seen["fire times of schedules"] += len(expected)
        fired = Counter(round(row["fire_at"], 3) for row in occurrences if row["happened"] == "fired")
        _compare(verdict, schedule["name"], expected, fired)
        made = notifications[str(schedule["chat"])]
        planned = Counter(_fire_time_of(row["key"]) for row in made)
        _compare(verdict, f"notifications of {schedule['name']}", expected, planned)
        _judge_chat(truth, verdict, schedule, made)


def judge_jobs(truth: Truth, verdict: Verdict) -> None:
    """Judge every job: its runs, and the one notification of each, which says its fire time."""
    for job in truth.jobs:
        added = job["added"] or (job["end"], job["end"])
        # Between being asked and having answered, it may have been added at any moment.
        expected = [instant for instant in fire_times(job) if instant > added[1]]
        perhaps = {instant for instant in fire_times(job) if added[0] <= instant <= added[1]}
        verdict.seen["fire times of jobs"] += len(expected)
        runs = [row for row in truth.tables["job_run"] if row["job_id"] == job["name"]]
        for run in runs:
            if run["state"] != "done":
                verdict.find("missed", job["name"], f"the run of {run['fire_at']} is {run['state']}: {run['error']}")
        ran = Counter(round(row["fire_at"], 3) for row in runs)
        expected = sorted({*expected, *(instant for instant in perhaps if ran[instant])})
        _compare(verdict, job["name"], expected, ran)
        made = [row for row in (*truth.history.values(), *truth.waiting.values()) if row["chat"] == str(job["chat"])]
        said = Counter(round(float(row["params"]["text"].rpartition(" ")[2]), 3) for row in made)
        _compare(verdict, f"notifications of {job['name']}", expected, said)
        for row in made:
            arrivals = truth.accepted.get((row["chat"], row["params"]["text"]), ())
            if not arrivals:
                verdict.find("lost", job["name"], f"the notification {row['id']} never arrived")
            judge_copies(truth, verdict, f"{job['name']} {row['id']}", row["id"], arrivals, once=False)


def _compare(verdict: Verdict, name: str, expected: Sequence[float], found: Counter[float]) -> None:
    rest = Counter(found)
    for instant in expected:
        count = rest.pop(instant, 0)
        if count == 0:
            verdict.find("missed", name, f"{datetime.fromtimestamp(instant, UTC)}")
        elif count > 1:
            verdict.find("extra", name, f"{datetime.fromtimestamp(instant, UTC)} {count} times")
    for instant in rest:
        verdict.find("extra", name, f"{datetime.fromtimestamp(instant, UTC)} is no fire time")


def _fire_time_of(key: str) -> float:
    """The fire time in the key of a schedule's notification: `schedule:ID:2026-01-01T00:00:00.000000...`."""
    instant = datetime.fromisoformat(key.split(":", 2)[2][:26])
    return round(instant.replace(tzinfo=UTC).timestamp(), 3)


def _judge_chat(truth: Truth, verdict: Verdict, schedule: Row, made: Sequence[Row]) -> None:
    """All occurrences say the same, so each is found by its messages; the rest are copies, and have to be explained."""
    arrivals: list[Arrival] = list(truth.accepted.get((str(schedule["chat"]), schedule["text"]), ()))
    by_message = {arrival.message_ids: arrival for arrival in arrivals}
    copies = len(arrivals)
    allowed = 0
    for row in made:
        ids = tuple(row.get("message_ids") or ())
        if row.get("outcome") != "delivered":
            verdict.find("lost", schedule["name"], f"{row['key']} ended as {row.get('outcome', 'waiting')}")
        elif by_message.pop(ids, None) is None:
            verdict.find("false", schedule["name"], f"{row['key']} was never accepted as {ids}, or twice recorded so")
        else:
            copies -= 1
        allowed += truth.tries(row["id"])
    verdict.seen["copies explained"] += min(max(copies, 0), allowed)
    if copies > allowed:
        verdict.find("double", schedule["name"], f"{copies} copies, and the record explains {allowed}")
