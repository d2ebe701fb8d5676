"""Where a notification comes from, for whoever traces."""

from __future__ import annotations

from typing import NamedTuple


class TraceContext(NamedTuple):
    """The span that a notification was enqueued in, as the two headers of the W3C's Trace Context."""

    traceparent: str
    tracestate: str | None = None
