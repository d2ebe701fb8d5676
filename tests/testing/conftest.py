"""The fixtures on SQLite, and on PostgreSQL where a test asks for both."""

from __future__ import annotations

import pytest


@pytest.fixture
def dovecote_database_url(request: pytest.FixtureRequest) -> str | None:
    """Where the test's outbox is."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_url")
    return url
