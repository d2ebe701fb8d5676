"""Traces: from the enqueuing span to the send, what stands in them, and that the document lists all of them."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deliveries import TOKEN, Delivery, delivery, fresh_outbox
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, TraceState

from dovecote.broadcast import Broadcast
from dovecote.errors import StoreUnavailable, UnknownBot
from dovecote.model import Dead, Delivered, Failed, Notification, Retention, Snoozed, TraceContext
from dovecote.observability.traced import REMEMBERED, KnownTraces, TracedChannel, TracedOutbox
from dovecote.observability.tracing import current_tracer
from dovecote.schedule import Cron, Schedule, Timing
from dovecote.stores.pruning import Pruning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dovecote.model import ClaimedNotification, Outcome

DOCUMENT = Path(__file__).parents[2] / "docs" / "traces.md"
OUTCOMES: dict[str, Outcome] = {
    "1": Delivered((7,)),
    "2": Dead("Bad Request: https://example.org/secret is no picture", 400),
    "3": Snoozed(timedelta(seconds=30)),
}


class Scripted:
    """A channel that answers by the chat."""

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        if claimed.chat == "9":
            raise OSError(f"cannot reach https://api.telegram.org/bot{TOKEN}/sendMessage")
        return OUTCOMES.get(claimed.chat or "", Failed("refused"))

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    yield from fresh_outbox(request, tmp_path)


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    request.param = "sqlite"
    yield from fresh_outbox(request, tmp_path)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """A provider is set, for this test alone; what it keeps."""
    made = InMemorySpanExporter()
    provide(monkeypatch, TracerProvider(), made)
    return made


def provide(monkeypatch: pytest.MonkeyPatch, provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)


def message(chat: int, **columns: Any) -> Notification:
    return Notification(bot="shop", chat_id=chat, text="a private matter", **columns)


async def batch(outbox: Delivery) -> None:
    """Claim one batch, send it, settle it."""
    uow = outbox.dovecote.unit_of_work()
    async with uow:
        for claimed in await uow.outbox.claim_pending(100):
            channel = TracedChannel(Scripted(), outbox.dovecote._traces)
            try:
                outcome = await channel.send(claimed, TOKEN, timeout=timedelta(seconds=1))
            except OSError:
                outcome = Failed("broken")
            uow.outbox.mark(claimed.id, outcome)
        await uow.commit()


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_trace_runs_from_the_enqueuing_span_to_every_send(
    outbox_url: str, exporter: InMemorySpanExporter
) -> None:
    # As an application that was called from elsewhere has it, with a state of its tracing system's.
    caller = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("v", "1")]))
    async with delivery(outbox_url) as outbox:
        with trace.use_span(NonRecordingSpan(caller)):
            ids = await outbox.enqueue(message(1), message(2), message(4))

        await batch(outbox)

        (written,) = named(exporter, "dovecote.enqueue")
        assert written.parent is not None
        assert (written.parent.span_id, written.context.trace_id) == (0xDEF, 0xABC)
        assert attributes(written) == {"dovecote.bots": ("shop",), "dovecote.notifications": 3}
        sends = sorted(named(exporter, "dovecote.send"), key=lambda span: attributes(span)["dovecote.notification"])
        assert [span.context.trace_id for span in sends] == [0xABC] * 3
        assert [span.parent.span_id for span in sends if span.parent] == [written.context.span_id] * 3
        assert [span.context.trace_state.get("v") for span in sends] == ["1"] * 3
        common = {"dovecote.bot": "shop", "dovecote.method": "sendMessage", "dovecote.attempt": 1}
        assert [attributes(span) for span in sends] == [
            {**common, "dovecote.notification": ids[0], "dovecote.outcome": "delivered"},
            {**common, "dovecote.notification": ids[1], "dovecote.outcome": "dead", "dovecote.error_code": 400},
            {**common, "dovecote.notification": ids[2], "dovecote.outcome": "failed"},
        ]
        assert [span.status.status_code for span in sends] == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.ERROR]
        cycles = [attributes(span) for span in named(exporter, "dovecote.cycle")]
        assert cycles == [
            {"dovecote.settled": 0, "dovecote.claimed": 3, "dovecote.lost": 0},
            {"dovecote.settled": 3, "dovecote.claimed": 0, "dovecote.lost": 0},
        ]
        assert len(outbox.dovecote._traces) == 0


async def test_what_a_broadcast_fans_out_is_traced_from_its_batch_to_every_send(
    outbox_url: str, exporter: InMemorySpanExporter
) -> None:
    async with delivery(outbox_url) as outbox:
        await outbox.dovecote.broadcasts.create(Broadcast(name="news", bot="shop", text="hi"), [1, 2])
        await outbox.dovecote.broadcasts.start("news")
        broadcaster = outbox.dovecote.broadcaster()
        await broadcaster.fill()
        await broadcaster.close()

        await batch(outbox)

        (written,) = named(exporter, "dovecote.enqueue")
        assert attributes(written) == {"dovecote.bots": ("shop",), "dovecote.notifications": 2}
        sends = named(exporter, "dovecote.send")
        assert [span.parent.span_id for span in sends if span.parent] == [written.context.span_id] * 2


async def test_what_is_cancelled_leaves_no_context_behind(outbox_url: str, exporter: InMemorySpanExporter) -> None:
    async with delivery(outbox_url) as outbox:
        await outbox.dovecote.broadcasts.create(Broadcast(name="news", bot="shop", text="hi"), [1, 2])
        await outbox.dovecote.broadcasts.start("news")
        broadcaster = outbox.dovecote.broadcaster()
        await broadcaster.fill()
        await broadcaster.close()
        assert len(await outbox.rows("trace_context")) == 2

        await outbox.dovecote.broadcasts.cancel("news")

        assert await outbox.rows("trace_context") == []
        assert len(named(exporter, "dovecote.enqueue")) == 1


async def test_what_a_schedule_sends_is_traced_from_its_firing(outbox_url: str, exporter: InMemorySpanExporter) -> None:
    async with delivery(outbox_url) as outbox:
        daily = Timing(recurrence=Cron("0 9 * * *"), zone="UTC")
        await outbox.dovecote.schedules.add(Schedule(name="daily", timing=daily, notification=message(1)))
        await outbox.dovecote.schedules.trigger("daily")

        await batch(outbox)

        (written,) = named(exporter, "dovecote.enqueue")
        (sent,) = named(exporter, "dovecote.send")
        assert sent.parent is not None
        assert sent.parent.span_id == written.context.span_id


async def test_a_known_key_keeps_the_trace_that_wrote_it(outbox_url: str, exporter: InMemorySpanExporter) -> None:
    async with delivery(outbox_url) as outbox:
        (first,) = await outbox.enqueue(message(1, key="a"))
        again, other = await outbox.enqueue(message(1, key="a"), message(1, key="b"))

        assert again == first
        one, two = (f"{span.context.trace_id:032x}" for span in named(exporter, "dovecote.enqueue"))
        written = {row[0]: row[1][3:35] for row in await outbox.rows("trace_context")}
        assert written == {first: one, other: two}


async def test_contexts_go_with_their_notifications(outbox_url: str, exporter: InMemorySpanExporter) -> None:
    async with delivery(outbox_url) as outbox:
        await outbox.enqueue(message(1))
        await batch(outbox)
        assert len(await outbox.rows("trace_context")) == 1

        await Pruning(outbox.dovecote.database).prune(Retention(delivered=timedelta(microseconds=-(10**9))))

        assert await outbox.rows("trace_context") == []
        assert named(exporter, "dovecote.send")


async def test_what_is_not_sampled_is_neither_written_nor_traced(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provide(monkeypatch, TracerProvider(sampler=ALWAYS_OFF), exporter)
    async with delivery(sqlite_url) as outbox:
        await outbox.enqueue(message(1))
        await batch(outbox)

        assert await outbox.rows("trace_context") == []
        assert exporter.get_finished_spans() == ()
        assert await outbox.settled(1)


async def test_without_a_provider_nothing_is_written(sqlite_url: str) -> None:
    assert current_tracer() is None
    async with delivery(sqlite_url) as outbox:
        await outbox.enqueue(message(1))
        await batch(outbox)

        assert await outbox.rows("trace_context") == []
        assert await outbox.settled(1)


def test_dovecote_does_not_import_opentelemetry_by_itself() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import dovecote.app\n"
        "from dovecote.observability.tracing import current_tracer, enqueuing\n"
        "with enqueuing(['shop'], 1) as context: print(current_tracer(), context)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "None None\n"


async def test_a_broken_enqueue_and_a_broken_send_tell_the_kind_of_the_error_alone(
    sqlite_url: str, exporter: InMemorySpanExporter
) -> None:
    async with delivery(sqlite_url) as outbox:
        await outbox.enqueue(message(9))
        await batch(outbox)
        with pytest.raises(UnknownBot):
            await outbox.enqueue(Notification(bot="nobody", chat_id=1, text="x"))

        (span,) = named(exporter, "dovecote.send")
        assert attributes(span)["error.type"] == "OSError"
        failed = named(exporter, "dovecote.enqueue")[-1]
        assert attributes(failed)["error.type"] == "UnknownBot"
        assert failed.status.status_code is StatusCode.ERROR
        everything = "".join(span.to_json() for span in exporter.get_finished_spans())
        for secret in (TOKEN, "private matter", "https", "api.telegram.org"):
            assert secret not in everything


class Away:
    """A store that cannot be asked."""

    async def contexts(self, ids: Sequence[int]) -> Mapping[int, TraceContext]:
        raise StoreUnavailable(f"the database cannot be asked about {ids}")


class Everything:
    """A store in which each notification has a context."""

    async def contexts(self, ids: Sequence[int]) -> Mapping[int, TraceContext]:
        return {id_: TraceContext(f"00-{id_:032x}-{id_:016x}-01") for id_ in ids}


async def test_a_store_that_is_away_keeps_nothing_from_being_claimed(
    sqlite_url: str, exporter: InMemorySpanExporter
) -> None:
    async with delivery(sqlite_url) as outbox:
        await outbox.enqueue(message(1))
        store = TracedOutbox(outbox.dovecote.store, KnownTraces(Away()))

        cycle = await store.cycle([], claim=1, lease=timedelta(seconds=60))

        assert len(cycle.claimed) == 1
        assert named(exporter, "dovecote.cycle")


async def test_contexts_that_nobody_settles_do_not_gather(sqlite_url: str) -> None:
    async with delivery(sqlite_url) as outbox:
        await outbox.backlog(1)
        (claimed,) = (await outbox.dovecote.store.cycle([], claim=1, lease=timedelta(seconds=60))).claimed
        traces = KnownTraces(Everything())

        for lease_token in range(REMEMBERED + 10):
            await traces.learn([claimed._replace(lease_token=lease_token)])

        assert len(traces) == REMEMBERED
        assert traces.of(claimed._replace(lease_token=9)) is None
        assert traces.of(claimed._replace(lease_token=10)) is not None


class TestTheDocument:
    async def test_it_lists_every_span_with_kind_and_attributes_and_no_other(
        self, sqlite_url: str, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = re.findall(r"^\| `([\w.]+)` \| (\w+) \| (.*?) \| .+ \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
        documented = {name: (kind, set(re.findall(r"`([\w.]+)`", names))) for name, kind, names in rows}

        async with delivery(sqlite_url) as outbox:
            await outbox.enqueue(*(message(chat) for chat in (1, 2, 3, 4, 9)))
            await batch(outbox)
            with pytest.raises(UnknownBot):
                await outbox.enqueue(Notification(bot="nobody", chat_id=1, text="x"))

            async def broken(*_: object, **__: object) -> None:
                raise StoreUnavailable("the database cannot be reached")

            monkeypatch.setattr(outbox.dovecote.store._store, "cycle", broken)  # type: ignore[attr-defined]
            with pytest.raises(StoreUnavailable):
                await outbox.dovecote.store.cycle([], claim=1, lease=timedelta(seconds=60))

        made: dict[str, tuple[str, set[str]]] = {}
        for span in exporter.get_finished_spans():
            made.setdefault(span.name, (span.kind.name.lower(), set()))[1].update(attributes(span))
        assert documented == made
        assert len(rows) == 3
