"""What was committed, what arrived, and what was done to whom: the witnesses' words, put together once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chaos.judge.evidence import Evidence, Row

SCRIPTED = "(scripted)"
"""What the campaign writes into the refusals that it asks for."""

Identity = tuple[str, str]
"""The chat and the text: no two notifications of the application's have both in common."""


@dataclass(frozen=True, slots=True)
class Item:
    """A notification that the application committed. `between` are the instants before and after its commit."""

    identity: Identity
    id: int | None
    priority: int
    once: bool
    due_at: float | None
    expires_at: float | None
    between: tuple[float, float]
    in_doubt: bool
    """Whether the application was not told of the commit: its own row in the database says that it was one."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that Telegram would have acted on, or has refused."""

    identity: Identity
    at: float
    bot: int
    accepted: bool
    status: int | None
    message_ids: tuple[int, ...]
    description: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault that the campaign made, from one instant to another."""

    lane: str
    kind: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Truth:
    """All of it. `history`, `waiting` and `attempts` are the engine's own record, by the notification's id."""

    setting: Mapping[str, Any]
    items: Sequence[Item]
    never: frozenset[Identity]
    """What was rolled back, or was repeated under a key that was known: it must not be sent."""
    halves: Sequence[str]
    broadcasts: Mapping[str, Row]
    schedules: Sequence[Row]
    jobs: Sequence[Row]
    """`added` are the instants before and after one that added it was first told so; None if nobody was."""
    arrivals: Sequence[Arrival]
    accepted: Mapping[Identity, Sequence[Arrival]]
    troubles: Sequence[Trouble]
    campaign: Sequence[Row]
    tables: Mapping[str, Sequence[Row]]
    history: Mapping[int, Row]
    waiting: Mapping[int, Row]
    attempts: Mapping[int, Sequence[Row]] = field(default_factory=dict)

    @classmethod
    def of(cls, evidence: Evidence) -> Truth:
        """Put it together."""
        tables = evidence.tables
        history = {row["id"]: row for row in tables["history"]}
        waiting = {row["id"]: row for row in tables["notification"]}
        attempts: dict[int, list[Row]] = defaultdict(list)
        for row in tables["attempt"]:
            attempts[row["notification_id"]].append(row)
        arrivals = [_arrival(row) for row in evidence.requests if row["method"].startswith("send")]
        accepted: dict[Identity, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            if arrival.accepted:
                accepted[arrival.identity].append(arrival)
        items, never, halves = _items(evidence, {**history, **waiting})
        return cls(
            setting=evidence.setting,
            items=items,
            never=frozenset(never),
            halves=halves,
            broadcasts={row["name"]: row for row in evidence.application if row["event"] == "broadcast"},
            schedules=[row for row in evidence.campaign if row["event"] == "schedule"],
            jobs=[
                {**row, "added": _added(evidence, row["name"])} for row in evidence.campaign if row["event"] == "job"
            ],
            arrivals=arrivals,
            accepted=accepted,
            troubles=[
                Trouble(row["lane"], row["kind"], row["begins"], row["ends"])
                for row in evidence.campaign
                if row["event"] == "fault"
            ],
            campaign=evidence.campaign,
            tables=tables,
            history=history,
            waiting=waiting,
            attempts=attempts,
        )

    def troubled(self, begins: float, ends: float, lanes: Iterable[str], *, after: float = 0.0) -> bool:
        """Whether a fault of one of the lanes lay in that time, or ended up to `after` seconds before it."""
        among = set(lanes)
        return any(each.lane in among and each.begins <= ends and each.ends + after >= begins for each in self.troubles)

    def tries(self, id_: int) -> int:
        """How often it may have been sent, by the record: attempts that are unknown, lost, or told of too late."""
        return sum(row["outcome"] in {"unknown", "lost", "delivered"} for row in self.attempts.get(id_, ()))

    def allowed_copies(self, id_: int) -> int:
        """How many copies the record confesses: those tries, and the one that decided."""
        row = self.history.get(id_)
        decided = row is not None and row["outcome"] in {"delivered", "unknown"} and row["took"] is not None
        return self.tries(id_) + decided


def identity_of(chat: object, parameters: Mapping[str, Any]) -> Identity:
    """Chat and text, or caption."""
    return str(chat), str(parameters.get("text") or parameters.get("caption") or "")


def _arrival(row: Row) -> Arrival:
    return Arrival(
        identity=identity_of(row["chat_id"], row["parameters"]),
        at=row["time"],
        bot=row["bot"],
        accepted=row["accepted"],
        status=row["status"],
        message_ids=tuple(row["message_ids"]),
        description=row["description"] or "",
    )


def _added(evidence: Evidence, job: str) -> tuple[float, float] | None:
    rows = [row for row in evidence.application if row["event"] == "job_added" and row["name"] == job]
    if not rows:
        return None
    return min(row["begun"] for row in rows), min(row["at"] for row in rows)


def _items(evidence: Evidence, rows: Mapping[int, Row]) -> tuple[list[Item], set[Identity], list[str]]:
    """What was committed, what must never be sent, and the transactions of which only a part is there."""
    there = {row["number"] for row in evidence.tables["chaos_batch"]}
    by_identity = {identity_of(row["chat"], row["params"]): id_ for id_, row in rows.items() if row["chat"]}
    ends = {row["batch"]: row for row in evidence.application if row["event"] in {"committed", "rolled_back"}}
    items: list[Item] = []
    never: set[Identity] = set()
    halves: list[str] = []
    for begun in evidence.application:
        if begun["event"] != "begin":
            continue
        batch, end = begun["batch"], ends.get(begun["batch"])
        committed = end["event"] == "committed" if end is not None else batch in there
        if committed and batch not in there:
            halves.append(f"batch {batch} was committed, and the application's own row is not there")
        if end is not None and not committed and batch in there:
            halves.append(f"batch {batch} was rolled back, and the application's own row is there")
        ids = end.get("ids") if end is not None else None
        for position, one in enumerate(begun["items"]):
            identity = (str(one["chat"]), one["text"])
            id_ = by_identity.get(identity) if ids is None else ids[position]
            if one["repeats"] and ids is not None and id_ != one["repeats"]:
                halves.append(f"the key of {identity} was known as {one['repeats']}, and was answered with {id_}")
            if one["repeats"] or not committed:
                never.add(identity)
                continue
            items.append(
                Item(
                    identity,
                    id_,
                    one["priority"],
                    one["once"],
                    one["due_at"],
                    one["expires_at"],
                    (begun["at"], float("inf") if end is None else end["at"]),
                    end is None,
                )
            )
    return items, never, halves
