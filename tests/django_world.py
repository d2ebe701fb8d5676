"""Django in the tests' own process: set up once, with databases that come and go."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from sqlalchemy import make_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outboxes import Outbox

AUTH_AND_MESSAGES = (
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
)
_numbers = itertools.count(1)


@cache
def set_up() -> None:
    """Configure Django, with Dovecote's app and the admin."""
    context = "django.template.context_processors.request", *AUTH_AND_MESSAGES
    settings.configure(
        SECRET_KEY="of the tests",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
        TIME_ZONE="Europe/Berlin",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="django_addresses",
        STATIC_URL="static/",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": context},
            }
        ],
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.admin",
            "dovecote.integrations.django",
        ],
    )
    django.setup()


def django_settings(url: str) -> dict[str, Any]:
    """What stands in DATABASES for the database of that URL."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parsed.database}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parsed.database,
        "USER": parsed.username,
        "PASSWORD": parsed.password or "",
        "HOST": parsed.host,
        "PORT": str(parsed.port),
    }


@contextmanager
def database_of(url: str) -> Iterator[tuple[str, Any]]:
    """The database of that URL as one of Django's: its alias, and what `django.db.connection` is for "default"."""
    set_up()
    from django.db import connections  # noqa: PLC0415 (once it has been set up)
    from django.utils.connection import ConnectionProxy  # noqa: PLC0415 (as above)

    alias = f"database-{next(_numbers)}"
    connections.settings[alias] = connections.configure_settings({"default": django_settings(url)})["default"]
    try:
        yield alias, ConnectionProxy(connections, alias)
    finally:
        del connections.settings[alias]


@dataclass(frozen=True)
class Project:
    """A project whose outbox is in the database `alias`; the tests write its rows through `outbox`."""

    alias: str
    outbox: Outbox
