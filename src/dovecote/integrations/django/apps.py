"""The app: what is checked at the start, and that `manage.py migrate` migrates the outbox, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate

from dovecote.integrations.django import configuration
from dovecote.integrations.django.project import get_dovecote
from dovecote.stores.own_loop import in_own_loop

if TYPE_CHECKING:
    from dovecote.app import Dovecote


class DovecoteConfig(AppConfig):
    """`"dovecote.integrations.django"` in INSTALLED_APPS."""

    name = "dovecote.integrations.django"
    label = "dovecote"
    verbose_name = "Dovecote"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect to Django."""
        checks.register(check_settings)
        post_migrate.connect(migrate_outbox, sender=self, dispatch_uid="dovecote")


def check_settings(**_: Any) -> list[checks.Error]:
    """A check of Django's: every fault of the settings."""
    # Without a file there is no outbox in tests, which is no fault until something is enqueued.
    if not _says_nothing_wrong():
        return [checks.Error(fault, id="dovecote.E001") for fault in configuration.faults()]
    return []


def _says_nothing_wrong() -> bool:
    try:
        return configuration.is_in_memory()
    except ValueError:
        return False


def migrate_outbox(*, using: str, verbosity: int = 1, **_: Any) -> None:
    """After `manage.py migrate` of the outbox's database: make the outbox, or bring its schema to this version's."""
    if using != configuration.alias() or configuration.is_in_memory():
        return
    before, after = in_own_loop(_migrated(get_dovecote()))
    if verbosity and before != after:
        print(f"  The outbox of Dovecote is at revision {after} now; it was at {before or 'none'}.")  # noqa: T201 (as migrate)


async def _migrated(dovecote: Dovecote) -> tuple[str | None, str | None]:
    before, wanted = await dovecote.database.revision()
    if before != wanted:
        await dovecote.migrate()
    return before, wanted
