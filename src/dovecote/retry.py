"""When to try again: exponential backoff with full jitter, and how many failures are too many. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from dovecote.model import Dead, DeliveryPolicy, Failed, Migrated, Unknown

if TYPE_CHECKING:
    from random import Random

    from dovecote.model import ClaimedNotification, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Up to `attempts` counted failures; pauses grow from `first` to `longest`.

    What certainly was not sent may be tried for hours. Each try of what may have arrived may be one more copy, so those
    are fewer: `unknown_attempts`.
    """

    attempts: int = 25
    unknown_attempts: int = 5
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(hours=1)


def backoff(failures: int, policy: RetryPolicy, random: Random) -> timedelta:
    """Full jitter: uniform between zero and the capped exponential (AWS Architecture Blog, 2015)."""
    ceiling = min(policy.longest, policy.first * (1 << min(failures - 1, 32)))
    return ceiling * random.random()


# A group moves once in its life. Two that name each other would send a notification to and fro for ever.
MOST_MOVES = 3


def final(claimed: ClaimedNotification, outcome: Outcome) -> Outcome:
    """What becomes of it: a group that moves again and again has no end, so that its notification is given up."""
    if isinstance(outcome, Migrated) and claimed.moves >= MOST_MOVES:
        return Dead(f"its group has moved {MOST_MOVES} times already, and would move again: {outcome.error}", 400)
    return outcome


def retry_in(claimed: ClaimedNotification, outcome: Outcome, policy: RetryPolicy, random: Random) -> timedelta | None:
    """The pause until the next try of a failed or unknown notification; None when it is given up.

    Under at-most-once what may have arrived is never tried again.
    """
    match outcome:
        case Unknown(again=again) if claimed.delivery is DeliveryPolicy.AT_MOST_ONCE or not again:
            return None
        case Failed(retries=int(retries)) if claimed.refusals >= retries:
            return None
        case Failed() | Unknown():
            failures = claimed.failures + 1
            most = policy.attempts if isinstance(outcome, Failed) else min(policy.attempts, policy.unknown_attempts)
            return None if failures >= most else backoff(failures, policy, random)
        case _:
            return None
