"""Dovecote in a Django project: enqueue in `transaction.atomic`, `manage.py dovecote`, notifications in the admin.

    INSTALLED_APPS = [..., "dovecote.integrations.django"]
    DOVECOTE = {"encryption": {"keys_file": BASE_DIR / "dovecote.keys"}}

    with transaction.atomic():
        order.save()
        enqueue(Notification(bot="shop", chat_id=42, text="On its way", key=f"order-{order.pk}-shipped"))

The outbox is in the project's own database; `manage.py migrate` makes it and brings it up to date. Dovecote's tables
stay Alembic's: the only model here is a view of them that Django reads and never writes.
"""

try:
    import django  # noqa: F401 (an extra)
except ImportError as error:
    from dovecote.errors import MissingExtra

    raise MissingExtra("django", "Dovecote in a Django project") from error

from dovecote.integrations.django.project import enqueue, get_dovecote

__all__ = ["enqueue", "get_dovecote"]
