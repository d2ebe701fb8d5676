"""A small campaign that nobody ran: what its witnesses say, by hand and sound, for tests that then break a promise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chaos.judge import Evidence
from chaos.judge.rows import RULES

BEGIN = 1_000_000.0
FIRES = (BEGIN + 10, BEGIN + 12, BEGIN + 14)
SETTING = {
    "database": "postgresql",
    "timeout": 2.0,
    "lease": 8.0,
    "bot_limit": (20.0, 20.0),
    "private_limit": (3, 3.0),
    "group_limit": (5, 5.0),
    "read_at": BEGIN + 100,
}


@dataclass
class Witnesses:
    """What they say. Ids of notifications count from 1."""

    application: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    campaign: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in RULES})
    batches: int = 0

    def evidence(self) -> Evidence:
        """What they say; the counts of the history are right, unless they were planted."""
        counts = Counter((row["bot_id"], row["outcome"]) for row in self.tables["history"])
        right = [
            {"id": n, "bot_id": bot, "outcome": o, "count": c} for n, ((bot, o), c) in enumerate(counts.items(), 1)
        ]
        tables = {**self.tables, "history_count": self.tables["history_count"] or right}
        return Evidence(SETTING, self.campaign, self.application, self.requests, tables)

    # The application.

    def item(self, chat: int, text: str, **members: Any) -> dict[str, Any]:
        return {
            "chat": chat,
            "text": text,
            "priority": 1,
            "once": False,
            "due_at": None,
            "expires_at": None,
            "repeats": None,
            **members,
        }

    def batch(self, at: float, *items: dict[str, Any], end: str | None = "committed", there: bool = True) -> int:
        """A transaction; answers its number. What is committed is in the engine's record as waiting for an end."""
        self.batches += 1
        number = self.batches
        self.application.append({"event": "begin", "batch": number, "at": at, "items": list(items)})
        if there:
            self.tables["chaos_batch"].append({"number": number})
        ids = []
        for item in items:
            if item["repeats"]:
                ids.append(item["repeats"])
            elif there:
                ids.append(self.row(at + 0.01, item))
        if end is not None:
            told = {"ids": ids} if end == "committed" else {}
            self.application.append({"event": end, "batch": number, "at": at + 0.02, **told})
        return number

    # The engine.

    def row(self, at: float, item: dict[str, Any], **members: Any) -> int:
        """A delivered notification in the history, which was enqueued at that time; answers its id."""
        id_ = len(self.tables["history"]) + 1
        planned_at = at if item["due_at"] is None else max(at, item["due_at"])
        self.tables["history"].append(
            {
                "id": id_,
                "bot_id": 1,
                "chat": str(item["chat"]),
                "params": {"text": item["text"]},
                "key": None,
                "priority": item["priority"],
                "at_most_once": item["once"],
                "enqueued_at": at,
                "planned_at": planned_at,
                "expires_at": item["expires_at"],
                "attempts": 1,
                "failures": 0,
                "lost_leases": 0,
                "outcome": "delivered",
                "settled_at": planned_at + 0.1,
                "took": 0.01,
                "error_code": None,
                "error": None,
                "message_ids": [id_],
                **members,
            }
        )
        return id_

    def of(self, id_: int) -> dict[str, Any]:
        return self.tables["history"][id_ - 1]

    def attempt(self, id_: int, outcome: str, at: float) -> None:
        number = len([row for row in self.tables["attempt"] if row["notification_id"] == id_]) + 1
        self.of(id_)["attempts"] += 1
        self.of(id_)["lost_leases"] += outcome == "lost"
        self.tables["attempt"].append({"notification_id": id_, "number": number, "outcome": outcome, "ended_at": at})

    # Telegram.

    def request(self, id_: int, at: float, **members: Any) -> dict[str, Any]:
        """An accepted request for a notification of the history."""
        row = self.of(id_)
        made = {
            "method": "sendMessage",
            "bot": 4242,
            "chat_id": int(row["chat"]),
            "parameters": dict(row["params"]),
            "time": at,
            "accepted": True,
            "status": 200,
            "message_ids": [id_],
            "description": None,
            **members,
        }
        self.requests.append(made)
        return made

    def stranger(self, chat: int, text: str, at: float, **members: Any) -> dict[str, Any]:
        """A request that belongs to no row."""
        made = {**self.request(1, at, **members), "chat_id": chat, "parameters": {"text": text}}
        self.requests[-1] = made
        return made

    # The campaign.

    def fault(self, lane: str, kind: str, begins: float, ends: float) -> None:
        self.campaign.append({"event": "fault", "lane": lane, "kind": kind, "begins": begins, "ends": ends})


def sound() -> Witnesses:
    """Each kind of thing once, as it should be."""
    told = Witnesses()
    told.batch(BEGIN, told.item(1001, "plain"))
    told.batch(BEGIN + 1, told.item(1, "first"), told.item(1, "second"))
    told.batch(BEGIN + 2, told.item(1002, "once", once=True))
    told.batch(BEGIN + 3, told.item(1003, "expires", expires_at=BEGIN + 5))
    told.batch(BEGIN + 4, told.item(1004, "rolled back"), end="rolled_back", there=False)
    told.batch(BEGIN + 5, told.item(1005, "in doubt, and there"), end=None)
    told.batch(BEGIN + 6, told.item(1006, "in doubt, and not there"), end=None, there=False)
    told.batch(BEGIN + 7, told.item(1001, "known by its key", repeats=1))
    for id_, at in ((1, 0.5), (2, 1.2), (3, 1.4), (4, 2.5), (5, 3.5), (6, 5.5)):
        told.request(id_, BEGIN + at)
        told.of(id_)["settled_at"] = BEGIN + at + 0.05
    _broadcast(told)
    _schedule(told)
    _job(told)
    for name in ("migration", "installation"):
        told.tables[name].append({"id": "one"})
    told.tables["bot"].append(
        {
            "name": "shop",
            "next_slot_at": BEGIN,
            "stopped_reason": None,
            "halted_until": None,
            "pace": 20.0,
            "pace_held": None,
            "paid_spent": 0,
        }
    )
    return told


def _broadcast(told: Witnesses) -> None:
    told.application.append({"event": "broadcast", "name": "all", "text": "to all", "chats": [20_001, 20_002]})
    counts = dict.fromkeys(("dead", "blocked", "unknown", "suppressed", "cancelled", "enqueued"), 0)
    told.tables["broadcast"].append(
        {"id": 1, "name": "all", "state": "finished", "recipients": 2, "delivered": 2, **counts}
    )
    for number, chat in enumerate((20_001, 20_002)):
        id_ = told.row(BEGIN + 8, told.item(chat, "to all"))
        told.request(id_, BEGIN + 8.2 + number / 10)
        told.tables["broadcast_recipient"].append(
            {"broadcast_id": 1, "chat": str(chat), "state": "delivered", "notification_id": id_}
        )


def _schedule(told: Witnesses) -> None:
    row = {"name": "s0", "chat": 3001, "text": "s0", "start": FIRES[0], "end": FIRES[-1], "interval": 2.0}
    told.campaign.append({"event": "schedule", **row})
    told.tables["schedule"].append({"id": 9, "name": "s0", "due_at": None, "next_fire_at": None})
    for at in FIRES:
        key = f"schedule:9:{datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        id_ = told.row(at, told.item(3001, "s0"), key=key)
        told.tables["notification_key"].append(
            {"bot_id": 1, "key": key, "notification_id": id_, "expires_at": BEGIN + 9e6}
        )
        told.request(id_, at + 0.2)
        occurrence = {"happened": "fired", "turn_at": None, "notifications": 1}
        told.tables["occurrence"].append({"schedule_id": 9, "fire_at": at, **occurrence})


def _job(told: Witnesses) -> None:
    row = {"name": "j0", "chat": 4001, "start": FIRES[0], "end": FIRES[-1], "interval": 2.0}
    told.campaign.append({"event": "job", **row})
    told.application.append({"event": "job_added", "name": "j0", "begun": BEGIN, "at": BEGIN + 0.1})
    for at in FIRES:
        id_ = told.row(at, told.item(4001, f"j0 {at:.3f}"))
        told.request(id_, at + 0.3)
        over = {"state": "done", "due_at": None, "lease_token": None, "error": None}
        told.tables["job_run"].append({"job_id": "j0", "fire_at": at, **over})
