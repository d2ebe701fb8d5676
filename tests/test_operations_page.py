"""What docs/operations.md tells an operator to write down is what there is: the unit, the container's file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from starlette.routing import Route

from dovecote.cli.project import MARGIN, UNIT
from dovecote.config.settings import Settings
from dovecote.observability.listener import Listener
from dovecote.observability.metrics import Metrics

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def block(language: str) -> str:
    """The one block of that language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def settings() -> Settings:
    return Settings.model_validate({})


def test_the_unit_is_the_one_that_init_writes() -> None:
    drain = settings().worker.drain_deadline
    values = {
        "name": "shop",
        "folder": "/srv/dovecote",
        "written": '"/srv/dovecote"',
        "python": "/srv/dovecote/venv/bin/python",
        "drain": f"{drain.total_seconds():g}",
        "stop": f"{(drain + MARGIN).total_seconds():g}",
        "home": "yes",
    }

    assert block("ini") == UNIT % values


def test_the_container_has_a_python_that_is_new_enough_and_extras_that_there_are() -> None:
    lines = block("dockerfile")

    (version,) = re.findall(r"^FROM python:3\.(\d+)-slim$", lines, re.MULTILINE)
    (extras,) = re.findall(r"'dovecote\[(.*?)\]'", lines)
    (oldest,) = re.findall(r"^>=3\.(\d+)$", PROJECT["requires-python"])
    assert int(version) >= int(oldest)
    assert f"Programming Language :: Python :: 3.{version}" in PROJECT["classifiers"]
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_container_starts_the_program_and_asks_the_listener_where_it_is() -> None:
    lines = block("dockerfile")

    (entry,) = re.findall(r'^ENTRYPOINT \["(.+)"\]$', lines, re.MULTILINE)
    ((port, path),) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", lines)
    assert entry in PROJECT["scripts"]
    assert int(port) == settings().http.port
    routes = Listener(metrics=Metrics())._app.routes
    assert path in [route.path for route in routes if isinstance(route, Route)]
    assert "STOPSIGNAL SIGTERM" in lines


def test_what_is_said_of_the_time_to_stop_is_longer_than_the_drain() -> None:
    drain = settings().worker.drain_deadline.total_seconds()

    told = re.findall(r"--stop-timeout (\d+)|terminationGracePeriodSeconds: (\d+)", PAGE)
    assert len(told) == 2
    assert all(int(docker or kubernetes) > drain for docker, kubernetes in told)
    assert f"`worker.drain_deadline` ({drain:g} s)" in PAGE
