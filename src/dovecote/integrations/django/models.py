"""Notifications for Django to read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from dovecote.integrations.django.configuration import alias
from dovecote.integrations.django.listing import TABLE, ListingQuery

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InstantField(models.Field):
    """A moment as Dovecote keeps it: `timestamptz`, or whole microseconds since the epoch on SQLite."""

    def from_db_value(self, value: Any, _expression: Any, _connection: Any) -> datetime | None:
        """Read it as one of Django's own would be, aware or not as USE_TZ has it."""
        if not isinstance(value, int):
            moment: datetime | None = value
            return moment
        instant = EPOCH + timedelta(microseconds=value)
        return instant if settings.USE_TZ else timezone.make_naive(instant, timezone.get_default_timezone())


class Notifications(models.Manager):
    """All of them, in the outbox's database."""

    def get_queryset(self) -> models.QuerySet:
        """See Django's."""
        return models.QuerySet(self.model, ListingQuery(self.model), using=alias(), hints=self._hints)


class Notification(models.Model):
    """One notification, in the outbox or settled."""

    id = models.BigIntegerField(primary_key=True)
    bot_id = models.IntegerField()
    bot = models.TextField()
    chat = models.TextField()
    method = models.TextField()
    params = models.TextField("parameters")
    key = models.TextField()
    labels = models.TextField()
    priority = models.SmallIntegerField()
    at_most_once = models.BooleanField()
    enqueued_at = InstantField("enqueued")
    planned_at = InstantField("planned")
    due_at = InstantField("due")
    expires_at = InstantField("expires")
    settled_at = InstantField("settled")
    attempts = models.IntegerField()
    state = models.TextField()
    error_code = models.IntegerField()
    error = models.TextField()

    objects = Notifications()

    class Meta:
        """Not Django's to migrate."""

        managed = False
        db_table = TABLE
        # To see them is the only thing that anybody may be allowed to.
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.id}: {self.method} to {self.chat or 'no chat'} ({self.state})"
