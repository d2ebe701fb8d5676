"""What is fine setting by setting and wrong together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dovecote.config.values import is_loopback
from dovecote.model import SHORTEST_RETENTION
from dovecote.storage.signatures import LONGEST_SIGNED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovecote.config.settings import Leadership, Retention, Settings, Storage

LEASE_MARGIN: Final = timedelta(seconds=5)
"""By how much a lease outlives the slowest request: time to flush its outcome before the lease is another's."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What is fine setting by setting and wrong together."""

    between: frozenset[str]
    sentence: str


def contradictions(settings: Settings) -> Iterator[Contradiction]:
    """Every contradiction between the settings."""
    timeout, lease = settings.telegram.timeout, settings.worker.lease
    if lease <= timeout + LEASE_MARGIN:
        sentence = (
            f"worker.lease is {in_seconds(lease)} and telegram.timeout is {in_seconds(timeout)}: a lease must outlive "
            f"the slowest request by more than {in_seconds(LEASE_MARGIN)}, or what is still under way is sent again. "
            f"Set worker.lease to more than {in_seconds(timeout + LEASE_MARGIN)}, or lower telegram.timeout."
        )
        yield Contradiction(frozenset({"worker.lease", "telegram.timeout"}), sentence)
    first, longest = settings.retry.first, settings.retry.longest
    if first > longest:
        sentence = (
            f"retry.first is {in_seconds(first)} and retry.longest is {in_seconds(longest)}: the first wait cannot be "
            f"longer than the longest. Set retry.longest to {in_seconds(first)} or more."
        )
        yield Contradiction(frozenset({"retry.first", "retry.longest"}), sentence)
    yield from _of_retention(settings.retention)
    yield from _of_leadership(settings.leadership)
    yield from _of_storage(settings.storage)
    if settings.http.token is None and not is_loopback(settings.http.host):
        sentence = (
            f'http.host is "{settings.http.host}", which other machines can reach, and http.token is not set: set '
            "http.token, or listen on 127.0.0.1."
        )
        yield Contradiction(frozenset({"http.host", "http.token"}), sentence)


def _of_retention(retention: Retention) -> Iterator[Contradiction]:
    for outcome in ("delivered", "dead", "unknown"):
        kept: timedelta = getattr(retention, outcome)
        if kept < SHORTEST_RETENTION:
            sentence = (
                f"retention.{outcome} is {in_seconds(kept)}: the limits per chat are counted in the history, so it "
                f"must be {in_seconds(SHORTEST_RETENTION)} or more."
            )
            yield Contradiction(frozenset({f"retention.{outcome}"}), sentence)


def _of_storage(storage: Storage) -> Iterator[Contradiction]:
    if (storage.access_key_id is None) != (storage.secret_access_key is None):
        here, missing = "storage.access_key_id", "storage.secret_access_key"
        if storage.access_key_id is None:
            here, missing = missing, here
        sentence = f"{here} is set and {missing} is not: an access key has two halves. Set both, or neither."
        yield Contradiction(frozenset({here, missing}), sentence)
    if storage.url_lifetime > LONGEST_SIGNED:
        sentence = (
            f"storage.url_lifetime is {in_seconds(storage.url_lifetime)}: no store signs a URL for longer than "
            f"{in_seconds(LONGEST_SIGNED)}. Set it to that or less, or set storage.public_url."
        )
        yield Contradiction(frozenset({"storage.url_lifetime"}), sentence)


def _of_leadership(leadership: Leadership) -> Iterator[Contradiction]:
    lease, renewal, poll = leadership.lease, leadership.renew_interval, leadership.poll_interval
    # As the elector measures it; a test compares.
    longest = (lease - min(timedelta(seconds=1), lease / 5)) / 2
    if renewal > longest:
        sentence = (
            f"leadership.renew_interval is {in_seconds(renewal)} and leadership.lease is {in_seconds(lease)}: a lease "
            "must outlive two renewals by a second (a short one by its fifth), so that one may fail. Set "
            f"leadership.renew_interval to {in_seconds(longest)} or less, or a longer leadership.lease."
        )
        yield Contradiction(frozenset({"leadership.renew_interval", "leadership.lease"}), sentence)
    if poll > lease:
        sentence = (
            f"leadership.poll_interval is {in_seconds(poll)} and leadership.lease is {in_seconds(lease)}: a lead that "
            f"is free would wait longer for its next leader than for a crashed one to lose it. Set "
            f"leadership.poll_interval to {in_seconds(lease)} or less."
        )
        yield Contradiction(frozenset({"leadership.poll_interval", "leadership.lease"}), sentence)


def in_seconds(duration: timedelta) -> str:
    """A duration as a setting takes it: `25s`, `0.05s`."""
    return f"{duration.total_seconds():g}s"
