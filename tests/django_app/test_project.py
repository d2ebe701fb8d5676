"""Dovecote in a Django project: enqueuing, the settings, `manage.py dovecote` and `manage.py migrate`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings
from django_world import database_of
from migrated import HEAD

from dovecote import InvalidConfiguration, Notification, UnsupportedConnection, WrongDatabase
from dovecote.integrations.django import configuration, enqueue, get_dovecote
from dovecote.stores.database import Database, outbox_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databases import PostgresDatabases
    from django_world import Project

HELLO = Notification(bot="shop", chat_id=7, text="hello")
POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "shop",
    "USER": "",
    "PASSWORD": "",
    "HOST": "",
    "PORT": "",
    "OPTIONS": {},
}


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOVECOTE_CONFIG", "DOVECOTE_DATABASE_URL", "DOVECOTE_WORKER_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)


def places(project: Project) -> dict[int, str]:
    return asyncio.run(project.outbox.places())


class TestEnqueue:
    def test_what_is_committed_is_in_the_outbox_and_what_is_rolled_back_is_not(self, project: Project) -> None:
        with transaction.atomic(using=project.alias):
            first = enqueue(HELLO)
            others = enqueue([HELLO, HELLO])
            with suppress(ZeroDivisionError), transaction.atomic(using=project.alias):
                enqueue(HELLO)
                raise ZeroDivisionError
        with suppress(ZeroDivisionError), transaction.atomic(using=project.alias):
            enqueue(HELLO)
            raise ZeroDivisionError

        assert places(project) == dict.fromkeys([first, *others], "waiting")

    def test_outside_of_atomic_nothing_is_written(self, project: Project) -> None:
        with pytest.raises(UnsupportedConnection, match=r"`with transaction\.atomic\(\):` around"):
            enqueue(HELLO)

        assert places(project) == {}

    def test_what_stands_for_a_cache_is_no_connection(self, project: Project) -> None:
        with (
            transaction.atomic(using=project.alias),
            pytest.raises(UnsupportedConnection, match="ConnectionProxy is no"),
        ):
            get_dovecote().enqueue_sync(cache, HELLO)

        assert places(project) == {}

    def test_another_database_is_refused(self, project: Project) -> None:
        with transaction.atomic(using="default"), pytest.raises(WrongDatabase, match=r"another database|one to sqlite"):
            enqueue(HELLO, using="default")

        assert places(project) == {}

    def test_the_awaited_enqueue_under_async_to_sync(self, project: Project) -> None:
        with transaction.atomic(using=project.alias):
            connection = connections[project.alias]
            kept = async_to_sync(get_dovecote().enqueue)(connection, HELLO)
        with suppress(ZeroDivisionError), transaction.atomic(using=project.alias):
            async_to_sync(get_dovecote().enqueue)(connection, HELLO)
            raise ZeroDivisionError

        assert places(project) == {kept: "waiting"}

    async def test_async_code_calls_it_where_its_transaction_is(self, database: str) -> None:
        with database_of(database) as (alias, connection), override_settings(DOVECOTE={"using": alias}):
            await get_dovecote().add_bot("shop", token_variable="TOKEN")

            def ship() -> int:
                with transaction.atomic(using=alias):
                    return enqueue(HELLO)

            notification_id = await sync_to_async(ship)()
            with pytest.raises(UnsupportedConnection, match="in async code, in a function that sync_to_async calls"):
                await get_dovecote().enqueue(connection, HELLO)

            assert (await get_dovecote().notification(notification_id)).state == "due"
            await sync_to_async(lambda: connection.close())()  # noqa: PLW0108 (which one, is a matter of the thread)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestSettings:
    def url(self, **changed: Any) -> str:
        connections.settings["other"] = connections.configure_settings({"default": {**POSTGRESQL, **changed}})[
            "default"
        ]
        try:
            with override_settings(DOVECOTE={"using": "other"}):
                database: str = configuration.tables().values["database"]["url"]
                return database
        finally:
            del connections.settings["other"]
            del connections["other"]

    @pytest.mark.usefixtures("project")
    def test_the_url_is_of_databases(self) -> None:
        assert self.url() == "postgresql:///shop"
        assert self.url(HOST="db", PORT="6432", USER="sh@p", PASSWORD="a/b@c:%") == (
            "postgresql://sh%40p:a%2Fb%40c%3A%25@db:6432/shop"
        )
        assert self.url(HOST="/run/postgresql", USER="shop") == "postgresql://shop@/shop?host=%2Frun%2Fpostgresql"
        assert (
            self.url(HOST="db", OPTIONS={"sslmode": "require", "pool": True}) == "postgresql://db/shop?sslmode=require"
        )
        assert self.url(ENGINE="django.db.backends.sqlite3", NAME=Path("/srv/shop.db")) == "sqlite:////srv/shop.db"

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"OPTIONS": {"service": "shop"}}, "libpq which database is meant: give settings.DOVECOTE the URL"),
            ({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, 'for tests, "TEST": {"NAME": BASE_DIR'),
            ({"ENGINE": "django.db.backends.dummy", "NAME": ""}, "is of unknown: an outbox is on PostgreSQL or SQLite"),
        ],
    )
    @pytest.mark.usefixtures("project")
    def test_a_database_that_can_have_no_outbox(self, changed: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidConfiguration, match=words):
            self.url(**changed)

    def test_tables_and_variables(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = {
            "using": project.alias,
            "worker": {"concurrency": 7, "batch_size": 9},
            "encryption": {"keys_file": Path("of-django.keys")},
        }
        monkeypatch.setenv("DOVECOTE_WORKER_CONCURRENCY", "8")
        with override_settings(DOVECOTE=settings):
            found = configuration.tables()
            assert found.values["encryption"] == {"keys_file": "of-django.keys"}
            with override_settings(DOVECOTE={**settings, "encryption": {}}):
                worker = get_dovecote().settings.worker

        assert (worker.concurrency, worker.batch_size) == (8, 9)

    def test_one_dovecote_for_all_threads_and_a_new_one_for_other_settings(self, project: Project) -> None:
        first = get_dovecote()
        assert get_dovecote() is first

        with override_settings(DOVECOTE={"using": project.alias, "worker": {"concurrency": 3}}):
            assert get_dovecote() is not first

    @pytest.mark.parametrize(
        ("settings", "faults"),
        [
            ({"wroker": {}}, ['"settings.DOVECOTE" has the unknown table "wroker": did you mean [worker]?']),
            (
                {"worker": {"concurrency": "many"}, "log": "debug"},
                [
                    '"settings.DOVECOTE" has log as a value: it is a table, write "log": {...}.',
                    'worker.concurrency is "many" (in settings.DOVECOTE): it takes a whole number from 1 to 10000.',
                ],
            ),
            ({"using": "replica"}, ["settings.DOVECOTE[\"using\"] is 'replica': DATABASES has "]),
            (7, ['settings.DOVECOTE is no dictionary: write {"worker": {"concurrency": 50}}.']),
            (
                {"schedule": [{"name": "x"}]},
                [
                    "schedule x: bot: None is none: give a name.",
                    "schedule x: cron: 0 of cron, every, at, dates are given",
                    "schedule x: chat: 0 of chat, chats, everybody are given",
                    "schedule x: text: None is no text",
                ],
            ),
        ],
    )
    def test_every_fault_is_an_error_of_djangos_checks(
        self, project: Project, settings: Any, faults: list[str]
    ) -> None:
        given = {"using": project.alias, **settings} if isinstance(settings, dict) else settings
        with override_settings(DOVECOTE=given):
            errors = [error for error in run_checks() if error.id == "dovecote.E001"]

        assert [error.msg[: len(fault)] for error, fault in zip(errors, faults, strict=True)] == faults

    def test_a_sound_project_has_no_faults(self, project: Project) -> None:
        assert project.alias == configuration.alias()
        assert run_checks() == []

    @pytest.mark.usefixtures("project")
    def test_a_database_in_memory_is_a_fault_only_once_it_is_used(self) -> None:
        with override_settings(DOVECOTE={}):
            assert run_checks() == []
            with pytest.raises(InvalidConfiguration, match="SQLite in memory"):
                get_dovecote()


class TestCommands:
    def test_the_program_works_on_the_projects_outbox(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("dovecote", "send", "--bot", "shop", "--chat", "7", "hello")
        call_command("dovecote", "stats", "--json")

        assert '"due": 1' in capsys.readouterr().out
        assert places(project) == {1: "waiting"}

    def test_a_refusal_ends_with_its_code(self, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="1"):
            call_command("dovecote", "send", "--bot", "shpo", "--chat", "7", "hello")
        with pytest.raises(SystemExit, match="2"):
            call_command("dovecote", "send", "--nonsense")

        told = capsys.readouterr().err
        assert 'no bot is named "shpo"' in told
        assert "Usage: manage.py dovecote send" in told
        assert places(project) == {}

    def test_there_is_no_settings_file_to_be_written(
        self, project: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        with pytest.raises(SystemExit, match="1"):
            call_command("dovecote", "init", "--force")

        assert "the settings are in settings.DOVECOTE: change them there" in capsys.readouterr().err
        assert places(project) == {}
        assert not (tmp_path / "dovecote.toml").exists()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
    else:
        postgres: PostgresDatabases = request.getfixturevalue("postgres")
        url = postgres.create_database()
        yield url
        postgres.drop_database(url)


class TestMigrate:
    def test_djangos_migrate_makes_the_outbox_and_says_so_once(
        self, empty: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with database_of(empty) as (alias, _), override_settings(DOVECOTE={"using": alias}):
            call_command("migrate", database=alias, stdout=StringIO())
            told = capsys.readouterr().out
            call_command("migrate", database=alias, stdout=StringIO())
            connections[alias].close()

        assert told == f"  The outbox of Dovecote is at revision {HEAD} now; it was at none.\n"
        assert capsys.readouterr().out == ""
        database = Database(outbox_url(empty))
        assert asyncio.run(database.revision()) == (HEAD, HEAD)

    @pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
    def test_the_migration_of_another_database_makes_none(self, empty: str, tmp_path: Path) -> None:
        with (
            database_of(empty) as (alias, _),
            database_of(f"sqlite:///{tmp_path}/elsewhere.db") as (elsewhere, _),
            override_settings(DOVECOTE={"using": elsewhere}),
        ):
            call_command("migrate", "contenttypes", database=alias, verbosity=0)
            connections[alias].close()

        database = Database(outbox_url(empty))
        assert asyncio.run(database.revision()) == (None, HEAD)

    def test_there_is_nothing_for_makemigrations_to_do(self) -> None:
        call_command("makemigrations", "dovecote", check=True, dry_run=True, verbosity=0)


def test_without_django_the_command_that_installs_it_is_named() -> None:
    program = (
        "import sys\n"
        "sys.modules['django'] = None\n"
        "try:\n"
        "    import dovecote.integrations.django\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "MissingExtra Dovecote in a Django project needs an extra: pip install 'dovecote[django]'\n"
