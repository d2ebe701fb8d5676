"""What Hypothesis may draw for the state machine: notifications, outcomes, limits of bots, cycles of workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from outbox_picture import Sender

from dovecote.model import BotStopped, Dead, Delivered, Failed, Outcome, Released, Scope, Snoozed, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKERS = 2
LEASE = 15
"""The longest lease, in seconds."""
Settling = tuple[Outcome, float | None]
"""An outcome, and the seconds until the retry."""


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@dataclass(frozen=True, slots=True)
class Ordered:
    """A notification that an application wants. `delay` and `lifetime` are in seconds."""

    bot: int
    chat: str | None
    priority: int
    at_most_once: bool
    delay: float
    lifetime: float | None
    weight: int
    method: str = "sendMessage"
    copies: int = 1
    """So many alike, in chats of their own where it has a chat."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a worker does in one cycle. Numbers pick from what it holds, and from what it has settled already.

    It claims alone where there are suspects, as a worker does when it is told of them, or with `contrary`, where not.
    """

    settle: Sequence[tuple[int, Settling]] = ()
    again: Sequence[int] = ()
    renew: Sequence[int] = ()
    claim: int = 10
    contrary: bool = False
    lease: float = 5


ORDERS = st.lists(
    st.builds(
        Ordered,
        bot=st.sampled_from([1, 1, 2]),
        chat=st.sampled_from(["7", "7", "8", "-9", None]),
        priority=st.integers(0, 2),
        at_most_once=st.sampled_from([False, False, True]),
        delay=st.sampled_from([0, 0, 0, 0, 0.05, 2, 30]),
        lifetime=st.sampled_from([None, None, None, None, 1, 20, 90]),
        weight=st.sampled_from([1, 1, 1, 1, 2, 3]),
        method=st.sampled_from(["sendMessage"] * 8 + ["editMessageText", "forwardMessage"]),
        copies=st.sampled_from([1, 1, 1, 1, 1, 1, 12]),
    ),
    min_size=1,
    max_size=8,
)
HARMLESS: st.SearchStrategy[Settling] = st.sampled_from(
    [(Failed("connection refused"), 0.0), (Released(), None), (Delivered((1, 2)), None), (Dead("Forbidden", 403), None)]
)
OUTCOMES: st.SearchStrategy[Settling] = st.one_of(
    HARMLESS,
    st.sampled_from(
        [
            (Delivered((1, 2)), None),
            (Delivered(()), None),
            (Failed("connection refused"), 2.5),
            (Failed("connection refused"), None),
            (Unknown("read timeout"), 4.0),
            (Unknown("read timeout"), None),
            (Snoozed(seconds(3), Scope.CHAT), None),
            (Snoozed(seconds(5), Scope.BOT), None),
            (BotStopped("Unauthorized", 401), None),
        ]
    ),
)
PICKS = st.integers(0, 20)
SETTLES = st.lists(st.tuples(PICKS, OUTCOMES), max_size=6)
CLAIMS = st.sampled_from([10, 3, 1, 2, 10])
WISHES = st.builds(
    Wish,
    settle=st.one_of(st.just(()), SETTLES),
    again=st.one_of(st.just(()), st.just(()), st.lists(PICKS, max_size=2)),
    renew=st.one_of(st.just(()), st.just(()), st.lists(PICKS, max_size=4)),
    claim=st.one_of(CLAIMS, CLAIMS, st.just(0)),
    contrary=st.sampled_from([False, False, False, False, True]),
    lease=st.sampled_from([5, LEASE]),
)
BOTH = st.lists(WISHES, min_size=WORKERS, max_size=WORKERS)
LIMITS = st.sampled_from([None, None, (1, 1.0), (2, 3.0), (20, 60.0)])
FREE = st.builds(Sender, pace=st.sampled_from([None, 1.0, 7.0, 30.0]), private_limit=LIMITS, group_limit=LIMITS)
PAYING = st.builds(
    Sender,
    pace=st.sampled_from([1.0, 4.0]),
    private_limit=LIMITS,
    group_limit=LIMITS,
    paid_pace=st.sampled_from([5.0, 40.0]),
    budget=st.sampled_from([10, 25, 1000]),
)
SENDERS = st.one_of(FREE, PAYING)
