"""The settings of a Django project as Dovecote's: `DOVECOTE` has the tables of dovecote.toml as dictionaries.

The URL of the outbox comes from DATABASES, so that there is one place that says where the database is. Variables
`DOVECOTE_*` win, as everywhere.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.db import connections
from sqlalchemy import URL

from dovecote.config import Tables, configuration_faults, schedule_faults
from dovecote.errors import InvalidConfiguration
from dovecote.stores.addresses import POSTGRESQL_PARAMETERS

NAME: Final = "settings.DOVECOTE"
USING: Final = "using"
REMEDY: Final = f'give {NAME} the URL of the outbox: "database": {{"url": "postgresql://..."}}'


def alias() -> str:
    """The alias in DATABASES of the outbox's database. Raises InvalidConfiguration for one that is not there."""
    chosen = _given().get(USING, "default")
    if chosen not in connections.settings:
        there = ", ".join(f'"{name}"' for name in connections.settings)
        raise InvalidConfiguration([f'{NAME}["{USING}"] is {chosen!r}: DATABASES has {there}.'])
    return str(chosen)


def tables() -> Tables:
    """The project's settings of Dovecote. Raises InvalidConfiguration where DATABASES says no URL of an outbox."""
    given = {name: _plain(value) for name, value in _given().items() if name != USING}
    database = given.setdefault("database", {})
    if isinstance(database, dict) and "url" not in database:
        given["database"] = {**database, "url": _url()}
    return Tables(NAME, given)


def faults() -> tuple[str, ...]:
    """Everything that is wrong with the settings, as sentences."""
    try:
        alias()
        found = tables()
    except InvalidConfiguration as error:
        return error.faults
    return configuration_faults(found) + schedule_faults(found)


def is_in_memory() -> bool:
    """Whether the project's database is SQLite's in memory, as Django's tests have it: that can hold no outbox."""
    wrapper = connections[alias()]
    return wrapper.vendor == "sqlite" and bool(wrapper.is_in_memory_db())


def _given() -> dict[str, Any]:
    given = getattr(settings, "DOVECOTE", {})
    if not isinstance(given, dict):
        raise InvalidConfiguration([f'{NAME} is no dictionary: write {{"worker": {{"concurrency": 50}}}}.'])
    return given


def _plain(value: Any) -> Any:
    """The value as a file would have it: BASE_DIR is a path."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if hasattr(value, "__fspath__") else value


def _url() -> str:
    # Of the connection and not of DATABASES: a test run has given it the name of the test database.
    database = connections[alias()].settings_dict
    vendor = connections[alias()].vendor
    where = f'DATABASES["{alias()}"]'
    if vendor == "sqlite":
        if connections[alias()].is_in_memory_db():
            fault = f"{where} is SQLite in memory, which workers cannot open: name a file"
            raise InvalidConfiguration([f'{fault}; for tests, "TEST": {{"NAME": BASE_DIR / "test.sqlite3"}}.'])
        return f"sqlite:///{database['NAME']}"
    if vendor != "postgresql":
        raise InvalidConfiguration([f"{where} is of {vendor}: an outbox is on PostgreSQL or SQLite."])
    options = database.get("OPTIONS", {})
    if "service" in options or not database.get("NAME"):
        raise InvalidConfiguration([f"{where} leaves it to libpq which database is meant: {REMEDY}."])
    query = {name: str(value) for name, value in options.items() if name in POSTGRESQL_PARAMETERS}
    host = str(database.get("HOST") or "")
    if host.startswith("/"):
        # The folder of a socket, which has no place between // and /.
        query["host"] = host
    return URL.create(
        "postgresql",
        username=database.get("USER") or None,
        password=database.get("PASSWORD") or None,
        host=None if host.startswith("/") else host or None,
        port=int(database["PORT"]) if database.get("PORT") else None,
        database=str(database["NAME"]),
        query=query,
    ).render_as_string(hide_password=False)
