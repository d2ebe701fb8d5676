"""What holds for every command: exit codes, where things are printed, how errors look, how fast it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dovecote.__main__ import run
from dovecote.cli import watching
from dovecote.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_line import CommandLine

SECRET = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"


def test_the_version_is_told(dovecote: CommandLine) -> None:
    assert dovecote.ok("--version").out == f"dovecote {__version__}\n"


def test_python_m_dovecote_is_the_same_program(dovecote: CommandLine) -> None:
    out, _ = dovecote.start("--version").communicate(timeout=60)

    assert out == f"dovecote {__version__}\n"


@pytest.mark.parametrize("arguments", [["nope"], ["bot", "nope"], ["stats", "--nope"], ["stats", "extra"], ["bot"], []])
def test_wrong_usage_ends_with_2(dovecote: CommandLine, arguments: list[str]) -> None:
    assert dovecote(*arguments).code == 2


def test_wrong_usage_is_told_on_standard_error_with_where_to_look(dovecote: CommandLine) -> None:
    answer = dovecote("notification", "show", "seventeen")

    assert answer.out == ""
    assert "Usage: dovecote notification show" in answer.err
    assert "Try 'dovecote notification show --help'." in answer.err


def test_a_refusal_is_one_message_without_a_traceback(dovecote: CommandLine) -> None:
    answer = dovecote("stats")

    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("Error: there is no file ")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("command", ["worker", "run"])
def test_a_worker_makes_no_database_where_there_is_none(dovecote: CommandLine, command: str) -> None:
    answer = dovecote(command)

    assert (answer.code, answer.out) == (1, "")
    assert 'there is no file "dovecote.db", which database.url names: make the outbox with `dovecote' in answer.err
    assert not (dovecote.folder / "dovecote.db").exists()


@pytest.mark.parametrize("command", [["send"], ["worker"], ["dead", "replay"], []])
def test_the_help_gives_switches_no_type(dovecote: CommandLine, command: list[str]) -> None:
    assert "bool" not in dovecote.ok(*command, "--help").out.lower()


def test_debug_shows_where_it_came_from(dovecote: CommandLine) -> None:
    answer = dovecote("--debug", "stats")

    assert answer.code == 1
    assert "Traceback (most recent call last)" in answer.err
    assert "NotMigrated" in answer.err


def fail(error: BaseException) -> Callable[..., object]:
    def failing(*_arguments: object) -> object:
        raise error

    return failing


def test_a_fault_of_its_own_is_told_as_one_and_without_secrets(
    dovecote: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "on_outbox", fail(RuntimeError(f"at https://api.telegram.org/bot{SECRET}/getMe")))

    brief = dovecote("stats")
    long = dovecote("--debug", "stats")

    assert (brief.code, long.code) == (1, 1)
    assert brief.err == (
        "Error: RuntimeError: at https://api.telegram.org/bot<bot token>/getMe\n"
        "This is a fault of Dovecote's own: --debug shows where.\n"
    )
    assert "Traceback" in long.err
    assert SECRET not in long.err


def test_an_interrupt_ends_with_130_and_nothing_to_read(dovecote: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "on_outbox", fail(KeyboardInterrupt()))

    answer = dovecote("stats")

    assert (answer.code, answer.out, answer.err) == (130, "", "")


def test_an_interrupt_while_it_is_imported_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        find_spec = staticmethod(fail(KeyboardInterrupt()))

    monkeypatch.delitem(sys.modules, "dovecote.cli.main")
    monkeypatch.setattr(sys, "meta_path", [Interrupted()])

    with pytest.raises(SystemExit) as ended:
        run()

    assert ended.value.code == 130


@pytest.mark.parametrize(
    "arguments", [["--help"], ["notification", "show", "1"], ["bot", "list", "--json"], ["bot", "list"]]
)
def test_a_reader_that_has_gone_is_no_reason_to_complain(dovecote: CommandLine, arguments: list[str]) -> None:
    dovecote.bot()
    dovecote.ok("send", "--bot", "shop", "--chat", "42", "x")
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "dovecote", *arguments],
        cwd=dovecote.folder,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_missing_extra_is_told_with_the_command_that_installs_it(
    dovecote: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    dovecote.variable("DOVECOTE_DATABASE_URL", "postgresql://127.0.0.1/x")

    for command in (["stats"], ["worker"], ["migrate"]):
        answer = dovecote(*command)

        assert answer.code == 1
        assert answer.err == "Error: An outbox on PostgreSQL needs an extra: pip install 'dovecote[postgres]'\n"


def test_help_waits_for_no_database_toolkit(dovecote: CommandLine) -> None:
    script = (
        "import json, sys; from dovecote.cli.main import main; code = main(['--help']);"
        "print(json.dumps([code, *sys.modules]), file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=dovecote.folder, capture_output=True, text=True, check=True
    )

    code, *modules = json.loads(done.stderr)
    assert code == 0
    assert "Usage: dovecote" in done.stdout
    assert {"sqlalchemy", "alembic", "pyreqwest", "structlog", "starlette", "cryptography"} & set(modules) == set()
