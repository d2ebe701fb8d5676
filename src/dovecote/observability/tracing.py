"""Spans of OpenTelemetry, where somebody has set a provider of them. docs/traces.md lists every span; a test compares.

Dovecote sets no provider and exports nothing: that is the application's, or that of `opentelemetry-instrument`. Whoever
has set one has imported OpenTelemetry, so where it is not imported, nothing is to be done here, and nothing is paid.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dovecote.model import TraceContext
from dovecote.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue


class _Known:
    """The provider that was found last, and its tracer: making one is dear."""

    provider: Any = None
    tracer: Tracer | None = None


def current_tracer() -> Tracer | None:
    """The tracer of the provider that is set, or None where there is none."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider = api.get_tracer_provider()
    if provider is not _Known.provider:
        nothing = isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider))
        _Known.provider, _Known.tracer = provider, None if nothing else provider.get_tracer("dovecote", __version__)
    return _Known.tracer


@contextmanager
def enqueuing(bots: Sequence[str], notifications: int) -> Iterator[TraceContext | None]:
    """The span of an enqueue of so many notifications for these bots. Yields what is to travel with them.

    That is None where nobody traces, and where this trace is not sampled: what is sent is then not traced either, and
    nothing is written for it.
    """
    tracer = current_tracer()
    if tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 (an extra)
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 (an extra)

    attributes: dict[str, AttributeValue] = {"dovecote.bots": list(bots), "dovecote.notifications": notifications}
    with tracer.start_as_current_span(
        "dovecote.enqueue",
        kind=SpanKind.PRODUCER,
        attributes=attributes,
        # The words of an error may be anybody's: its kind is told, and no more.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        headers: dict[str, str] = {}
        if span.get_span_context().trace_flags.sampled:
            TraceContextTextMapPropagator().inject(headers)
        try:
            yield TraceContext(headers["traceparent"], headers.get("tracestate")) if headers else None
        except BaseException as error:
            tell_error(span, error)
            raise


def tell_error(span: Any, error: BaseException | None = None) -> None:
    """Mark the span as gone wrong; of an exception the kind is told, since its words may be anything."""
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 (an extra)

    span.set_status(StatusCode.ERROR)
    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
