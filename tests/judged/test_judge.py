"""The judge finds every kind of broken promise, each planted by hand into a campaign that is sound without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from witnesses import BEGIN, FIRES, Witnesses, sound

from chaos.judge import judge
from chaos.judge.evidence import read_evidence, write_evidence
from chaos.judge.rows import RULES
from chaos.judge.verdict import KINDS
from dovecote.stores.tables import SQLITE

if TYPE_CHECKING:
    from collections.abc import Callable

    Plant = Callable[[Witnesses], object]

ROOT = Path(__file__).parents[2]


def found(told: Witnesses) -> dict[str, int]:
    """How many findings of each kind there are, without those of which there are none."""
    verdict = judge(told.evidence())
    return {kind: count for kind, count in verdict.counts().items() if count}


def test_what_is_sound_is_found_sound_and_everything_was_looked_at() -> None:
    verdict = judge(sound().evidence())

    assert verdict.is_sound, verdict.table()
    assert verdict.seen["committed"] == 6
    assert verdict.seen["commits in doubt"] == 1
    assert verdict.seen["accepted"] == 14
    assert verdict.seen["pairs in order"] == 1
    assert verdict.seen["recipients of broadcasts"] == 2
    assert verdict.seen["fire times of schedules"] == 3
    assert verdict.seen["fire times of jobs"] == 3


def test_it_imports_nothing_of_what_it_judges() -> None:
    program = "import sys, chaos.judge; print([name for name in sys.modules if name.startswith('dovecote')])"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_it_knows_every_table_there_is() -> None:
    there = {name.removeprefix("dovecote_") for name in SQLITE.metadata.tables}

    assert there <= RULES.keys()


def test_the_evidence_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    write_evidence(tmp_path, sound().evidence())
    # A process that was killed has left half a line, and the next has begun a new one.
    with (tmp_path / "application.jsonl").open("a") as file:
        file.write('{"event": "beg\n\n{"event": "run", "at": 1}\n{"event": "com')

    assert judge(read_evidence(tmp_path)).is_sound


def without_request(told: Witnesses, id_: int) -> None:
    told.requests[:] = [row for row in told.requests if row["message_ids"] != [id_]]


def take_away(told: Witnesses, id_: int) -> None:
    """The notification is nowhere, and was not sent."""
    without_request(told, id_)
    told.tables["history"][:] = [row for row in told.tables["history"] if row["id"] != id_]


def let_wait(told: Witnesses, id_: int) -> None:
    row = {**told.of(id_), "lease_token": 5, "due_at": BEGIN}
    take_away(told, id_)
    told.tables["notification"].append(row)


def end(told: Witnesses, id_: int, outcome: str, **members: Any) -> None:
    without_request(told, id_)
    told.of(id_).update(outcome=outcome, message_ids=None, **members)


def lose_a_worker(told: Witnesses, id_: int) -> None:
    told.fault("processes", "kill a worker", BEGIN, BEGIN + 1)
    told.attempt(id_, "lost", BEGIN + 5)


def swap(told: Witnesses) -> None:
    first, second = (row for row in told.requests if row["message_ids"] in ([2], [3]))
    first["time"], second["time"] = second["time"], first["time"]


def burst(told: Witnesses) -> None:
    for number in range(45):
        told.stranger(20_001, "to all", BEGIN + 50, message_ids=[1000 + number])
        told.requests[-1]["accepted"] = False


def go_on_in_a_wait(told: Witnesses) -> None:
    refused = {"accepted": False, "status": 429, "description": "Too Many Requests: retry after 5 (scripted)"}
    told.stranger(1001, "plain", BEGIN + 30, **refused)
    told.stranger(1001, "plain", BEGIN + 33, accepted=False, status=400)


def crowd_a_chat(told: Witnesses) -> None:
    for number in range(3):
        told.batch(BEGIN + 40, told.item(1001, f"more {number}"))
        id_ = len(told.tables["history"])
        told.request(id_, BEGIN + 40.2 + number / 10)
        told.of(id_)["settled_at"] = BEGIN + 41
    told.requests[0]["time"] = BEGIN + 40.05


def fire_twice(told: Witnesses) -> None:
    row = next(row for row in told.tables["history"] if row["chat"] == "3001")
    id_ = told.row(row["enqueued_at"], told.item(3001, "s0"), key=row["key"])
    told.request(id_, FIRES[0] + 0.9)


def drop(told: Witnesses, table: str, position: int = 0) -> None:
    del told.tables[table][position]


ENDED = {"event": "ended", "name": "worker0", "at": BEGIN + 20, "code": 1, "log": "x.log"}

PLANTED: list[tuple[str, Plant, set[str]]] = [
    ("nowhere", lambda told: take_away(told, 1), {"lost"}),
    ("still waiting, under a lease", lambda told: let_wait(told, 1), {"lost", "row"}),
    ("dead for no reason", lambda told: end(told, 1, "dead", error="x"), {"lost"}),
    ("dead by a refusal that Telegram never made", lambda told: end(told, 1, "dead", error_code=403), {"lost"}),
    ("unknown, although at least once", lambda told: end(told, 1, "unknown"), {"lost"}),
    ("a recipient of a broadcast left out", lambda told: without_request(told, 7), {"lost"}),
    ("rolled back and sent", lambda told: told.stranger(1004, "rolled back", BEGIN + 9), {"uncommitted"}),
    ("not committed, as in doubt", lambda told: told.stranger(1006, "in doubt, and not there", 1), {"uncommitted"}),
    ("sent under a known key", lambda told: told.stranger(1001, "known by its key", BEGIN + 9), {"uncommitted"}),
    ("sent from nowhere", lambda told: told.stranger(77, "?", BEGIN + 9), {"uncommitted"}),
    ("recorded as delivered, never accepted", lambda told: without_request(told, 1), {"false"}),
    ("committed without its own row", lambda told: drop(told, "chaos_batch"), {"half"}),
    ("rolled back with its own row", lambda told: told.tables["chaos_batch"].append({"number": 5}), {"half"}),
    ("two copies", lambda told: told.request(1, BEGIN + 9, message_ids=[99]), {"double"}),
    ("two copies of a broadcast", lambda told: told.request(7, BEGIN + 19, message_ids=[99]), {"double"}),
    ("two copies of an occurrence", lambda told: told.stranger(3001, "s0", BEGIN + 19, message_ids=[9]), {"double"}),
    ("two copies at most once", lambda told: told.request(4, BEGIN + 9, message_ids=[99]), {"double_once"}),
    ("a newer one first", swap, {"order"}),
    ("planned at another time", lambda told: told.of(1).update(planned_at=BEGIN + 0.4), {"order"}),
    ("sent before its time", lambda told: told.requests[0].update(time=BEGIN - 1), {"order"}),
    ("sent after its expiry", lambda told: told.requests[4].update(time=BEGIN + 9), {"expired"}),
    ("a 429 that nobody asked for", lambda told: told.stranger(1, "first", BEGIN + 9, accepted=False, status=429),
     {"limit"}),
    ("too many at once", burst, {"limit"}),
    ("sent while a 429 ran", go_on_in_a_wait, {"limit"}),
    ("too many to one chat", crowd_a_chat, {"limit"}),
    ("no occurrence", lambda told: drop(told, "occurrence"), {"missed"}),
    ("missed", lambda told: told.tables["occurrence"][0].update(happened="missed"), {"missed"}),
    ("an occurrence at no fire time", lambda told: told.tables["occurrence"].append(
        {**told.tables["occurrence"][0], "fire_at": BEGIN + 11}), {"extra"}),
    ("two notifications of one fire time", fire_twice, {"extra", "row"}),
    ("no run", lambda told: drop(told, "job_run"), {"missed"}),
    ("a run that failed", lambda told: told.tables["job_run"][0].update(state="failed"), {"missed"}),
    ("a run under a lease", lambda told: told.tables["job_run"][0].update(lease_token=4), {"row"}),
    ("a worker that ended by itself", lambda told: told.campaign.append(
        {**ENDED, "why": "itself", "begun_working": True}), {"process"}),
    ("a worker that ended badly", lambda told: told.campaign.append(
        {**ENDED, "why": "order", "begun_working": True}), {"process"}),
    ("a lease lost without a fault", lambda told: told.attempt(1, "lost", BEGIN + 9), {"row"}),
    ("an attempt of nothing", lambda told: told.tables["attempt"].append(
        {"notification_id": 777, "number": 1, "outcome": "unknown", "ended_at": BEGIN}), {"row"}),
    ("more failures than attempts", lambda told: told.of(1).update(failures=2), {"row"}),
    ("a negative count", lambda told: told.of(1).update(attempts=-1), {"row"}),
    ("settled before it was enqueued", lambda told: told.of(1).update(settled_at=BEGIN - 1), {"row"}),
    ("a key that leads elsewhere", lambda told: told.tables["notification_key"][0].update(notification_id=1), {"row"}),
    ("a slot far ahead", lambda told: told.tables["bot"][0].update(next_slot_at=BEGIN + 200), {"row"}),
    ("a stopped bot", lambda told: told.tables["bot"][0].update(stopped_reason="x"), {"row"}),
    ("a chat that waits for ever", lambda told: told.tables["chat_wait"].append(
        {"chat": "1", "until": BEGIN + 9999}), {"row"}),
    ("disabled for nothing", lambda told: told.tables["recipient"].append(
        {"chat": "1", "strikes": 0, "disabled_at": BEGIN}), {"row"}),
    ("a leader's lease past its term", lambda told: told.tables["leadership_lease"].append(
        {"name": "x", "instance": "i", "until": BEGIN + 200, "lease": 3.0}), {"row"}),
    ("a history that is counted wrongly", lambda told: told.tables.update(
        history_count=[{"id": 1, "bot_id": 1, "outcome": "delivered", "count": 999}]), {"row"}),
    ("terms out of order", lambda told: told.tables["leadership_term"].extend(
        {"number": n, "begun_at": BEGIN - n, "ended_at": None} for n in (1, 2)), {"row"}),
    ("an open occurrence", lambda told: told.tables["occurrence"][0].update(turn_at=BEGIN), {"row"}),
    ("a schedule that is still due", lambda told: told.tables["schedule"][0].update(due_at=BEGIN), {"row"}),
    ("a broadcast that still runs", lambda told: told.tables["broadcast"][0].update(state="running"), {"row"}),
    ("counts that do not add up", lambda told: told.tables["broadcast"][0].update(delivered=1), {"row"}),
    ("a recipient in no final state", lambda told: told.tables["broadcast_recipient"][0].update(state="enqueued"),
     {"row"}),
    ("a file in no store", lambda told: told.tables["file"].append({"id": 1}), {"row"}),
    ("an attachment of nothing", lambda told: told.tables["attachment"].append(
        {"notification_id": 777, "file_id": 1}), {"row"}),
    ("an upload that nobody makes", lambda told: told.tables["file_id"].append(
        {"sha256": "x", "file_id": None, "upload_until": BEGIN + 9999}), {"row"}),
    ("two installations", lambda told: told.tables["installation"].append({"id": "two"}), {"row"}),
    ("a table that nobody knows", lambda told: told.tables.update(surprise=[]), {"row"}),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "kinds"), [pytest.param(p, k, id=name) for name, p, k in PLANTED])
def test_a_planted_fault_is_found_and_nothing_else(plant: Plant, kinds: set[str]) -> None:
    told = sound()
    plant(told)

    assert found(told).keys() == kinds


def test_every_kind_of_finding_is_planted() -> None:
    assert set().union(*(kinds for _, _, kinds in PLANTED)) == KINDS.keys()


def test_a_known_key_that_was_answered_with_another_id_is_found() -> None:
    told = sound()
    told.application[:] = [
        {**row, "ids": [2]} if row["event"] == "committed" and row["batch"] == 8 else row for row in told.application
    ]

    assert found(told) == {"half": 1}


def test_a_copy_is_explained_by_each_attempt_that_is_recorded_as_unknown_or_lost_and_by_no_more() -> None:
    told = sound()
    told.attempt(1, "unknown", BEGIN + 0.6)
    told.request(1, BEGIN + 0.9, message_ids=[91])
    assert found(told) == {}
    assert judge(told.evidence()).seen["copies explained"] == 1

    lose_a_worker(told, 1)
    told.request(1, BEGIN + 6, message_ids=[92])
    assert found(told) == {}

    told.request(1, BEGIN + 7, message_ids=[93])
    assert found(told) == {"double": 1}


def test_what_is_refused_expired_or_unknown_for_a_reason_is_no_finding() -> None:
    told = sound()
    end(told, 1, "dead", error_code=403)
    told.stranger(1001, "plain", BEGIN + 0.5, accepted=False, status=403, message_ids=[])
    end(told, 4, "unknown", took=None)
    lose_a_worker(told, 4)
    end(told, 5, "dead", settled_at=BEGIN + 5.5)

    assert found(told) == {}


def test_what_a_fault_has_held_up_is_no_finding() -> None:
    told = sound()
    told.fault("network", "hang the Bot API", BEGIN + 4, BEGIN + 9)
    told.requests[4]["time"] = BEGIN + 9.1
    told.of(5)["settled_at"] = BEGIN + 9.2
    burst(told)
    told.requests[-1]["time"] = BEGIN + 10
    for row in told.requests[-45:]:
        row["time"] = BEGIN + 10

    assert found(told) == {}


def test_a_request_that_arrives_after_it_was_given_up_overtakes_nobody() -> None:
    told = sound()
    swap(told)
    told.of(2).update(outcome="unknown", at_most_once=True, message_ids=None, settled_at=BEGIN + 1.15)
    for row in told.application:
        for item in row.get("items", ()):
            item["once"] = item["once"] or item["text"] == "first"

    assert found(told) == {}
