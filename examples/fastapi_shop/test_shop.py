"""The shop's own tests: `pytest`. The fixtures `dovecote` and `blocking_outbox` come with Dovecote."""

from collections.abc import Iterator
from typing import Any

import pytest
import shop
from fastapi.testclient import TestClient

from dovecote import Dovecote
from dovecote.testing import BlockingOutbox

LOFT = {"chat_id": 42, "item": "a pigeon loft"}


@pytest.fixture
def client(dovecote: Dovecote, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The shop, on the test's own database."""
    monkeypatch.setenv(shop.TOKEN_VARIABLE, "4242:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr")
    monkeypatch.setattr(shop, "dovecote", dovecote)
    monkeypatch.setattr(shop, "sessions", shop.sessions_beside(dovecote))
    with TestClient(shop.app, raise_server_exceptions=False) as client:
        yield client


def test_a_customer_is_told_of_each_step_once(client: TestClient, blocking_outbox: BlockingOutbox) -> None:
    """Shipping twice tells nobody twice."""
    order = client.post("/orders", json=LOFT).json()["id"]
    for _ in range(2):
        client.post(f"/orders/{order}/ship")
    blocking_outbox.assert_nothing_sent()  # until it is delivered

    blocking_outbox.deliver()

    texts = [message.text for message in blocking_outbox.sent_to(42)]
    assert texts == [f"We have your order {order}: a pigeon loft.", f"Your order {order} is on its way."]


def test_a_request_that_fails_tells_nobody(
    client: TestClient, dovecote: Dovecote, blocking_outbox: BlockingOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is not there, and neither is the message about it."""
    enqueue = dovecote.enqueue

    async def enqueue_and_fail(*given: Any) -> None:
        await enqueue(*given)
        raise RuntimeError("the request fails after the message was enqueued")

    with monkeypatch.context() as broken:
        broken.setattr(dovecote, "enqueue", enqueue_and_fail)
        assert client.post("/orders", json=LOFT).status_code == 500

    blocking_outbox.deliver()

    blocking_outbox.assert_nothing_sent()
    assert client.post("/orders/1/ship").status_code == 404
