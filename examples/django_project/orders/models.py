"""Orders."""

from django.db import models


class Order(models.Model):
    """What a customer has ordered; `chat_id` is the customer's chat with the bot."""

    class State(models.TextChoices):
        """Where it is."""

        TAKEN = "taken"
        SHIPPED = "shipped"

    chat_id = models.BigIntegerField()
    state = models.CharField(max_length=20, choices=State, default=State.TAKEN)

    def __str__(self) -> str:
        return f"order {self.pk} ({self.state})"
