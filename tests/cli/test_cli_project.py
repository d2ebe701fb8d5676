"""`init` leaves a folder that works: settings, key, outbox, and an example that does what its README says."""

from __future__ import annotations

import io
import os
import re
import runpy
import socket
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dovecote.cli.main import main
from dovecote.cli.project import HOMES, project_files
from dovecote.config import Settings

if TYPE_CHECKING:
    from command_line import CommandLine

PROJECT = [".env.example", "README.md", "dovecote.service", "example_bot.py"]
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Terminal(io.StringIO):
    """Standard input of a person's."""

    def isatty(self) -> bool:
        return True


def unit(folder: Path) -> ConfigParser:
    parsed = ConfigParser(interpolation=None, strict=True)
    parsed.optionxform = str  # type: ignore[assignment,method-assign] # the standard library's own way
    parsed.read_string((folder / "dovecote.service").read_text())
    return parsed


class TestTheFolder:
    def test_it_has_all_of_it_and_the_template_is_private(self, dovecote: CommandLine) -> None:
        answer = dovecote.ok("init", "--directory", "one/shop", "--yes")

        folder = dovecote.folder / "one" / "shop"
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("dovecote.db"))
        assert names == [
            ".env.example",
            "README.md",
            "dovecote.keys",
            "dovecote.service",
            "dovecote.toml",
            "example_bot.py",
        ]
        assert (folder / ".env.example").stat().st_mode & 0o777 == 0o600
        assert "  cd one/shop\n" in answer.out
        assert Path.cwd() == dovecote.folder

    def test_what_is_somebodys_own_is_kept_whatever_is_forced(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "README.md").write_text("# Our shop\n")
        first = dovecote.ok("init")
        (dovecote.folder / "example_bot.py").write_text("# Made by `dovecote init`. Changed since.\n")

        again = dovecote.ok("init", "--force", "--bot", "news")

        assert "Kept as they were: README.md." in first.out
        assert (dovecote.folder / "README.md").read_text() == "# Our shop\n"
        assert 'BOT = "news"' in (dovecote.folder / "example_bot.py").read_text()
        assert "DOVECOTE_TOKEN_NEWS=" in (dovecote.folder / ".env.example").read_text()
        assert "Written beside it: .env.example, example_bot.py, dovecote.service." in again.out

    def test_without_force_nothing_is_written_over(self, dovecote: CommandLine) -> None:
        dovecote.ok("init", "--bare")
        (dovecote.folder / "example_bot.py").write_text("mine")

        assert dovecote("init").code == 1
        assert (dovecote.folder / "example_bot.py").read_text() == "mine"
        assert not (dovecote.folder / "dovecote.service").exists()

    def test_bare_is_settings_key_and_outbox(self, dovecote: CommandLine) -> None:
        dovecote.ok("init", "--bare")
        dovecote.ok("--config", "other.toml", "init", "--database", "sqlite:///other.db")

        assert [name for name in PROJECT if (dovecote.folder / name).exists()] == []

    def test_what_cannot_be_is_refused_before_anything_is_written(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "file").touch()

        for arguments, words in (
            (["init", "--bot", "my shop"], '"my shop" cannot be a bot\'s name'),
            (["init", "--directory", "file"], '"file" cannot be used (File exists)'),
            (["--config", "a.toml", "init", "--directory", "b"], "leave --directory"),
        ):
            answer = dovecote(*arguments)

            assert answer.code == 1
            assert words in answer.err
        assert [path.name for path in dovecote.folder.iterdir()] == ["file"]

    def test_in_a_git_checkout_the_environment_is_ignored(self, dovecote: CommandLine) -> None:
        subprocess.run(["git", "init", "--quiet", "."], cwd=dovecote.folder, check=True)

        dovecote.ok("init")

        assert (dovecote.folder / ".gitignore").read_text() == "dovecote.keys\n.env\n"

    def test_at_a_terminal_it_asks_two_things(
        self, dovecote: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal("sqlite:///shop.db\nnews\n"))

        assert main(["init"]) == 0

        assert capsys.readouterr().err.count("[") == 2
        assert 'url = "sqlite:///shop.db"' in (dovecote.folder / "dovecote.toml").read_text()
        assert 'BOT = "news"' in (dovecote.folder / "example_bot.py").read_text()

    @pytest.mark.parametrize("arguments", [["--yes"], ["--database", "sqlite:///dovecote.db", "--bot", "shop"]])
    def test_what_is_given_is_not_asked(
        self,
        dovecote: CommandLine,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal())

        assert main(["init", *arguments]) == 0

        assert "[" not in capsys.readouterr().err
        assert 'BOT = "shop"' in (dovecote.folder / "example_bot.py").read_text()


class TestTheUnit:
    def test_it_stops_after_the_drain_and_runs_as_a_user_of_its_own(self, dovecote: CommandLine) -> None:
        dovecote.variable("DOVECOTE_WORKER_DRAIN_DEADLINE", "90s")
        dovecote.ok("init")

        service = unit(dovecote.folder)["Service"]

        assert service["TimeoutStopSec"] == "100"
        assert (service["KillSignal"], service["KillMode"], service["Restart"]) == ("SIGTERM", "mixed", "always")
        assert (service["User"], service["NoNewPrivileges"], service["ProtectSystem"]) == ("dovecote", "yes", "strict")
        assert service["WorkingDirectory"] == str(dovecote.folder)
        assert service["EnvironmentFile"] == f"{dovecote.folder}/.env"
        assert service["ExecStart"] == f'"{sys.executable}" -m dovecote run'

    def test_paths_are_as_systemd_reads_them(self, dovecote: CommandLine) -> None:
        dovecote.ok("init", "--directory", 'a 100% "b"', "--database", f"sqlite:///{dovecote.folder}/data/../x.db")

        service = unit(dovecote.folder / 'a 100% "b"')["Service"]

        assert service["ReadWritePaths"] == (f'"{dovecote.folder}/a 100%% \\"b\\"" "{dovecote.folder}/data/.."')

    @pytest.mark.parametrize(("parent", "warned"), [(HOMES[0], True), ("/srv", False)])
    def test_the_readme_warns_of_a_home_folder(
        self, monkeypatch: pytest.MonkeyPatch, parent: str, *, warned: bool
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/opt/dovecote/bin/python")

        files = project_files("shop", Settings(), Path(parent, "ada", "shop"))

        assert ("sudo pipx install --global dovecote" in files["README.md"]) is warned
        assert ("ProtectHome=read-only" in files["dovecote.service"]) is warned


class TestTheExample:
    def test_it_does_what_its_readme_says(self, dovecote: CommandLine) -> None:
        dovecote.ok("init", "--yes")
        (block,) = BLOCK.findall((dovecote.folder / "README.md").read_text())
        port = str(free_port())
        template = dovecote.folder / ".env.example"
        template.write_text(template.read_text().replace("8081", port))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # The emulator is left in the background, and ends with the shell that began it.
        script = f"trap 'kill $(jobs -p)' EXIT\n{block.replace('8081', port)}"

        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=dovecote.folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert "Order 1 is written, and the notification with it." in done.stdout
        assert re.search(r"^state +delivered$", done.stdout, re.MULTILINE), done.stdout

    def test_its_readme_names_the_python_that_has_dovecote(
        self, dovecote: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
        dovecote.ok("init", "--directory", "here", "--yes")
        monkeypatch.setenv("PATH", "/nowhere")
        dovecote.ok("init", "--directory", "as-by-pipx", "--yes")

        assert "\npython example_bot.py 42\n" in (dovecote.folder / "here" / "README.md").read_text()
        assert f"\n{sys.executable} example_bot.py 42\n" in (dovecote.folder / "as-by-pipx" / "README.md").read_text()

    def test_on_postgresql_as_well(
        self, dovecote: CommandLine, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dovecote.ok("init", "--database", postgres_url)
        monkeypatch.setattr(sys, "argv", ["example_bot.py", "42"])

        runpy.run_path(str(dovecote.folder / "example_bot.py"), run_name="__main__")

        shown = dovecote.ok("notification", "show", "1", "--json").json
        assert (shown["chat"], shown["params"]["text"]) == ("42", "Order 1 is on its way")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
