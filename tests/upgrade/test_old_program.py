"""An older version goes on working while and after a newer one has migrated: the program itself, not its schema.

`dovecote-0014.tar.xz` is that version, as it was when 0014 was the newest schema, without what it does not need here:

    git archive REVISION -- src/dovecote ':(exclude)src/dovecote/emulator' ':(exclude)src/dovecote/cli' ... | xz -9e

Another takes its place when it is out of use. It is kept here since a clone need not have its history.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from migrated import HEAD, migrate

from dovecote import Dovecote
from dovecote.config import Settings
from dovecote.emulator import Emulator
from dovecote.vault import generate_key

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
REVISION = "0014"
END_SECONDS = 90.0
EVERY_OTHER = [*range(1, 4), *range(101, 104), -1, -101, *range(1001, 1021)]


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the older version's package."""
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(HERE / f"dovecote-{REVISION}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with nothing in it."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IO[str]]:
    with (tmp_path / "log").open("w+") as log:
        yield log


@contextlib.contextmanager
def running(older: Path, log: IO[str], **given: str) -> Iterator[subprocess.Popen[str]]:
    """The older version's program, killed at the end if it is still there."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "old_program.py"), json.dumps(given)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "PYTHONPATH": str(older)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def told(process: subprocess.Popen[str], log: IO[str]) -> dict[str, Any]:
    """The next line of what it tells."""
    assert process.stdout is not None
    line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), END_SECONDS)
    log.seek(0)
    assert line, log.read()[-4000:]
    found: dict[str, Any] = json.loads(line)
    return found


async def test_it_enqueues_delivers_and_broadcasts_on_the_newest_schema(
    empty_url: str, older: Path, log: IO[str]
) -> None:
    key = generate_key()
    async with Emulator() as emulator:
        with running(older, log, url=empty_url, base_url=emulator.url, key=key) as process:
            before = await told(process, log)
            assert before["package"] == str(older / "dovecote" / "__init__.py")
            assert before["revision"] == REVISION != HEAD

            await asyncio.to_thread(migrate, empty_url)
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

            assert "the program is older than the schema" in (await told(process, log))["would_start_again"]
            assert await told(process, log) == {"delivered": 28, "dead": 0, "due": 0}
            assert await asyncio.to_thread(process.wait, END_SECONDS) == 0

        copies = Counter(record.parameters["chat_id"] for record in emulator.accepted)
        assert copies == Counter(EVERY_OTHER)

    settings = Settings.model_validate({"encryption": {"keys": [key]}})
    async with Dovecote(empty_url, settings=settings) as dovecote:
        await dovecote.check()
        # What was settled before the migration was counted by it, and what came after as it came.
        assert (await dovecote.stats()).delivered == 28
        assert (await dovecote.broadcasts.get("before")).counts.recipients == 20
