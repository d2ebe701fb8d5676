"""What is claimed of a broadcast: its content in its place, and nothing sent once it is paused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dovecote.broadcasts import RenderedChannel, RenderedOutbox, Renderer
from dovecote.broadcasts.content import checked_form
from dovecote.errors import StoreUnavailable
from dovecote.model import (
    Broadcast,
    BroadcastKind,
    ClaimedNotification,
    Cycle,
    Dead,
    Delivered,
    DeliveryPolicy,
    Released,
    StoredContent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dovecote.model import Outcome

HELLO = Broadcast(name="hello", bot="shop", text="Hello {{ name }}", template=True)
PLAIN = Broadcast(name="plain", bot="shop", text="Hello")


class Contents:
    """Broadcast 1 is a template, 2 is none, 3 is a recall, and there are no others."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.paused: list[int] = []
        self.away = False

    async def contents(self, ids: Sequence[int]) -> Sequence[StoredContent]:
        self._ask("contents")
        known = {1: (HELLO, BroadcastKind.SEND), 2: (PLAIN, BroadcastKind.SEND), 3: (PLAIN, BroadcastKind.RECALL)}
        return [StoredContent(id_, checked_form(*known[id_]), known[id_][1]) for id_ in ids if id_ in known]

    async def halted(self, ids: Sequence[int]) -> Sequence[int]:
        self._ask("halted")
        return [id_ for id_ in ids if id_ in self.paused]

    async def personal(
        self, broadcast_id: int, notification_ids: Sequence[int]
    ) -> Mapping[int, tuple[str | None, dict[str, Any]]]:
        del broadcast_id
        self._ask("personal")
        return {id_: (None, {"name": str(id_)} if id_ < 100 else {}) for id_ in notification_ids if id_ < 1000}

    def _ask(self, what: str) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.asked.append(what)


class Sent:
    """A channel that remembers."""

    def __init__(self) -> None:
        self.params: list[dict[str, Any]] = []

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        self.params.append(json.loads(claimed.params))
        return Delivered((1,))

    async def close(self) -> None:
        pass


class Claims:
    """An outbox whose next claim is given."""

    statements = 0

    def __init__(self) -> None:
        self.next: Sequence[ClaimedNotification] = ()

    async def cycle(self, *_: object, **__: object) -> Cycle:
        return Cycle(self.next)

    async def wait(self, timeout: timedelta) -> None:
        del timeout

    async def close(self) -> None:
        pass


class Parts:
    def __init__(self) -> None:
        self.now = 0.0
        self.contents, self.sent, self.claims = Contents(), Sent(), Claims()
        renderer = Renderer(self.contents, monotonic=lambda: self.now)
        self.outbox = RenderedOutbox(self.claims, renderer)
        self.channel = RenderedChannel(self.sent, renderer)

    async def claim(self, *claims: ClaimedNotification) -> Sequence[ClaimedNotification]:
        self.claims.next = claims
        return (await self.outbox.cycle([], claim=10, lease=timedelta(60))).claimed

    async def send(self, claimed: ClaimedNotification) -> Outcome:
        return await self.channel.send(claimed, "token", timeout=timedelta(seconds=1))


@pytest.fixture
def parts() -> Parts:
    return Parts()


def claimed(id_: int, params: dict[str, Any]) -> ClaimedNotification:
    written = json.dumps(params, separators=(",", ":"))
    policy = DeliveryPolicy.AT_LEAST_ONCE
    return ClaimedNotification(id_, 1, 1, "shop", str(id_), "sendMessage", written, policy, 1, 0, 0.0, None)


def of(broadcast: int, id_: int, **more: Any) -> ClaimedNotification:
    reference = f"broadcast://{broadcast}"
    return claimed(id_, {"broadcast": reference, "text": reference, **more})


async def test_a_batch_without_broadcasts_asks_nothing(parts: Parts) -> None:
    plain = claimed(5, {"text": 'see "broadcast' + '://1"'})

    (found,) = await parts.claim(claimed(6, {"text": "hi"}))
    assert isinstance(await parts.send(found), Delivered)
    assert parts.contents.asked == []
    (found,) = await parts.claim(plain)
    assert found == plain


async def test_a_batch_asks_once_for_contents_and_once_for_recipients(parts: Parts) -> None:
    found = await parts.claim(of(1, 5), claimed(6, {"text": "hi"}), of(1, 7), of(2, 8, message_thread_id=3))

    assert [json.loads(each.params) for each in found] == [
        {"text": "Hello 5"},
        {"text": "hi"},
        {"text": "Hello 7"},
        {"message_thread_id": 3, "text": "Hello"},
    ]
    assert parts.contents.asked == ["contents", "personal"]
    await parts.claim(of(1, 9))
    assert parts.contents.asked == ["contents", "personal", "personal"]


async def test_a_recall_has_no_text(parts: Parts) -> None:
    (found,) = await parts.claim(claimed(5, {"message_id": 3, "broadcast": "broadcast://3"}))
    assert json.loads(found.params) == {"message_id": 3}


@pytest.mark.parametrize(
    ("notification", "why"),
    [
        (of(1, 100), "its text cannot be made: template: 'name' is undefined."),
        (of(1, 1000), "it is none of the recipients of broadcast 1"),
        (of(9, 5), "there is no broadcast 9: it was deleted"),
    ],
)
async def test_what_has_no_text_is_a_dead_letter_that_says_why(
    parts: Parts, notification: ClaimedNotification, why: str
) -> None:
    (found,) = await parts.claim(notification)

    assert found == notification
    assert await parts.send(found) == Dead(why)
    assert parts.sent.params == []


async def test_without_the_database_it_is_given_back_and_not_lost(parts: Parts) -> None:
    parts.contents.away = True
    (found,) = await parts.claim(of(2, 5))
    assert await parts.send(found) == Released(timedelta(seconds=1))

    parts.contents.away = False
    assert isinstance(await parts.send(found), Delivered)
    assert parts.sent.params == [{"text": "Hello"}]


async def test_what_is_in_hand_when_it_is_paused_goes_back_within_a_quarter_of_a_second(parts: Parts) -> None:
    one, two, three, other = await parts.claim(of(2, 1), of(2, 2), of(2, 3), claimed(4, {"text": "hi"}))
    assert isinstance(await parts.send(one), Delivered)
    parts.contents.paused = [2]

    parts.now = 0.2
    assert isinstance(await parts.send(two), Delivered)
    parts.now = 0.3
    assert await parts.send(three) == Released(timedelta(seconds=1))
    assert isinstance(await parts.send(other), Delivered)

    parts.contents.paused = []
    parts.now = 0.6
    (again,) = await parts.claim(of(2, 3))
    assert isinstance(await parts.send(again), Delivered)
    assert parts.contents.asked.count("halted") == 3


async def test_while_the_database_is_away_what_it_said_last_holds(parts: Parts) -> None:
    parts.contents.paused = [2]
    one, two, three = await parts.claim(of(2, 1), of(2, 2), of(1, 3))
    assert await parts.send(one) == Released(timedelta(seconds=1))

    parts.contents.away = True
    parts.now = 1.0

    assert await parts.send(two) == Released(timedelta(seconds=1))
    assert isinstance(await parts.send(three), Delivered)
