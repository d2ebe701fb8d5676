"""One lifecycle for every loop of a process: run until told to stop, then drain.

SIGTERM and SIGINT begin the drain; a second one of either ends it at once, and what was in flight is then settled by
its lease.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from typing import TYPE_CHECKING

from dovecote.errors import DovecoteError
from dovecote.observability.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.app import Dovecote
    from dovecote.worker import Worker

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def delivery_only() -> None:
    """Tell the garbage collector that this process does nothing but deliver: it has no cycles worth looking for often.

    The default looks at every few hundred new objects, a tenth of the time that a worker spends in Python.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


class Service:
    """A worker, and with `http` the listener for health and metrics, in this process."""

    def __init__(self, dovecote: Dovecote, *, http: bool = True) -> None:
        self._dovecote = dovecote
        self._worker: Worker = dovecote.worker()
        self._told = False
        self.listener = _listener(dovecote) if http else None

    async def run(self, *, until_empty: bool = False, on_ready: Callable[[], None] | None = None) -> None:
        """Run until `stop` or a signal, or, with `until_empty`, until nothing is waiting.

        `on_ready` is called once the listener listens. Raises before anything starts when the configuration or schema
        is not right.
        """
        await self._dovecote.check()
        loop = asyncio.get_running_loop()
        working = asyncio.current_task()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, working)
        try:
            if self.listener is not None:
                await self.listener.start()
            logger.info("delivering from %r", self._dovecote)
            if on_ready is not None:
                on_ready()
            await self._worker.run(until_empty=until_empty)
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
            if self.listener is not None:
                await self.listener.stop()
            logger.info("stopped")

    def stop(self) -> None:
        """Begin to drain."""
        self._worker.stop()

    def _on_signal(self, working: asyncio.Task[None] | None) -> None:
        if self._told and working is not None:
            logger.warning("told to stop twice: what is in flight is cut off")
            working.cancel()
            return
        self._told = True
        logger.info("draining")
        self.stop()


def _listener(dovecote: Dovecote) -> Listener:
    http = dovecote.settings.http
    return Listener(
        metrics=dovecote.metrics,
        stats=dovecote.stats,
        checks={"database": lambda: _database_fault(dovecote)},
        host=http.host,
        port=http.port,
        token=http.token,
    )


async def _database_fault(dovecote: Dovecote) -> str | None:
    try:
        await dovecote.database.check_migrated()
    except DovecoteError as error:
        return str(error)
    return None
