"""A database with the newest schema, for whatever a test starts from."""

from __future__ import annotations

import asyncio
import threading

from alembic.script import ScriptDirectory

from dovecote.stores.database import MIGRATIONS, Database, outbox_url

HEAD = ScriptDirectory(str(MIGRATIONS)).get_current_head()
"""The newest revision of the schema."""


def migrate(url: str) -> None:
    """Migrate a database to the newest schema; from a thread, since an event loop may be running in this one."""

    async def run() -> None:
        database = Database(outbox_url(url))
        await database.migrate()
        await database.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    thread.join()
