"""The shop's own tests: `python manage.py test`."""

import contextlib

from asgiref.sync import async_to_sync
from django.test import TestCase

from dovecote.errors import BotExists
from dovecote.integrations.django import get_dovecote
from dovecote.integrations.django.models import Notification
from orders.models import Order


class ShippingTests(TestCase):
    """An order is shipped."""

    @classmethod
    def setUpClass(cls) -> None:
        """Add the bot, before the transaction begins that every test here is in: it is another connection's work."""
        with contextlib.suppress(BotExists):
            async_to_sync(get_dovecote().add_bot)("shop", token_variable="SHOP_BOT_TOKEN")
        super().setUpClass()

    def test_the_customer_is_told_once(self) -> None:
        """Shipping twice enqueues one notification."""
        order = Order.objects.create(chat_id=42)

        for _ in range(2):
            self.assertEqual(self.client.post(f"/orders/{order.pk}/ship/").status_code, 200)

        (told,) = Notification.objects.all()
        self.assertEqual((told.chat, told.state), ("42", "due"))
