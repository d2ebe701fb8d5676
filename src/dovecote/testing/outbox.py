"""What a test holds in its hand: deliver, look at what was sent, say what goes wrong next.

`Outbox` is for tests that are coroutines, `BlockingOutbox` for plain functions. What only looks is the same in both.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from dovecote.testing.faults import Faults
from dovecote.testing.report import listed, shown, whereabouts

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from dovecote.app import Dovecote
    from dovecote.emulator import Emulator
    from dovecote.model import Bot
    from dovecote.testing.clock import ManualClock
    from dovecote.testing.harness import Harness
    from dovecote.testing.sent import Sent

T = TypeVar("T")


class Observed:
    """What was sent so far, in a test of either kind."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.faults = Faults(harness.emulator)

    @property
    def dovecote(self) -> Dovecote:
        """The Dovecote whose outbox it is."""
        return self._harness.dovecote

    @property
    def clock(self) -> ManualClock:
        """The time of the outbox, of its schedules and of the emulator."""
        return self._harness.clock

    @property
    def emulator(self) -> Emulator:
        """The Bot API server that everything is sent to."""
        return self._harness.emulator

    @property
    def sent(self) -> list[Sent]:
        """Everything that was sent, in order; a message that was sent twice is there twice."""
        return self._harness.sent()

    def sent_to(self, chat: int | str, *, bot: str | None = None) -> list[Sent]:
        """What was sent to a chat, in order; with `bot`, by that one alone."""
        return [each for each in self.sent if str(each.chat) == str(chat) and bot in {None, each.bot}]

    def assert_sent(
        self,
        chat: int | str,
        text: str | None = None,
        *,
        containing: str | None = None,
        method: str | None = None,
        bot: str | None = None,
        times: int | None = None,
    ) -> Sent:
        """See that a message to `chat` was sent, and answer it; of several, the last one.

        `text` is its whole text or caption, `containing` a part of it. `times` is how many such messages there must be;
        without it, one or more. Raises AssertionError, which tells what was sent instead and why the rest was not.
        """
        __tracebackhide__ = True
        found = [
            each
            for each in self.sent_to(chat, bot=bot)
            if text in {None, each.text}
            and (containing is None or containing in each.text)
            and (method is None or method.lower() == each.method.lower())
        ]
        if found and times in {None, len(found)}:
            return found[-1]
        wanted = [f"{name} {value!r}" for name, value in (("text", text), ("containing", containing)) if value]
        wanted += [f"{name} {value!r}" for name, value in (("method", method), ("bot", bot)) if value]
        what = f"message to chat {chat}{' with ' if wanted else ''}{', '.join(wanted)}"
        count = f"{len(found)} times, not {times}" if times is not None else "not at all"
        raise AssertionError(f"{what} was sent {count}.{self._instead(chat)}")

    def assert_nothing_sent(self, chat: int | str | None = None) -> None:
        """See that nothing was sent, to `chat` or at all. Raises AssertionError, which tells what was."""
        __tracebackhide__ = True
        found = self.sent if chat is None else self.sent_to(chat)
        if found:
            where = "" if chat is None else f" to chat {chat}"
            raise AssertionError(f"something was sent{where}.{listed('It was:', shown(found))}")

    def _instead(self, chat: int | str) -> str:
        there = self.sent_to(chat)
        elsewhere = [each for each in self.sent if each not in there]
        lines = self._harness.background.wait_for(whereabouts(self._harness.engine, chat, self.clock.now))
        told = listed(f"Sent to {chat}:", shown(there)) + listed(f"Not sent to {chat}:", lines)
        told += listed("Sent to others:", shown(elsewhere))
        if not self._harness.deliveries:
            told += "\nNothing was delivered yet: call deliver() first."
        return told or "\nNothing is waiting for it either: was it enqueued, and was that transaction committed?"


class Outbox(Observed):
    """For a test that is a coroutine."""

    async def bot(self, name: str = "shop") -> Bot:
        """Add a bot with a made-up token, without limits; one of that name that is there already is made so."""
        return await self._harness.background.run(self._harness.add_bot(name))

    async def deliver(self) -> list[Sent]:
        """Fire and deliver all that is due by the clock, and answer what was sent by it, in order.

        No pace and no limit is waited for. What failed is tried again when its time has come.
        """
        return await self._harness.background.run(self._harness.deliver())

    async def let_pass(
        self,
        time: timedelta = timedelta(0),
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> list[Sent]:
        """Let time pass and deliver at each instant at which something is due; answer what was sent, in order."""
        time += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return await self._harness.background.run(self._harness.let_pass(time))


class BlockingOutbox(Observed):
    """For a test that is a plain function."""

    def bot(self, name: str = "shop") -> Bot:
        """Add a bot with a made-up token, without limits; one of that name that is there already is made so."""
        return self.result_of(self._harness.add_bot(name))

    def deliver(self) -> list[Sent]:
        """Fire and deliver all that is due by the clock, and answer what was sent by it, in order.

        No pace and no limit is waited for. What failed is tried again when its time has come.
        """
        return self.result_of(self._harness.deliver())

    def let_pass(
        self,
        time: timedelta = timedelta(0),
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> list[Sent]:
        """Let time pass and deliver at each instant at which something is due; answer what was sent, in order."""
        time += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self.result_of(self._harness.let_pass(time))

    def result_of(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, of `dovecote` say, in the thread's event loop, and answer what it answers."""
        return self._harness.background.wait_for(coroutine)
