"""Migrations: up and down from nothing, equal to the tables of today, and one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import connect
from migrated import HEAD
from sqlalchemy import Connection, Identity, inspect, text

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.stores import database as database_module
from dovecote.stores.database import Database, outbox_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TABLES = [
    "attachment",
    "attempt",
    "bot",
    "bot_retention",
    "broadcast",
    "broadcast_recipient",
    "chat_wait",
    "direct_upload",
    "file",
    "file_copy",
    "file_id",
    "file_name",
    "file_store",
    "history",
    "history_count",
    "idle_worker",
    "installation",
    "instance",
    "job",
    "job_run",
    "job_stranger",
    "leadership_lease",
    "leadership_term",
    "loose_object",
    "notification",
    "notification_key",
    "occurrence",
    "recipient",
    "schedule",
    "schedule_file",
    "switch",
    "trace_context",
]
FIXTURES = {"sqlite": "sqlite_url", "postgresql-18": "postgres_url", "postgresql-17": "postgres17_url"}


@pytest.fixture(params=FIXTURES)
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with nothing in it."""
    url: str = request.getfixturevalue(FIXTURES[request.param])
    return url


@pytest_asyncio.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    database = Database(outbox_url(empty_url))
    yield database
    await database.close()


async def tables(database: Database) -> list[str]:
    """Dovecote's tables, without the prefix and without the record of migrations."""

    def read(connection: Connection) -> list[str]:
        names = inspect(connection).get_table_names(schema="dovecote" if database.is_postgresql else None)
        return sorted(name.removeprefix("dovecote_") for name in names)

    return [name for name in await database.run(read) if name != "migration"]


async def test_up_down_and_up_again(database: Database) -> None:
    await database.migrate()
    assert await tables(database) == TABLES
    first = await database.installation()

    await database.migrate("base")
    assert await tables(database) == []
    assert (await database.revision())[0] is None

    await database.migrate()
    assert await tables(database) == TABLES
    assert await database.installation() != first
    await database.check_migrated()


async def test_down_leaves_nothing_but_the_record_of_migrations(database: Database) -> None:
    await database.migrate()
    await database.migrate("base")

    statement = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'dovecote'::regnamespace"
        " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'dovecote'::regnamespace"
        if database.is_postgresql
        else "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    )
    left = await database.run(lambda connection: sorted(connection.execute(text(statement)).scalars()))

    assert left in (["migration", "migration_pkc"], ["dovecote_migration"])


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await database.migrate()
    first = await database.installation()

    await database.migrate()

    assert await database.installation() == first


async def test_the_migrated_schema_equals_the_tables(database: Database) -> None:
    await database.migrate()

    def differences(connection: Connection) -> list[Any]:
        if database.is_postgresql:
            # The tests' user is named like the schema, which would make it the default one and hide its name.
            connection.execute(text("SET LOCAL search_path TO public"))
            connection.dialect.default_schema_name = "public"
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": "migration" if database.is_postgresql else "dovecote_migration",
                "version_table_schema": "dovecote" if database.is_postgresql else None,
                "include_schemas": True,
                "include_name": lambda name, type_, _parents: type_ != "schema" or name in {None, "dovecote"},
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        found = list(compare_metadata(context, database.tables.metadata))
        # SQLite knows no identities: an integer primary key numbers itself.
        return [each for each in found if database.is_postgresql or not _is_identity(each)]

    assert await database.run(differences) == []


def _is_identity(difference: Any) -> bool:
    return isinstance(difference, list) and all(
        change[0] == "modify_default" and isinstance(change[-1], Identity) for change in difference
    )


async def test_the_migrated_schema_equals_the_tables_where_no_comparison_looks(database: Database) -> None:
    await database.migrate()
    migrated = await database.run(lambda connection: conditions(connection, database))

    def create(connection: Connection) -> dict[str, str]:
        database.tables.metadata.drop_all(connection)
        database.tables.metadata.create_all(connection)
        return conditions(connection, database)

    created = await database.run(create, write=True)

    assert len(created) >= (23 if database.is_postgresql else 18)
    assert migrated == created


def conditions(connection: Connection, database: Database) -> dict[str, str]:
    """Each index, check and (on SQLite) table as the database words it: Alembic does not compare conditions."""
    statement = (
        """
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'dovecote' AND tablename <> 'migration'
        UNION ALL
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'dovecote'::regnamespace AND conrelid <> 'dovecote.migration'::regclass
        """
        if database.is_postgresql
        else """
        SELECT name, sql FROM sqlite_master
        WHERE sql IS NOT NULL AND type <> 'trigger' AND tbl_name LIKE 'dovecote_%' AND tbl_name <> 'dovecote_migration'
        """
    )
    return {name: " ".join(words.split()) for name, words in connection.execute(text(statement))}


async def test_an_empty_database_is_not_migrated(database: Database) -> None:
    with pytest.raises(NotMigrated, match=f"at no revision, and this version of Dovecote needs {HEAD}: run `dovecote"):
        await database.check_migrated()


async def test_another_versions_schema_is_not_migrated(database: Database) -> None:
    await database.migrate()
    table = "dovecote.migration" if database.is_postgresql else "dovecote_migration"
    await database.run(lambda c: c.execute(text(f"UPDATE {table} SET version_num = '9999'")), write=True)  # noqa: S608

    complaint = rf"at revision 9999, which this version of Dovecote does not know \(it needs {HEAD}\).*upgrade the"
    with pytest.raises(NotMigrated, match=complaint):
        await database.check_migrated()
    with pytest.raises(NotMigrated, match=complaint):
        await database.migrate()
    assert (await database.revision())[0] == "9999"


async def test_an_older_versions_schema_is_to_be_migrated(database: Database) -> None:
    await database.migrate("0001")

    with pytest.raises(
        NotMigrated, match=f"at revision 0001, and this version of Dovecote needs {HEAD}: run `dovecote"
    ):
        await database.check_migrated()


async def test_the_password_is_no_part_of_the_complaint(postgres_url: str) -> None:
    database = Database(outbox_url(postgres_url).set(password="mystery"))
    try:
        with pytest.raises(NotMigrated) as complaint:
            await database.check_migrated()
    finally:
        await database.close()

    assert "mystery" not in str(complaint.value)


async def test_statements_before_any_migration_say_what_to_run(database: Database) -> None:
    with pytest.raises(NotMigrated, match="run `dovecote migrate`"):
        await database.installation()


@pytest.mark.parametrize("url", ["postgres_url", "postgres17_url", "sqlite_url"])
async def test_instances_that_migrate_at_the_same_moment_migrate_once(request: pytest.FixtureRequest, url: str) -> None:
    databases = [Database(outbox_url(request.getfixturevalue(url))) for _ in range(4)]
    try:
        await asyncio.gather(*(database.migrate() for database in databases))

        identities = {await database.installation() for database in databases}
        await databases[0].check_migrated()
    finally:
        for database in databases:
            await database.close()

    assert len(identities) == 1


async def test_the_applications_own_tables_are_left_alone(postgres_url: str) -> None:
    with connect(postgres_url) as connection:
        connection.execute("CREATE TABLE notification (id int)")
    database = Database(outbox_url(postgres_url))
    try:
        await database.migrate()
        await database.migrate("base")
    finally:
        await database.close()

    with connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM notification").fetchone() == (0,)


async def test_a_table_that_somebody_holds_is_asked_for_in_short_turns_and_nobody_waits_behind_it_for_long(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "TABLE_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(database_module, "MIGRATION_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(database_module, "MIGRATION_TRIES", 2)
    database = Database(outbox_url(postgres_url))
    try:
        await database.migrate("0014")
        with connect(postgres_url) as holder, holder.transaction():
            holder.execute("SELECT count(*) FROM dovecote.bot")
            with pytest.raises(StoreUnavailable, match="another transaction holds it all the time: end that one"):
                await database.migrate()
            assert (await database.revision())[0] == "0014"

        await database.migrate()
        await database.check_migrated()
    finally:
        await database.close()
