"""The buckets and the windows against the plainest way to write them down."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from dovecote.emulator.buckets import KEYS_BEFORE_A_SWEEP, Buckets, Windows

# Pauses in sixteenths of a second, and rates that are as exact.
CALLS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=60)


@given(CALLS, st.sampled_from([1, 2, 4, 16]), st.integers(1, 8))
def test_a_bucket_is_a_count_of_tokens_that_grows_with_time(
    calls: list[tuple[int, int]], rate: int, capacity: int
) -> None:
    buckets = Buckets(rate, capacity)
    now, tokens = Fraction(1000), Fraction(capacity)
    for pause, messages in calls:
        now += Fraction(pause, 16)
        tokens = min(Fraction(capacity), tokens + Fraction(pause, 16) * rate)
        needed = min(messages, capacity)

        wait = buckets.wait("a bot", messages, float(now))

        assert buckets.room("a bot", float(now)) == max(floor(tokens), 0)
        assert wait == float(max(needed - tokens, Fraction(0)) / rate)
        if wait == 0:
            buckets.take("a bot", messages, float(now))
            tokens -= messages


@given(CALLS, st.integers(1, 8), st.sampled_from([1, 3, 10]))
def test_a_window_is_a_count_of_what_was_sent_in_it(
    calls: list[tuple[int, int]], messages_allowed: int, seconds: int
) -> None:
    windows = Windows(messages_allowed, seconds)
    now, sent = Fraction(1000), list[tuple[Fraction, int]]()

    def fits(at: Fraction, messages: int) -> bool:
        there = sum(number for when, number in sent if at - when < seconds)
        return not there or there + messages <= messages_allowed

    for pause, messages in calls:
        now += Fraction(pause, 16)
        # It fits now, or when one of those that were sent leaves the window.
        instants = sorted([now, *(when + seconds for when, _ in sent if when + seconds > now)])

        wait = windows.wait("a group", messages, float(now))

        assert wait == float(next(at for at in instants if fits(at, messages)) - now)
        if wait == 0:
            windows.take("a group", messages, float(now))
            sent.append((now, messages))


def test_full_buckets_and_empty_windows_do_not_stay_in_memory() -> None:
    buckets, windows = Buckets(1, 3), Windows(20, 60)
    for chat in range(KEYS_BEFORE_A_SWEEP):
        buckets.take(chat, 1, 1000.0)
        windows.take(chat, 1, 1000.0)

    buckets.take("another", 1, 1100.0)
    windows.take("another", 1, 1100.0)

    assert list(buckets._full) == ["another"]
    assert list(windows._sent) == ["another"]
