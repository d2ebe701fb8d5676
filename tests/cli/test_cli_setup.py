"""`init`, `migrate`, `config check`."""

from __future__ import annotations

import re
import secrets
import subprocess
import tomllib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from command_line import fetch
from databases import connect
from migrated import HEAD

if TYPE_CHECKING:
    from command_line import CommandLine


def mode(dovecote: CommandLine, name: str) -> int:
    return (dovecote.folder / name).stat().st_mode & 0o777


class TestInit:
    def test_it_makes_settings_a_key_and_an_outbox_and_says_what_is_next(self, dovecote: CommandLine) -> None:
        answer = dovecote.ok("init")

        settings = tomllib.loads((dovecote.folder / "dovecote.toml").read_text())
        assert {name: table for name, table in settings.items() if table} == {
            "encryption": {"keys_file": "dovecote.keys"}
        }
        assert mode(dovecote, "dovecote.keys") == 0o600
        assert "dovecote bot add" in answer.out
        assert "dovecote send" in answer.out
        assert "dovecote run" in answer.out
        assert dovecote.ok("stats", "--json").json["due"] == 0

    def test_the_key_is_not_in_the_settings_and_not_shown(self, dovecote: CommandLine) -> None:
        answer = dovecote.ok("init")

        key = (dovecote.folder / "dovecote.keys").read_text().splitlines()[-1]
        assert len(key) == 44
        assert key not in answer.out + answer.err + (dovecote.folder / "dovecote.toml").read_text()

    def test_a_second_one_refuses_and_changes_nothing(self, dovecote: CommandLine) -> None:
        dovecote.ok("init")
        before = (dovecote.folder / "dovecote.toml").read_text()

        answer = dovecote("init", "--database", "sqlite:///other.db")

        assert answer.code == 1
        assert answer.err == (
            'Error: there is a file "dovecote.toml" already: keep it and run `dovecote migrate`, or add --force.\n'
        )
        assert (dovecote.folder / "dovecote.toml").read_text() == before

    def test_force_writes_the_settings_anew_and_keeps_the_key(self, dovecote: CommandLine) -> None:
        dovecote.ok("init")
        key = (dovecote.folder / "dovecote.keys").read_text()

        answer = dovecote.ok("init", "--force", "--database", "sqlite:///other.db")

        assert 'url = "sqlite:///other.db"' in (dovecote.folder / "dovecote.toml").read_text()
        assert (dovecote.folder / "dovecote.keys").read_text() == key
        assert "is kept" in answer.err

    def test_a_wrong_url_is_refused_before_anything_is_written(self, dovecote: CommandLine) -> None:
        answer = dovecote("init", "--database", "mysql://shop:secret@host/x")

        assert answer.code == 1
        assert "--database" in answer.err
        assert "secret" not in answer.err
        assert list(dovecote.folder.iterdir()) == []

    def test_a_url_in_the_environment_wins_and_so_another_one_is_refused(self, dovecote: CommandLine) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", "sqlite:///mine.db")

        answer = dovecote("init", "--database", "sqlite:///other.db")

        assert answer.code == 1
        assert "DOVECOTE_DATABASE_URL is set to sqlite:///mine.db" in answer.err
        assert list(dovecote.folder.iterdir()) == []

    def test_in_a_git_checkout_the_key_is_ignored(self, dovecote: CommandLine) -> None:
        subprocess.run(["git", "init", "--quiet", "."], cwd=dovecote.folder, check=True)
        (dovecote.folder / ".gitignore").write_text("*.pyc\n")

        dovecote.ok("init")
        dovecote.ok("init", "--force")

        assert (dovecote.folder / ".gitignore").read_text() == "*.pyc\ndovecote.keys\n.env\n"

    def test_another_file_has_its_key_beside_it_and_works_from_everywhere(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "etc").mkdir()

        dovecote.ok("--config", "etc/shop.toml", "init")

        settings = tomllib.loads((dovecote.folder / "etc" / "shop.toml").read_text())
        assert settings["encryption"]["keys_file"] == str(dovecote.folder / "etc" / "dovecote.keys")
        assert dovecote.ok("--config", "etc/shop.toml", "bot", "list").out.startswith("There are no bots.")


class TestMigrate:
    def test_it_makes_the_outbox_once(self, dovecote: CommandLine) -> None:
        first = dovecote.ok("migrate", "--json").json
        second = dovecote.ok("migrate", "--json").json

        assert first == {"database": "sqlite:///dovecote.db", "from": None, "to": HEAD}
        assert second == {"database": "sqlite:///dovecote.db", "from": HEAD, "to": HEAD}
        assert dovecote.ok("migrate").out == f"sqlite:///dovecote.db is at revision {HEAD} already.\n"

    def test_a_command_without_an_outbox_names_it_and_makes_no_file(self, dovecote: CommandLine) -> None:
        for command in (["stats"], ["bot", "list"], ["dead", "list"], ["send", "--bot", "a", "--chat", "1", "x"]):
            answer = dovecote(*command)

            assert answer.code == 1
            assert "`dovecote migrate`" in answer.err
            assert answer.out == ""
        assert list(dovecote.folder.iterdir()) == []

    def test_so_does_one_that_finds_a_database_without_the_schema(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "dovecote.db").touch()

        for command in (["stats"], ["worker"], ["send", "--bot", "a", "--chat", "1", "x"]):
            answer = dovecote(*command)

            assert answer.code == 1
            assert "`dovecote migrate`" in answer.err

    def test_on_postgresql_as_well(self, dovecote: CommandLine, postgres_url: str) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", postgres_url)

        for command in (["stats"], ["worker"], ["send", "--bot", "a", "--chat", "1", "x"]):
            assert "`dovecote migrate`" in dovecote(*command).err
        dovecote.ok("migrate")
        assert dovecote.ok("stats", "--json").json["due"] == 0

    def test_a_database_that_does_not_exist_is_no_missing_schema(
        self, dovecote: CommandLine, postgres_url: str
    ) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", f"{postgres_url}_of_dovecote")

        answer = dovecote("migrate")

        assert answer.code == 1
        assert "does not exist" in answer.err
        assert "database.url" in answer.err
        assert "dovecote migrate" not in answer.err

    def test_a_server_that_is_away_is_told_in_one_message(self, dovecote: CommandLine) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", "postgresql://shop:secret@127.0.0.1:1/x")

        for command in (["stats"], ["send", "--bot", "a", "--chat", "1", "x"], ["worker"]):
            answer = dovecote(*command)

            assert answer.code == 1
            assert answer.err.startswith("Error: the database at 127.0.0.1:1 cannot be used just now:")
            assert "secret" not in answer.err

    def test_a_user_without_rights_is_told_and_no_statement_is_shown(
        self, dovecote: CommandLine, postgres_url: str
    ) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", postgres_url)
        dovecote.ok("migrate")
        role = f"stranger_{secrets.token_hex(4)}"
        with connect(postgres_url) as connection:
            connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        try:
            address = urlsplit(postgres_url)
            host = address.netloc.rpartition("@")[2]
            dovecote.variable("DOVECOTE_DATABASE_URL", address._replace(netloc=f"{role}@{host}").geturl())
            for command in (["stats"], ["worker"], ["migrate"], ["send", "--bot", "a", "--chat", "1", "x"]):
                answer = dovecote(*command)

                assert (answer.code, answer.out) == (1, "")
                assert answer.err.startswith("Error: the database does not let this user do that (permission denied")
                assert "grant the rights" in answer.err
                assert not {"SELECT", "[SQL", "[parameters", "fault of Dovecote"} & set(answer.err.split())
        finally:
            with connect(postgres_url) as connection:
                connection.execute(f"DROP ROLE {role}".encode())

    @pytest.mark.parametrize("mode", ["disable", "prefer"])
    def test_an_sslmode_is_understood_by_every_part(
        self, dovecote: CommandLine, postgres_url: str, emulator: str, mode: str
    ) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", f"{postgres_url}?sslmode={mode}")
        dovecote.bot()
        dovecote.ok("send", "--bot", "shop", "--chat", "1", "x")
        dovecote.ok("worker", "--until-empty")

        assert dovecote.ok("stats", "--json").json["delivered"] == 1
        assert len(fetch(f"{emulator}/emulator/accepted")["records"]) == 1

    def test_a_server_without_tls_does_not_serve_who_requires_it(
        self, dovecote: CommandLine, postgres_url: str
    ) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", f"{postgres_url}?sslmode=require")

        answer = dovecote("migrate")

        assert answer.code == 1
        assert re.match(r"Error: the database at \S+:\d+ cannot be used just now:", answer.err)
        assert "SSL" in answer.err

    def test_a_file_that_is_no_database_is_called_that(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "dovecote.db").write_text("Dear Sir or Madam, " * 100)

        for command in (["stats"], ["migrate"], ["worker"]):
            answer = dovecote(*command)

            assert answer.code == 1
            assert "is no SQLite database" in answer.err
            assert "fault of Dovecote" not in answer.err

    def test_a_name_that_is_too_long_is_refused(self, dovecote: CommandLine) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", f"sqlite:///{'x' * 300}")

        for command in (["stats"], ["migrate"], ["worker"]):
            answer = dovecote(*command)

            assert answer.code == 1
            assert "fault of Dovecote" not in answer.err
            assert answer.err.startswith("Error: ")
        init = dovecote("--config", "x" * 300, "init")
        assert init.code == 1
        assert "cannot be looked for (File name too long)" in init.err


class TestConfigCheck:
    def test_parameters_of_the_databases_url_are_named(self, dovecote: CommandLine) -> None:
        dovecote.variable("DOVECOTE_DATABASE_URL", "sqlite:///a.db?timeout=abc")

        answer = dovecote("config", "check")

        assert answer.code == 1
        assert 'it has the unknown parameter "timeout" (SQLite\'s URL takes none)' in answer.out

    def test_no_faults_are_told(self, dovecote: CommandLine) -> None:
        assert dovecote.ok("config", "check").out == "OK: the settings have no faults.\n"
        assert dovecote.ok("config", "check", "--json").json == {"ok": True, "faults": []}

    def test_all_faults_are_told_at_once(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "dovecote.toml").write_text("[worker]\nbatch_size = 0\nleese = 5\n")
        dovecote.variable("DOVECOTE_HTTP_PORT", "70000")

        answer = dovecote("config", "check")

        assert answer.code == 1
        assert answer.err == ""
        for wrong in ("worker.batch_size", "worker.leese", "http.port"):
            assert wrong in answer.out

    def test_they_are_json_for_a_program(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "mine.toml").write_text("[worker]\nbatch_size = 0\n")

        answer = dovecote("--config", "mine.toml", "config", "check", "--json")

        assert answer.code == 1
        assert answer.json["ok"] is False
        assert len(answer.json["faults"]) == 1

    def test_every_other_command_tells_them_as_well(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "dovecote.toml").write_text("[worker]\nbatch_size = 0\n[http]\nport = -1\n")

        answer = dovecote("stats")

        assert answer.code == 1
        assert "worker.batch_size" in answer.err
        assert "http.port" in answer.err
