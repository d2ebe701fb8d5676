"""The example of a Django project does what its README says, by the same commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from servers import free_port

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "django_project"
SECONDS = 240

# As curl does what the README asks of it; and as a person would, it tries again while a server is starting.
CURL = """#!{python}
import sys, time, urllib.error, urllib.request
arguments = sys.argv[1:]
data = arguments[arguments.index("-d") + 1].encode() if "-d" in arguments else None
method = arguments[arguments.index("-X") + 1] if "-X" in arguments else "GET"
end = time.monotonic() + 60
while True:
    try:
        with urllib.request.urlopen(urllib.request.Request(arguments[-1], data or b"", method=method)) as answer:
            print(answer.read().decode())
        break
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError:
        if time.monotonic() > end:
            raise
        time.sleep(0.1)
"""


def commands(readme: str) -> list[str]:
    """What stands behind a prompt, but for the installation: the tests' environment has it all."""
    found = re.findall(r"^\$ (.+)$", readme, re.MULTILINE)
    assert found[0] == "pip install 'dovecote[django]'"
    return found[1:]


def test_the_commands_of_the_readme(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3*"))
    emulator, server = str(free_port()), str(free_port())
    lines = [
        line.replace("8081", emulator).replace("8000", server) for line in commands((EXAMPLE / "README.md").read_text())
    ]
    curl = tmp_path / "bin" / "curl"
    curl.parent.mkdir()
    curl.write_text(CURL.format(python=sys.executable))
    curl.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DOVECOTE_", "DJANGO_"))}
    environment["PATH"] = os.pathsep.join([str(curl.parent), str(Path(sys.executable).parent), os.environ["PATH"]])

    # Into a file and not through a pipe, which would last as long as the servers in the background.
    with (tmp_path / "output").open("w+") as output:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        told = output.read()

    assert code == 0, told
    assert told.count('{"order": 1, "state": "shipped", "notification": 1}') == 2, told
    (answer,) = re.findall(r'^\{"records".*$', told, re.MULTILINE)
    (record,) = json.loads(answer)["records"]
    assert record["parameters"] == {"chat_id": 42, "text": "Order 1 is on its way."}
    assert re.search(r"state +delivered", told), told
    assert re.search(r"^Ran 2 tests in .*\n\nOK$", told, re.MULTILINE), told


def test_the_pieces_in_the_documentation_are_the_examples() -> None:
    page = (EXAMPLE.parent.parent / "docs" / "django.md").read_text(encoding="utf-8")
    pieces = re.findall(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL)

    assert {name for name, _ in pieces} == {"shop/settings.py", "orders/views.py", "orders/tests.py"}
    for name, piece in pieces:
        there = {line.strip() for line in (EXAMPLE / name).read_text(encoding="utf-8").splitlines()}
        assert [line for line in piece.splitlines() if line.strip() and line.strip() not in there] == []
