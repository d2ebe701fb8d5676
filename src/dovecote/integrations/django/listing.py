"""Notifications as one table that Django can read: those that wait and those that are settled.

They stand in two tables, and a view of both in the database would be one more thing to migrate. So each query of the
model brings the table along, as a common table expression of the model's name; the database reads through it, indexes
and all.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connections
from django.db.models import sql
from django.db.models.sql.compiler import SQLCompiler

TABLE: Final = "dovecote_listing"

_REQUEST: Final = (
    "n.id, n.bot_id, (SELECT b.name FROM {bot} b WHERE b.id = n.bot_id) AS bot, n.chat, n.method,"
    " CAST(n.params AS text) AS params, n.key, {labels} AS labels, n.priority, n.at_most_once, n.enqueued_at,"
    " n.planned_at, n.expires_at, n.attempts"
)
_BOTH: Final = (
    f"SELECT {_REQUEST}, CASE WHEN n.due_at <= {{now}} THEN 'due' WHEN n.lease_token IS NULL THEN 'scheduled'"  # noqa: S608 (constants)
    " ELSE 'leased' END AS state, n.due_at, CAST(NULL AS {instant}) AS settled_at, CAST(NULL AS integer) AS error_code,"
    " CAST(NULL AS text) AS error FROM {notification} n"
    f" UNION ALL SELECT {_REQUEST}, n.outcome, CAST(NULL AS {{instant}}), n.settled_at, n.error_code, n.error"
    " FROM {history} n"
)
SQL: Final = {
    "postgresql": _BOTH.format(
        bot="dovecote.bot",
        notification="dovecote.notification",
        history="dovecote.history",
        labels="CAST(array_to_json(n.labels) AS text)",
        # Not dovecote.clock(): what is volatile would keep the indexes of the two tables from being used.
        now="statement_timestamp()",
        instant="timestamp with time zone",
    ),
    "sqlite": _BOTH.format(
        bot="dovecote_bot",
        notification="dovecote_notification",
        history="dovecote_history",
        labels="n.labels",
        # Microseconds since the epoch.
        now="CAST((julianday('now') - 2440587.5) * 86400000000 AS integer)",
        instant="integer",
    ),
}
"""The table, by the database's vendor."""

BOTS: Final = {
    "postgresql": "SELECT id, name FROM dovecote.bot ORDER BY name",
    "sqlite": "SELECT id, name FROM dovecote_bot ORDER BY name",
}


class ListingCompiler(SQLCompiler):
    """Writes the table in front of the query."""

    def as_sql(self, *args: Any, **named: Any) -> tuple[str, Any]:
        """See Django's."""
        explained, self.query.explain_info = self.query.explain_info, None
        try:
            statement, parameters = super().as_sql(*args, **named)
        finally:
            self.query.explain_info = explained
        explain = ""
        if explained is not None:
            explain = self.connection.ops.explain_query_prefix(explained.format, **explained.options) + " "
        return f"{explain}WITH {TABLE} AS ({SQL[self.connection.vendor]}) {statement}", parameters


class ListingQuery(sql.Query):
    """A query of the table. What would write finds no such table."""

    def get_compiler(self, using: str | None = None, connection: Any = None, elide_empty: bool = True) -> Any:  # noqa: FBT001, FBT002 (Django's signature)
        """See Django's."""
        return ListingCompiler(self, connections[using] if connection is None else connection, using, elide_empty)


def bots(using: str) -> list[tuple[int, str]]:
    """Id and name of every bot."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(BOTS[connection.vendor])
        return [(bot_id, name) for bot_id, name in cursor.fetchall()]
