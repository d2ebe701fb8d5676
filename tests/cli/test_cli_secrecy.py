"""A bot's token is nowhere: not in what is printed or logged, at whatever level, and not in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_line import TOKEN, ended, fetch

if TYPE_CHECKING:
    from command_line import CommandLine

SECRET = TOKEN.partition(":")[2]


def test_the_token_is_in_no_output_no_log_and_no_byte_of_the_database(dovecote: CommandLine, emulator: str) -> None:
    dovecote.variable("DOVECOTE_LOG_LEVEL", "debug")
    dovecote.variable("DOVECOTE_RETRY_ATTEMPTS", "2")
    dovecote.variable("DOVECOTE_RETRY_FIRST", "10ms")
    dovecote.bot()
    said = [
        dovecote.ok("--debug", *command, given=TOKEN)
        for command in (
            ["bot", "add", "second"],
            ["bot", "token", "shop"],
            ["bot", "list"],
            ["bot", "list", "--json"],
            ["bot", "show", "shop"],
            ["bot", "show", "shop", "--json"],
            ["bot", "reseal"],
            ["send", "--bot", "shop", "--chat", "42", "Hello"],
            ["send", "--bot", "shop", "--chat", "43", "Hello"],
            ["send", "--bot", "second", "--chat", "44", "Hello"],
        )
    ]
    said.append(dovecote("--debug", "bot", "add", "shop", TOKEN, given=TOKEN))
    said.append(dovecote("--debug", "bot", "add", "shop", given=TOKEN))
    # One is cut off in the middle, one refused: the errors of the client and of the server are told as well.
    fetch(f"{emulator}/emulator/script", {"match": {"chat_id": 43}, "answer": {"mode": "drop"}, "times": 1})
    fetch(f"{emulator}/emulator/script", {"match": {"chat_id": 44}, "answer": {"status": 403}})

    working = ended(dovecote.start("--debug", "worker", "--until-empty"))

    said += [working, dovecote.ok("stats"), *(dovecote.ok("notification", "show", n) for n in ("1", "2", "3"))]
    assert working.code == 0, working.err
    assert "delivering" in working.err
    assert [record["bot"] for record in fetch(f"{emulator}/emulator/accepted")["records"]].count(123456789) >= 1
    for answer in said:
        assert SECRET not in answer.out
        assert SECRET not in answer.err
    files = [path for path in dovecote.folder.rglob("*") if path.is_file()]
    assert {"dovecote.db", "dovecote.toml", "dovecote.keys"} <= {path.name for path in files}
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []
