"""The shop's own tests: `python manage.py test`."""

from django.test import TransactionTestCase

from dovecote.integrations.django import get_dovecote
from dovecote.testing import BlockingOutbox, Harness
from orders.models import Order


class ShippingTests(TransactionTestCase):
    """An order is shipped, and what was enqueued is delivered to an emulator."""

    @classmethod
    def setUpClass(cls) -> None:
        """Take the outbox of the test database, and add the bot."""
        super().setUpClass()
        cls.outbox = BlockingOutbox(cls.enterClassContext(Harness(get_dovecote().settings.database.url)))
        cls.outbox.bot("shop")

    def test_the_customer_is_told_once(self) -> None:
        """Shipping twice sends one message."""
        order = Order.objects.create(chat_id=42)
        for _ in range(2):
            self.assertEqual(self.client.post(f"/orders/{order.pk}/ship/").status_code, 200)

        self.outbox.deliver()

        self.outbox.assert_sent(42, f"Order {order.pk} is on its way.", times=1)

    def test_an_order_that_is_not_there_tells_nobody(self) -> None:
        """The transaction is rolled back."""
        self.assertEqual(self.client.post("/orders/999/ship/").status_code, 404)

        self.outbox.deliver()

        self.outbox.assert_nothing_sent(999)
