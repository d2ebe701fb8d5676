"""Webhooks: a bot's updates, posted where the bot wants them.

- The updates of one chat are posted one after the other, those of several at the same time, at most `max_connections`.
- An answer from 200 to 299 takes the update; a method in its body is called, as Telegram does. Anything else, and no
  answer, is a failure: the update is posted again, first at once and then after 2, 4, 8 ... seconds, at most every
  minute, or after the answer's Retry-After. `getWebhookInfo` tells the last failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson

from dovecote.emulator.posting import PostFailed, post

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.emulator.inbox import Inbox, Update, Webhook
    from dovecote.emulator.world import Clock

LONGEST_DELAY: Final = 60
LONGEST_RETRY_AFTER: Final = 3600
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header

_LOG = logging.getLogger("dovecote.emulator")


class Webhooks:
    """The webhooks that are set. `replied` gets what a bot has answered: bot, content type and body."""

    def __init__(self, clock: Clock, replied: Callable[[int, bytes, bytes], None]) -> None:
        self._clock = clock
        self._replied = replied
        self._deliveries: dict[int, _Deliveries] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def changed(self, bot_id: int, inbox: Inbox) -> None:
        """A bot's webhook was set, replaced or deleted."""
        before = self._deliveries.pop(bot_id, None)
        if before is not None:
            before.stop()
        if inbox.webhook is None:
            return
        post_to = _Post(inbox.webhook, lambda kind, body: self._replied(bot_id, kind, body))
        deliveries = self._deliveries[bot_id] = _Deliveries(self._clock, inbox, post_to, self._tasks)
        inbox.added = deliveries.add
        for update in list(inbox.pending.values()):
            deliveries.add(update)

    def clear(self) -> None:
        """Post no more."""
        for deliveries in self._deliveries.values():
            deliveries.stop()
        self._deliveries.clear()

    async def close(self) -> None:
        """Post no more, and wait until nothing of this is left in the loop."""
        self.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)


class _Post:
    """The requests to one webhook."""

    def __init__(self, webhook: Webhook, replied: Callable[[bytes, bytes], None]) -> None:
        self._replied = replied
        self.webhook = webhook

    async def send(self, update: Update) -> tuple[str, int]:
        """Post the update; answers what was wrong ("": nothing), and the seconds of a Retry-After."""
        headers = {"Content-Type": "application/json"}
        if self.webhook.secret_token:
            headers[SECRET_HEADER] = self.webhook.secret_token
        try:
            answer = await post(self.webhook.url, headers, orjson.dumps(update.document))
        except PostFailed as failure:
            return str(failure), 0
        if not 200 <= answer.status <= 299:  # noqa: PLR2004 - HTTP's successes
            after = answer.headers.get("retry-after", "")
            return _wrong(answer.status), min(int(after), LONGEST_RETRY_AFTER) if after.isdecimal() else 0
        self._replied(answer.headers.get("content-type", "").encode("latin-1"), answer.body)
        return "", 0


def _wrong(status: int) -> str:
    return f"Wrong response from the webhook: {status} {_phrase(status)}".rstrip()


def _phrase(status: int) -> str:
    phrases: dict[int, str] = {one.value: one.phrase for one in HTTPStatus}
    return phrases.get(status, "")


class _Deliveries:
    """One bot's updates on their way, by what they are about."""

    def __init__(self, clock: Clock, inbox: Inbox, post: _Post, tasks: set[asyncio.Task[None]]) -> None:
        self._clock = clock
        self._inbox = inbox
        self._post = post
        self._slots = asyncio.Semaphore(post.webhook.max_connections)
        self._queues: dict[int, deque[Update]] = {}
        self._all_tasks = tasks
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, update: Update) -> None:
        """Post it when those before it about the same are through."""
        queue = self._queues.get(update.queue)
        if queue is not None:
            queue.append(update)
            return
        queue = self._queues[update.queue] = deque([update])
        task = asyncio.get_running_loop().create_task(self._drain(update.queue, queue))
        for tasks in (self._tasks, self._all_tasks):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def stop(self) -> None:
        """Post no more; what has not been taken stays in the inbox."""
        for task in self._tasks:
            task.cancel()

    async def _drain(self, about: int, queue: deque[Update]) -> None:
        try:
            while queue:
                await self._deliver(queue[0])
                self._inbox.pending.pop(queue.popleft().id, None)
        except Exception:
            # A fault of the emulator: without this line nobody would learn why the updates stay away.
            _LOG.exception("the emulator failed to post updates")
            raise
        finally:
            del self._queues[about]

    async def _deliver(self, update: Update) -> None:
        delay, failures = 1, 0
        while update.id in self._inbox.pending:
            async with self._slots:
                fault, wait = await self._post.send(update)
            if not fault:
                return
            self._inbox.last_error = int(self._clock.time()), fault
            if not wait and failures:
                delay = wait = min(delay * 2, LONGEST_DELAY)
            failures += 1
            await asyncio.sleep(wait / self._clock.scale)
