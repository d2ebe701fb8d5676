"""Faults happen on SQLite and on PostgreSQL, on a fresh migrated database each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deliveries import fresh_outbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    yield from fresh_outbox(request, tmp_path)
