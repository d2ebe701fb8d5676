"""The storages that the tests run over.

DOVECOTE_TEST_S3   an S3 server to use in place of the wheel's: http://KEY:SECRET@HOST:PORT, see s3_server.py
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from s3_server import S3Place, S3Server

from dovecote.storage import LocalStorage, MemoryStorage, S3Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    S3Maker = Callable[..., S3Storage]


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Place]:
    """The S3 server. Shared: not to be stopped by a test."""
    if given := os.environ.get("DOVECOTE_TEST_S3"):
        yield S3Place.of(given)
    else:
        with S3Server() as server:
            yield server.place


@pytest.fixture
def own_s3() -> Iterator[S3Server]:
    """A server of the test's own, running: to be killed and restarted."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def bucket(s3: S3Place) -> str:
    """A bucket. Shared, for a bucket is dear; a test keeps to a prefix of its own."""
    return s3.create_bucket()


@pytest.fixture
def prefix() -> str:
    """A prefix of the test's own in the shared bucket."""
    return f"tests/{uuid.uuid4().hex}"


@pytest.fixture
def s3_storage(s3: S3Place, bucket: str, prefix: str) -> S3Maker:
    """Makes an S3Storage under the test's own prefix, with other settings where they are given."""

    def make(bucket: str = bucket, **settings: Any) -> S3Storage:
        return S3Storage(
            bucket,
            settings.pop("endpoint", s3.endpoint),
            **{
                "prefix": prefix,
                "access_key_id": s3.writer.access_key_id,
                "secret_access_key": s3.writer.secret_access_key,
                **settings,
            },
        )

    return make


@pytest.fixture
async def storage(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[LocalStorage | MemoryStorage | S3Storage]:
    """A storage of the kind that the test names, empty."""
    made: LocalStorage | MemoryStorage | S3Storage
    match request.param:
        case "local":
            made = LocalStorage(tmp_path / "files")
        case "memory":
            made = MemoryStorage()
        case _:
            made = request.getfixturevalue("s3_storage")()
    yield made
    await made.close()
