"""Counting by key: token buckets, and windows of time. Both answer how long a call has to wait, and take its share."""

from __future__ import annotations

from collections import deque
from typing import Any

# Sums of floating-point seconds must not make a call wait that is exactly in time.
TINY = 1e-6
KEYS_BEFORE_A_SWEEP = 50_000


class Buckets:
    """Token buckets. Each is one number: the instant at which it will be full again."""

    __slots__ = ("_capacity", "_full", "_interval", "_sweep_at")

    def __init__(self, rate: float, capacity: float) -> None:
        self._interval = 1 / rate
        self._capacity = capacity
        self._full: dict[Any, float] = {}
        self._sweep_at = KEYS_BEFORE_A_SWEEP

    def wait(self, key: Any, messages: int, now: float) -> float:
        """Seconds until the bucket holds as many tokens, 0 when it does; more than it can hold pass when it is full."""
        wait = self._full.get(key, now) - now - max(self._capacity - messages, 0) * self._interval
        return wait if wait > TINY else 0.0

    def room(self, key: Any, now: float) -> int:
        """How many whole tokens there are."""
        owed = max(self._full.get(key, now) - now - TINY, 0) / self._interval
        return max(int(self._capacity - owed), 0)

    def take(self, key: Any, messages: int, now: float) -> None:
        """Take tokens."""
        self._full[key] = max(self._full.get(key, now), now) + messages * self._interval
        if len(self._full) > self._sweep_at:
            self._full = {key: full for key, full in self._full.items() if full > now}
            self._sweep_at = 2 * len(self._full) + KEYS_BEFORE_A_SWEEP


class Windows:
    """So many messages in any window of so many seconds."""

    __slots__ = ("_messages", "_seconds", "_sent", "_sweep_at")

    def __init__(self, messages: int, seconds: float) -> None:
        self._messages = messages
        self._seconds = seconds
        self._sent: dict[Any, deque[tuple[float, int]]] = {}
        self._sweep_at = KEYS_BEFORE_A_SWEEP

    def wait(self, key: Any, messages: int, now: float) -> float:
        """Seconds until they fit, 0 when they do; more than a window's share pass when the window is empty."""
        sent = self._sent.get(key)
        if not sent:
            return 0.0
        # An instant belongs to the window that it begins: what was sent a whole window ago is out of it.
        while sent and now - sent[0][0] >= self._seconds - TINY:
            sent.popleft()
        there = sum(number for _, number in sent)
        if not there or there + messages <= self._messages:
            return 0.0
        for at, number in sent:
            there -= number
            if not there or there + messages <= self._messages:
                return at + self._seconds - now
        return 0.0

    def take(self, key: Any, messages: int, now: float) -> None:
        """Count messages."""
        sent = self._sent.get(key)
        if sent is None:
            if len(self._sent) >= self._sweep_at:
                self._sweep(now)
            sent = self._sent[key] = deque()
        sent.append((now, messages))

    def _sweep(self, now: float) -> None:
        self._sent = {key: sent for key, sent in self._sent.items() if sent and now - sent[-1][0] < self._seconds}
        self._sweep_at = 2 * len(self._sent) + KEYS_BEFORE_A_SWEEP
