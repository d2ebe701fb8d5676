"""Cycles and sends with their spans: an outbox and a channel around those that do the work.

The contexts of what a cycle claims are read by a statement of their own, and only where somebody traces, so that the
cycle's own statement knows nothing of them. A context that cannot be read keeps nothing from being sent.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from dovecote.model import BotStopped, Dead, Failed, Unknown
from dovecote.observability.metrics import OUTCOMES
from dovecote.observability.tracing import current_tracer, tell_error
from dovecote.outbox_around import OutboxAround

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from datetime import timedelta

    from opentelemetry.trace import Tracer

    from dovecote.model import ClaimedNotification, Cycle, Outcome, Settlement, TraceContext
    from dovecote.ports import Channel, OutboxStore, TraceStore

logger = logging.getLogger(__name__)

REMEMBERED: Final = 10_000
"""Claims whose context is kept. Whoever claims and never settles leaves them, and they must not gather."""
_WRONG: Final = (Failed, Unknown, Dead, BotStopped)


class KnownTraces:
    """Where what is claimed in this process comes from, by notification and lease token."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._of: dict[tuple[int, int], TraceContext] = {}

    def __len__(self) -> int:
        return len(self._of)

    async def learn(self, claimed: Sequence[ClaimedNotification]) -> None:
        """Read the contexts of these claims, all at once."""
        try:
            found = await self._store.contexts([each.id for each in claimed])
        except Exception as error:  # noqa: BLE001 (what is claimed must not be lost for a trace)
            logger.warning("the trace contexts of a batch could not be read, it is sent untraced: %s", error)
            return
        for each in claimed:
            if (trace := found.get(each.id)) is not None:
                self._of[each.id, each.lease_token] = trace
        while len(self._of) > REMEMBERED:
            del self._of[next(iter(self._of))]

    def forget(self, settlements: Sequence[Settlement]) -> None:
        """Forget those that are settled."""
        for settlement in settlements:
            self._of.pop((settlement.claimed.id, settlement.claimed.lease_token), None)

    def of(self, claimed: ClaimedNotification) -> TraceContext | None:
        """Where it comes from, if that is known."""
        return self._of.get((claimed.id, claimed.lease_token))


class TracedOutbox(OutboxAround):
    """An outbox whose cycles have spans; implements `dovecote.ports.OutboxStore`."""

    def __init__(self, store: OutboxStore, traces: KnownTraces) -> None:
        super().__init__(store)
        self._traces = traces

    async def cycle(
        self,
        settlements: Sequence[Settlement],
        *,
        claim: int,
        lease: timedelta,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
    ) -> Cycle:
        """See `dovecote.ports.OutboxStore.cycle`. One that settles and claims nothing has no span."""
        tracer = current_tracer()
        began_at = time.time_ns()
        try:
            cycle = await self._store.cycle(settlements, claim=claim, lease=lease, renew=renew, alone=alone)
        except BaseException as error:
            if tracer is not None:
                _tell_cycle(tracer, began_at, len(settlements), error=error)
            raise
        if len(self._traces):
            self._traces.forget(settlements)
        if tracer is not None and (settlements or cycle.claimed):
            _tell_cycle(tracer, began_at, len(settlements), cycle=cycle)
            if cycle.claimed:
                await self._traces.learn(cycle.claimed)
        return cycle


class TracedChannel:
    """A channel whose sends have spans in the traces of their enqueues; implements `dovecote.ports.Channel`."""

    def __init__(self, channel: Channel, traces: KnownTraces) -> None:
        self._channel = channel
        self._traces = traces

    def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Coroutine[Any, Any, Outcome]:
        """See `dovecote.ports.Channel.send`."""
        trace = self._traces.of(claimed) if len(self._traces) else None
        tracer = None if trace is None else current_tracer()
        if trace is None or tracer is None:
            return self._channel.send(claimed, token, timeout=timeout)
        return self._send(claimed, token, timeout, trace, tracer)

    async def _send(
        self, claimed: ClaimedNotification, token: str, timeout: timedelta, trace: TraceContext, tracer: Tracer
    ) -> Outcome:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 (an extra)

        with tracer.start_as_current_span(
            "dovecote.send",
            context=_context(trace),
            kind=SpanKind.CLIENT,
            attributes={
                "dovecote.bot": claimed.bot,
                "dovecote.notification": claimed.id,
                "dovecote.method": claimed.method,
                "dovecote.attempt": claimed.attempt,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                outcome = await self._channel.send(claimed, token, timeout=timeout)
            except BaseException as error:
                tell_error(span, error)
                raise
            span.set_attribute("dovecote.outcome", OUTCOMES[type(outcome)])
            code = getattr(outcome, "error_code", None)
            if code is not None:
                span.set_attribute("dovecote.error_code", code)
            if isinstance(outcome, _WRONG):
                tell_error(span)
            return outcome

    async def close(self) -> None:
        """See `dovecote.ports.Channel.close`."""
        await self._channel.close()


def _context(trace: TraceContext) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 (an extra)

    headers = {"traceparent": trace.traceparent}
    if trace.tracestate is not None:
        headers["tracestate"] = trace.tracestate
    return TraceContextTextMapPropagator().extract(headers)


def _tell_cycle(
    tracer: Tracer, began_at: int, settled: int, *, cycle: Cycle | None = None, error: BaseException | None = None
) -> None:
    """A span of what is over. It is nobody's child: it serves the notifications of many traces."""
    from opentelemetry.context import Context  # noqa: PLC0415 (an extra)

    span = tracer.start_span("dovecote.cycle", context=Context(), start_time=began_at)
    span.set_attribute("dovecote.settled", settled)
    if cycle is not None:
        span.set_attribute("dovecote.claimed", len(cycle.claimed))
        span.set_attribute("dovecote.lost", len(cycle.lost))
    if error is not None:
        tell_error(span, error)
    span.end()
