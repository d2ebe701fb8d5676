"""The fixtures of `dovecote.testing`, on SQLite, and on PostgreSQL where a test asks for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from old_outbox import OldOutbox

if TYPE_CHECKING:
    from dovecote import Dovecote
    from dovecote.testing import Outbox


@pytest.fixture
def dovecote_database_url(request: pytest.FixtureRequest) -> str | None:
    """Where the test's outbox is."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def old_outbox(dovecote: Dovecote, outbox: Outbox) -> OldOutbox:
    """The old table, empty, and the bot that takes over."""
    await outbox.bot()
    old = OldOutbox(dovecote)
    await old.make()
    return old
