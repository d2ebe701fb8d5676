"""What is awaited, for code that is not: in a thread and an event loop of its own, until it is done."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")


def in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end and answer what it answers. The calling thread waits; it may have a loop of its own."""
    with ThreadPoolExecutor(1, thread_name_prefix="dovecote-loop") as pool:
        return pool.submit(copy_context().run, asyncio.run, work).result()
