"""For the tests of a bot's developer: a Dovecote of their own that delivers to an emulator, at once, when told to.

- Nothing sleeps. The clock of the outbox stands still until the test moves it, and `deliver` sends what is due by it.
- What is delivered takes the way that a worker's notifications take: the same claim, the same sender over HTTP, the
  same statement that records the outcome. Only the pace is not waited for.
- All of it works in a thread with an event loop of its own, so a test may be a plain function or a coroutine of
  pytest-asyncio or anyio, and a client that blocks can talk to the emulator as well.

`dovecote.testing.plugin` is the pytest plugin, which pytest finds by itself; this package needs no pytest. See
`docs/testing.md`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovecote.testing.clock import ManualClock
    from dovecote.testing.faults import Faults
    from dovecote.testing.harness import Harness
    from dovecote.testing.outbox import BlockingOutbox, Outbox
    from dovecote.testing.ownership import DatabaseInUse
    from dovecote.testing.sent import Button, Sent, SentFile
else:
    # pytest loads the plugin, and this with it, in every run: what is not asked for is not imported.
    _LATER = {
        "BlockingOutbox": "outbox",
        "Button": "sent",
        "DatabaseInUse": "ownership",
        "Faults": "faults",
        "Harness": "harness",
        "ManualClock": "clock",
        "Outbox": "outbox",
        "Sent": "sent",
        "SentFile": "sent",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


__all__ = [
    "BlockingOutbox",
    "Button",
    "DatabaseInUse",
    "Faults",
    "Harness",
    "ManualClock",
    "Outbox",
    "Sent",
    "SentFile",
]
