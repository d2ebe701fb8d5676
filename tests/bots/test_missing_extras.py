"""Where a framework is not installed, the error names the command that installs it."""

from __future__ import annotations

import importlib
import sys

import pytest

from dovecote import MissingExtra


@pytest.mark.parametrize("framework", ["aiogram", "telegram"])
def test_the_command_is_named(framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = f"dovecote.integrations.{framework}"
    for name in [name for name in sys.modules if name.startswith(package)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, framework, None)

    with pytest.raises(MissingExtra, match=rf"pip install 'dovecote\[{framework}\]'"):
        importlib.import_module(package)
