"""Completion of the command line, by the protocol that the shells' scripts speak, and in a bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dovecote.cli.main import main

if TYPE_CHECKING:
    from command_line import CommandLine

ASKED = {
    "bash": {"COMP_WORDS": "dovecote schedule p", "COMP_CWORD": "2"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "dovecote schedule p"},
    "fish": {"_TYPER_COMPLETE_ARGS": "dovecote schedule p", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}
ANSWERED = {
    "bash": "preview\npause\n",
    "zsh": '"preview":"',
    "fish": "pause\tLet it fire no more until it is resumed.",
}
SCRIPT = {
    "bash": "complete -o default -F _dovecote_completion dovecote",
    "zsh": "#compdef dovecote",
    "fish": "complete --command dovecote",
}


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What the program prints for a shell, and then ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_the_commands(dovecote: CommandLine, capsys: pytest.CaptureFixture[str], shell: str) -> None:
    dovecote.variable("_DOVECOTE_COMPLETE", f"complete_{shell}")
    for name, value in ASKED[shell].items():
        dovecote.variable(name, value)

    assert ANSWERED[shell] in said(capsys)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(dovecote: CommandLine, capsys: pytest.CaptureFixture[str], shell: str) -> None:
    dovecote.variable("_DOVECOTE_COMPLETE", f"source_{shell}")

    assert SCRIPT[shell] in said(capsys)


def test_a_bash_in_which_it_was_installed_completes(dovecote: CommandLine) -> None:
    script = """
    dovecote --install-completion bash > installed.txt
    source ~/.bashrc
    COMP_WORDS=(dovecote bot a); COMP_CWORD=2
    _dovecote_completion dovecote
    echo "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=dovecote.folder,
        env={**os.environ, "HOME": str(dovecote.folder), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "add\n"), done.stderr
    assert "bash completion installed in" in (dovecote.folder / "installed.txt").read_text()
