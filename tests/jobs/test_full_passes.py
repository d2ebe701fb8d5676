"""Full passes of the garbage collector are put off, for a while at most, and an application has its own way."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from dovecote.integrations.apscheduler.full_passes import LONGEST_SECONDS, NEVER, FullPasses

if TYPE_CHECKING:
    from collections.abc import Iterator

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*before)


def test_they_are_put_off_and_come_again() -> None:
    passes = FullPasses()
    passes.put_off()
    assert gc.get_threshold() == (700, 10, NEVER)

    passes.allow()
    assert gc.get_threshold() == USUAL


def test_a_crowd_without_end_has_them_after_a_minute() -> None:
    now = [0.0]
    passes = FullPasses(monotonic=lambda: now[0])
    passes.put_off()
    now[0] = LONGEST_SECONDS
    passes.put_off()
    assert gc.get_threshold() == USUAL

    passes.put_off()
    assert gc.get_threshold() == USUAL
    passes.allow()
    passes.put_off()
    assert gc.get_threshold() == (700, 10, NEVER)


def test_what_an_application_sets_meanwhile_stays() -> None:
    passes = FullPasses()
    passes.put_off()
    gc.set_threshold(5000, 20, 20)

    passes.allow()

    assert gc.get_threshold() == (5000, 20, 20)


def test_nothing_is_changed_where_nothing_was_put_off() -> None:
    FullPasses().allow()
    assert gc.get_threshold() == USUAL
