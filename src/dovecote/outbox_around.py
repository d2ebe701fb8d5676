"""An outbox around an outbox: what adds something to the cycle leaves everything else as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from dovecote.ports import OutboxStore


class OutboxAround:
    """Passes on everything of `ports.OutboxStore` but `cycle`, which is what it is made for."""

    def __init__(self, store: OutboxStore) -> None:
        self._store = store

    @property
    def statements(self) -> int:
        """See `ports.OutboxStore.statements`."""
        return self._store.statements

    async def wait(self, timeout: timedelta) -> None:
        """See `ports.OutboxStore.wait`."""
        await self._store.wait(timeout)

    async def close(self) -> None:
        """See `ports.OutboxStore.close`."""
        await self._store.close()
