"""The outbox that an application had before Dovecote, beside Dovecote's own tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote import Dovecote


class OldOutbox:
    """The table that an application had before."""

    def __init__(self, dovecote: Dovecote) -> None:
        self._database = dovecote.database

    async def make(self) -> None:
        instant = "timestamptz" if self._database.is_postgresql else "text"
        await self.sql(
            "CREATE TABLE old_outbox (id bigint PRIMARY KEY, chat text, body text, call text, payload text,"
            f" send_at {instant}, state text NOT NULL DEFAULT 'new', sent_at {instant})"
        )

    async def sql(self, statement: str, **values: Any) -> Sequence[Any]:
        def run(connection: Any) -> Sequence[Any]:
            result = connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

        return await self._database.run(run, write=True)

    async def put(self, *ids: int, chat: str | None = "42", **values: str | None) -> None:
        for id_ in ids:
            columns = {"id": id_, "chat": chat, "body": f"text {id_}", **values}
            names = ", ".join(columns)
            marks = ", ".join(f":{name}" for name in columns)
            await self.sql(f"INSERT INTO old_outbox ({names}) VALUES ({marks})", **columns)  # noqa: S608 (names of ours)

    async def states(self) -> dict[int, str]:
        return {row.id: row.state for row in await self.sql("SELECT id, state FROM old_outbox ORDER BY id")}
