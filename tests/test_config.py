"""Settings: where they come from, which faults are told, and that no secret shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from dovecote.config import (
    SETTINGS,
    Database,
    Http,
    Settings,
    Worker,
    configuration_faults,
    is_loopback,
    load_settings,
)
from dovecote.errors import InvalidConfiguration
from dovecote.stores.database import outbox_url
from dovecote.vault import generate_key

HTTP_TOKEN = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "dovecote.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


class TestWhereSettingsComeFrom:
    def test_without_file_and_variables_they_are_the_defaults(self) -> None:
        settings = load_settings(environ={})

        assert settings == Settings()
        assert settings.database.url == "sqlite:///dovecote.db"
        assert settings.worker.lease == timedelta(seconds=60)
        assert settings.worker.flush_interval == timedelta(milliseconds=50)
        assert settings.retry.longest == timedelta(seconds=3600)
        assert settings.enqueue.key_window == timedelta(days=30)
        assert settings.http.token is None

    def test_the_file_in_the_working_directory_is_read(self) -> None:
        write('[worker]\nbatch_size = 20\nlease = "5m"\n[http]\nport = 0\n')

        settings = load_settings(environ={})

        assert (settings.worker.batch_size, settings.worker.lease, settings.http.port) == (20, timedelta(minutes=5), 0)

    def test_the_environment_wins_over_the_file_setting_by_setting(self) -> None:
        write("[worker]\nbatch_size = 20\nconcurrency = 21\nlisten = true\n")

        worker = load_settings(environ={"DOVECOTE_WORKER_BATCH_SIZE": "30", "DOVECOTE_WORKER_LISTEN": "false"}).worker

        assert (worker.batch_size, worker.concurrency, worker.listen) == (30, 21, False)

    def test_a_variable_names_another_file(self) -> None:
        write("[http]\nport = 1\n")
        write("[http]\nport = 2\n", "other.toml")

        assert load_settings(environ={"DOVECOTE_CONFIG": "other.toml"}).http.port == 2
        assert load_settings(Path("dovecote.toml"), {"DOVECOTE_CONFIG": "other.toml"}).http.port == 1

    def test_an_empty_variable_counts_as_not_set(self) -> None:
        write("[http]\nport = 1\n")

        assert load_settings(environ={"DOVECOTE_HTTP_PORT": "", "DOVECOTE_HTTP_TOKEN": " "}).http == Http(port=1)

    def test_the_process_environment_is_meant_when_none_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOVECOTE_HTTP_PORT", "77")

        assert load_settings().http.port == 77

    def test_variables_of_bots_and_of_tests_are_left_alone(self) -> None:
        assert (
            configuration_faults(environ={"DOVECOTE_TOKEN_SHOP": "x", "DOVECOTE_TEST_POSTGRESQL": "y", "X": "z"}) == ()
        )

    def test_settings_are_frozen(self) -> None:
        with pytest.raises(ValidationError):
            load_settings(environ={}).http.port = 1

    def test_nothing_is_read_at_import(self) -> None:
        write("this is no TOML")

        subprocess.run([sys.executable, "-c", "import dovecote.config"], check=True, env={"DOVECOTE_NONSENSE": "1"})


class TestFaults:
    def test_all_faults_are_told_at_once(self) -> None:
        write('[worker]\nbatch_size = 0\nlease = "soon"\n[retry]\nfirst = "2h"\n')

        with pytest.raises(InvalidConfiguration) as raised:
            load_settings(environ={"DOVECOTE_HTTP_PORT": "http", "DOVECOTE_HTTPPORT": "1"})

        in_environment, batch_size, lease, port, first = raised.value.faults
        assert in_environment == (
            "the variable DOVECOTE_HTTPPORT sets nothing: did you mean DOVECOTE_HTTP_PORT? (A variable that holds a "
            "bot's token is named DOVECOTE_TOKEN_... or without DOVECOTE_.)"
        )
        assert batch_size == "worker.batch_size is 0 (in dovecote.toml): it takes a whole number from 1 to 10000."
        assert lease == (
            'worker.lease is "soon" (in dovecote.toml): it takes a duration above zero: seconds as a number, or text '
            'such as "50ms", "30s", "5m", "12h", "30d".'
        )
        assert port == 'http.port is "http" (DOVECOTE_HTTP_PORT): it takes a whole number from 0 to 65535.'
        assert first == (
            "retry.first is 7200s and retry.longest is 3600s: the first wait cannot be longer than the longest. "
            "Set retry.longest to 7200s or more."
        )
        assert str(raised.value) == "\n".join(raised.value.faults)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("database.url", "mysql://db/shop"),
            ("database.url", "postgresql+asyncpg://db/shop"),
            ("database.url", "sqlite://"),
            ("database.url", "sqlite:///"),
            ("database.url", "postgresql://"),
            ("database.url", "postgresql://db:port/shop"),
            ("telegram.base_url", "api.telegram.org"),
            ("telegram.base_url", "ftp://api.telegram.org"),
            ("telegram.base_url", "https://api.telegram.org?x=1"),
            ("telegram.timeout", "0"),
            ("telegram.timeout", "-1"),
            ("telegram.connections", "0"),
            ("worker.batch_size", "1.5"),
            ("worker.batch_size", "10001"),
            ("worker.listen", "perhaps"),
            ("worker.drain_deadline", "-1s"),
            ("retry.attempts", "0"),
            ("enqueue.key_window", "30 weeks"),
            ("http.host", "http://127.0.0.1"),
            ("http.host", "127.0.0.1:8089"),
            ("http.port", "65536"),
            ("log.format", "xml"),
            ("log.level", "loud"),
        ],
    )
    def test_a_wrong_value_is_told_with_name_value_place_and_remedy(self, name: str, value: str) -> None:
        variable = SETTINGS[name].variable

        (fault,) = configuration_faults(environ={variable: value})

        shown = json.dumps(value).replace("?x=1", "?x=***")
        assert fault == f"{name} is {shown} ({variable}): it takes {SETTINGS[name].takes}."

    @pytest.mark.parametrize("value", ["true", "2.0", "[1]", "nan", "1979-05-27"])
    def test_a_toml_value_of_another_kind_is_no_whole_number(self, value: str) -> None:
        write(f"[worker]\nbatch_size = {value}\n")

        (fault,) = configuration_faults(environ={})

        assert fault == f"worker.batch_size is {value} (in dovecote.toml): it takes a whole number from 1 to 10000."

    @pytest.mark.parametrize("value", ["nan", "inf", "-1", "true", "1e300", '"99999999999d"', "[]"])
    def test_a_toml_value_that_is_no_duration_is_told(self, value: str) -> None:
        write(f"[worker]\nlease = {value}\n")

        (fault,) = configuration_faults(environ={})

        assert fault.startswith("worker.lease is ")

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            (
                "[worker]\nbatchsize = 1",
                '"dovecote.toml" has the unknown setting "worker.batchsize": did you mean worker.batch_size?',
            ),
            (
                "[telegram]\nlease = 1",
                '"dovecote.toml" has the unknown setting "telegram.lease": did you mean worker.lease?',
            ),
            (
                "[http]\nqqqq = 1",
                '"dovecote.toml" has the unknown setting "http.qqqq": remove it, or look it up in docs/settings.md.',
            ),
            ("[workers]\nlease = 1", '"dovecote.toml" has the unknown table "workers": did you mean [worker]?'),
            (
                "batch_size = 1",
                '"dovecote.toml" has outside of a table the unknown "batch_size": did you mean worker.batch_size?',
            ),
            ("worker = 1", '"dovecote.toml" has worker as a value: it is a table, begin it with [worker].'),
        ],
    )
    def test_a_name_that_is_no_setting_is_told_with_the_one_that_was_meant(self, text: str, fault: str) -> None:
        write(text)

        assert configuration_faults(environ={}) == (fault,)

    def test_a_slip_in_the_syntax_is_told_with_its_place(self) -> None:
        write("[http]\nport = 1\n[worker\n")

        (fault,) = configuration_faults(environ={})

        assert fault.startswith('"dovecote.toml" is no TOML (')
        assert "at line 3" in fault

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("a = " + "[" * 100_000, "something in it is nested too deep"),
            (f"[worker]\nbatch_size = {'9' * 5000}\n", "a number in it has too many digits"),
        ],
        ids=["deep", "long"],
    )
    def test_what_no_parser_reads_is_told_as_what_it_is(self, text: str, reason: str) -> None:
        write(text)

        assert configuration_faults(environ={}) == (f'"dovecote.toml" is no TOML ({reason}): mend that place.',)

    def test_a_long_number_in_hexadecimal_is_told(self) -> None:
        write(f"[worker]\nbatch_size = 0x{'f' * 5000}\n")

        (fault,) = configuration_faults(environ={})

        assert fault.startswith("worker.batch_size is a number of too many digits (in dovecote.toml): it takes a whole")

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("sqlite:///a.db?timeout=abc", 'it has the unknown parameter "timeout" (SQLite\'s URL takes none)'),
            ("sqlite:///a.db?{x}=1", 'it has the unknown parameter "{x}" (SQLite\'s URL takes none)'),
            ("postgresql://a@c@h/d", "it has more than one @: write one in a name or a password as %40"),
            ("postgresql://a@h/b?ssl=require", 'it has the unknown parameter "ssl" (known are sslmode, '),
            ("postgresql://a@h/b?sslmode=on", "its sslmode is 'on', and there are disable, allow, prefer, require, "),
            ("postgresql://a@h/b?x=1&y=2", 'it has the unknown parameter "x" (known are '),
        ],
    )
    def test_a_parameter_of_the_databases_url_is_named(self, url: str, reason: str) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_DATABASE_URL": url})

        # Of what nobody knows the value is not shown; `timeout` is known of another URL.
        shown = re.sub(r"(?<=[?&])((?:\{?x\}?|y|ssl)=)[^&]*", r"\1***", url)
        assert fault.startswith(f'database.url is "{shown}" (DOVECOTE_DATABASE_URL): {reason}')
        assert "; it takes sqlite:///FILE or" in fault
        with pytest.raises(InvalidConfiguration, match=re.escape(reason)):
            outbox_url(url)

    @pytest.mark.parametrize("query", ["sslmode=verify-full&sslrootcert=ca.pem", "host=/run/postgresql", ""])
    def test_parameters_of_libpq_are_taken(self, query: str) -> None:
        url = f"postgresql://a@h/b?{query}"

        assert configuration_faults(environ={"DOVECOTE_DATABASE_URL": url}) == ()
        assert outbox_url(url).database == "b"

    def test_an_unknown_table_lists_the_tables_there_are(self) -> None:
        write("[qqqq]\n")

        (fault,) = configuration_faults(environ={})

        tables = ", ".join(f"[{name}]" for name in Settings.model_fields)
        assert fault.endswith(f"the tables are {tables}.")

    def test_a_file_that_was_asked_for_must_be_there(self) -> None:
        by_path = configuration_faults(Path("none.toml"), {})
        by_variable = configuration_faults(environ={"DOVECOTE_CONFIG": "none.toml"})

        sentence = 'there is no file "none.toml": `dovecote init` makes one, or DOVECOTE_CONFIG names another.'
        assert by_path == by_variable == (sentence,)

    def test_a_directory_or_bytes_in_place_of_the_file_are_told(self, tmp_path: Path) -> None:
        Path("bytes.toml").write_bytes(b"\xff\xfe")

        (of_directory,) = configuration_faults(tmp_path, {})
        (of_bytes,) = configuration_faults(Path("bytes.toml"), {})

        assert "cannot be read (Is a directory)" in of_directory
        assert of_bytes == '"bytes.toml" is no TOML (it is not UTF-8): mend that place.'

    def test_a_long_value_is_cut(self) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_LOG_LEVEL": "x" * 500})

        assert len(fault) < 200


class TestSettingsThatContradictEachOther:
    def test_a_lease_must_outlive_the_slowest_request(self) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_WORKER_LEASE": "25s"})

        assert fault == (
            "worker.lease is 25s and telegram.timeout is 20s: a lease must outlive the slowest request by more than 5s,"
            " or what is still under way is sent again. Set worker.lease to more than 25s, or lower telegram.timeout."
        )
        assert configuration_faults(environ={"DOVECOTE_WORKER_LEASE": "25.1s"}) == ()

    def test_beyond_loopback_the_listener_needs_a_token(self) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_HTTP_HOST": "0.0.0.0"})  # noqa: S104 - what is refused

        assert fault == (
            'http.host is "0.0.0.0", which other machines can reach, and http.token is not set: set http.token, or '
            "listen on 127.0.0.1."
        )
        with_token = {"DOVECOTE_HTTP_HOST": "0.0.0.0", "DOVECOTE_HTTP_TOKEN": HTTP_TOKEN}  # noqa: S104 - with a token
        assert configuration_faults(environ=with_token) == ()

    def test_one_slip_is_told_once(self) -> None:
        faults = configuration_faults(
            environ={"DOVECOTE_HTTP_HOST": "0.0.0.0", "DOVECOTE_HTTP_TOKEN": "short"}  # noqa: S104 - what is refused
        )

        assert len(faults) == 1
        assert faults[0].startswith("http.token has a wrong value")

    def test_settings_made_in_code_cannot_contradict_each_other_either(self) -> None:
        with pytest.raises(ValidationError, match="a lease must outlive"):
            Settings(worker=Worker(lease=timedelta(seconds=10)))

    @pytest.mark.parametrize(
        ("host", "loopback"),
        [
            ("127.0.0.1", True),
            ("127.8.8.8", True),
            ("::1", True),
            ("localhost", True),
            ("0.0.0.0", False),  # noqa: S104 - named to be refused
            ("::", False),
            ("10.0.0.1", False),
            ("localhost.example.org", False),
        ],
    )
    def test_what_counts_as_loopback(self, host: str, loopback: bool) -> None:  # noqa: FBT001 - a parametrized flag
        assert is_loopback(host) is loopback


class TestSecrets:
    def test_no_fault_shows_a_secret(self) -> None:
        faults = configuration_faults(
            environ={
                "DOVECOTE_HTTP_TOKEN": "hunter2",
                "DOVECOTE_ENCRYPTION_KEYS": f"{generate_key()},opensesame",
                "DOVECOTE_ENCRYPTIONKEYS": "opensesame",
                "DOVECOTE_DATABASE_URL": "mysql://dove:hunter2@db/shop?password=hunter2",
                "DOVECOTE_LOG_LEVEL": "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
            }
        )

        assert len(faults) == 5
        assert not any(secret in "\n".join(faults) for secret in ("hunter2", "opensesame", "AAHdqTcv"))
        assert any(fault.startswith("encryption.keys, number 2 in it, has a wrong value") for fault in faults)

    def test_no_repr_shows_a_secret(self) -> None:
        key = generate_key()
        settings = load_settings(
            environ={
                "DOVECOTE_HTTP_TOKEN": HTTP_TOKEN,
                "DOVECOTE_ENCRYPTION_KEYS": key,
                "DOVECOTE_DATABASE_URL": "postgresql://dove:hunter2@db/shop",
            }
        )

        assert settings.database.url == "postgresql://dove:hunter2@db/shop"
        for text in (repr(settings), str(settings), f"{settings.http.token}"):
            assert HTTP_TOKEN not in text
            assert key not in text
            assert "hunter2" not in text

    def test_an_error_of_settings_made_in_code_shows_no_secret(self) -> None:
        with pytest.raises(ValidationError) as raised:
            Database(url="mysql://dove:hunter2@db/shop")

        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "url", "shown"),
    [
        ("DOVECOTE_DATABASE_URL", "postgresql://a@h/b?pasword=hunter2", "postgresql://a@h/b?pasword=***"),
        ("DOVECOTE_REDIS_URL", "redis://h?db=3&auth=hunter2", "redis://h?db=***&auth=***"),
        ("DOVECOTE_STORAGE_URL", "s3://b?region=x&sercet=hunter2", "s3://b?region=x&sercet=***"),
        ("DOVECOTE_STORAGE_URL", "file:///x?sercet=hunter2", "file:///x?sercet=***"),
        ("DOVECOTE_TELEGRAM_BASE_URL", "http://h?key=hunter2", "http://h?key=***"),
    ],
)
def test_of_a_parameter_that_nobody_knows_the_name_alone_is_shown(variable: str, url: str, shown: str) -> None:
    with pytest.raises(InvalidConfiguration) as told:
        load_settings(environ={variable: url})

    assert f'"{shown}"' in str(told.value)
    assert "hunter2" not in str(told.value)
