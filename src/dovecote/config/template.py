"""The text of a new `dovecote.toml`: every setting with its default, switched off by a `#`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dovecote.config.settings import SECTIONS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = """\
# Dovecote's settings. Each stands here with its default: take the # away and change it.
# The environment wins: [worker] batch_size is DOVECOTE_WORKER_BATCH_SIZE there.
# Durations are seconds, or text such as "50ms", "30s", "5m", "12h", "30d".
# `dovecote config check` lists every fault at once.
"""


def template(values: Mapping[str, object] | None = None) -> str:
    """The text of a `dovecote.toml` that sets `values` (by name, such as "database.url") and comments on the rest.

    Without `values` it sets nothing: it means the defaults. Raises KeyError for a name that is no setting's.
    """
    values = values or {}
    if unknown := sorted(values.keys() - SETTINGS.keys()):
        raise KeyError(f"no setting is named {', '.join(unknown)}")
    lines = [_HEAD]
    section = ""
    for setting in SETTINGS.values():
        table, _, key = setting.name.partition(".")
        if table != section:
            section = table
            lines += [f"# {SECTIONS[table].__doc__}", f"[{table}]"]
        lines.append(f"# {setting.about}")
        if setting.name in values:
            lines.append(f"{key} = {_toml(values[setting.name])}")
        else:
            lines.append(f"#{key} = {_toml(setting.default)}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, int | float):
        return str(value)
    # JSON's escapes are TOML's, except for DEL, which JSON leaves bare.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
