"""The Dovecote of a Django project: one for each process and database, made when it is first asked for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, overload

from django.core.signals import setting_changed
from django.db import connections

from dovecote.config import load_settings
from dovecote.integrations.django.configuration import alias, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.app import Dovecote
    from dovecote.model import Notification

_made: dict[str, Dovecote] = {}
_making = threading.Lock()


def get_dovecote() -> Dovecote:
    """The Dovecote of this project's settings, the same one each time. May be called from any thread.

    Raises InvalidConfiguration with every fault of the settings, MissingExtra for PostgreSQL without asyncpg.
    """
    from dovecote.app import Dovecote  # noqa: PLC0415 (`manage.py` of other commands is not to wait for it)

    found = tables()
    # While tests run, the same settings mean the test database.
    url = str(found.values.get("database"))
    with _making:
        if url not in _made:
            _made[url] = Dovecote(settings=load_settings(found))
        return _made[url]


@overload
def enqueue(notifications: Notification, *, using: str | None = None) -> int: ...


@overload
def enqueue(notifications: Sequence[Notification], *, using: str | None = None) -> list[int]: ...


def enqueue(notifications: Notification | Sequence[Notification], *, using: str | None = None) -> int | list[int]:
    """Write notifications in the open `transaction.atomic` of the outbox's database, and answer their ids.

    `using` is an alias of DATABASES that leads to the same database. For code that is not async; in async code, call
    it in the function that `sync_to_async` runs, where the `transaction.atomic` has to be as well. Raises what
    `Dovecote.enqueue` does: UnsupportedConnection outside of `transaction.atomic`.
    """
    return get_dovecote().enqueue_sync(connections[using or alias()], notifications)


def _forget(*, setting: str, **_: Any) -> None:
    """Make it anew after a change of the settings, which only tests make."""
    if setting in {"DOVECOTE", "DATABASES"}:
        with _making:
            _made.clear()


setting_changed.connect(_forget, dispatch_uid="dovecote")
