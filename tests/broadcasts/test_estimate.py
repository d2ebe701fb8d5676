"""How long, and how dear: by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dovecote.broadcasts.estimate import estimated


def test_at_the_free_pace() -> None:
    found = estimated(recipients=1_000_000, suppressed=7, weight=1, pace=30, paid_pace=None, stars_per_day=None)

    assert found.takes is not None
    assert found.takes.total_seconds() == pytest.approx(1_000_000 / 30)
    assert (found.suppressed, found.stars, found.stars_per_day) == (7, 0.0, None)


def test_without_a_pace_nobody_can_tell() -> None:
    found = estimated(recipients=10, suppressed=0, weight=1, pace=None, paid_pace=None, stars_per_day=None)
    assert (found.takes, found.stars) == (None, 0.0)


def test_a_budget_that_is_enough_pays_for_all() -> None:
    """1,000 albums of three at 100 a second: 3,000 messages, a tenth of a Star each."""
    found = estimated(recipients=1000, suppressed=0, weight=3, pace=30, paid_pace=100, stars_per_day=1000)
    assert (found.takes, found.stars) == (timedelta(seconds=30), 300.0)


def test_a_budget_that_is_not_holds_and_the_rest_is_free() -> None:
    """10 Stars pay for 100 at 100 a second; 3,000 more take 100 seconds at 30 a second."""
    found = estimated(recipients=3100, suppressed=0, weight=1, pace=30, paid_pace=100, stars_per_day=10)
    assert (found.takes, found.stars, found.stars_per_day) == (timedelta(seconds=101), 10.0, 10)


def test_after_midnight_there_is_a_new_budget() -> None:
    """A day: 100 paid in one second and 86,399 seconds at one a second; then 50 paid ones."""
    found = estimated(recipients=86_499 + 50, suppressed=0, weight=1, pace=1, paid_pace=100, stars_per_day=10)
    assert (found.takes, found.stars) == (timedelta(days=1, seconds=0.5), 15.0)
