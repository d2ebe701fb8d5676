"""What Alembic runs: the migrations over the connection that `stores.migrate` hands it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context

from dovecote.stores.tables import POSTGRESQL, SQLITE

if TYPE_CHECKING:
    from sqlalchemy import Connection


def run(connection: Connection) -> None:
    """Run the migrations that were asked for, in one transaction."""
    postgresql = connection.dialect.name == "postgresql"
    context.configure(
        connection=connection,
        target_metadata=(POSTGRESQL if postgresql else SQLITE).metadata,
        version_table="migration" if postgresql else "dovecote_migration",
        version_table_schema="dovecote" if postgresql else None,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
