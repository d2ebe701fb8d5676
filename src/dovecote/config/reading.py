"""From the file and the environment to `Settings`, or to every fault that stands in the way.

Two steps: names (which values are given, and which names are no setting's), then values (setting by setting, then
together). A step never stops at its first fault, and what is wrong is left out of the next one, so that one slip is
reported once.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from dovecote.config.contradictions import contradictions
from dovecote.config.settings import SECTIONS, SETTINGS, Setting, Settings
from dovecote.config.values import REASON, masked_url
from dovecote.errors import InvalidConfiguration
from dovecote.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIG_VARIABLE: Final = "DOVECOTE_CONFIG"
DEFAULT_FILE: Final = "dovecote.toml"
# Not settings: the tokens of bots that are named by their variable, and the switches of the test suite.
OTHERS_VARIABLES: Final = ("DOVECOTE_TOKEN_", "DOVECOTE_TEST_")

SCHEDULES: Final = "schedule"
"""The one table that holds no settings."""

_BY_VARIABLE: Final = {setting.variable: setting for setting in SETTINGS.values()}
_LONGEST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Tables:
    """The settings of another program's own configuration, in place of a file: the same tables, as dictionaries.

    `name` is what the sentences about its faults call it.
    """

    name: str
    values: Mapping[str, Any]


def load_settings(path: Path | Tables | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from the file `path` and from `environ`, by default the process's environment.

    Without `path` it is the file that DOVECOTE_CONFIG names, else `dovecote.toml` in the working directory; only that
    last one may be missing. Raises InvalidConfiguration with every fault at once.
    """
    settings, faults = _examine(path, os.environ if environ is None else environ)
    if faults:
        raise InvalidConfiguration(faults)
    return settings


def configuration_faults(
    path: Path | Tables | None = None, environ: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Every fault that `load_settings` would raise, as sentences; empty when there is none."""
    return _examine(path, os.environ if environ is None else environ)[1]


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was given, and where."""

    value: object
    origin: str


def _examine(path: Path | Tables | None, environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    faults: list[str] = []
    given = _from_file(path, environ, faults) | _from_environment(environ, faults)

    wrong: set[str] = set()
    for section, table in SECTIONS.items():
        try:
            table.model_validate(_values(section, given))
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=False):
                setting = SETTINGS[f"{section}.{detail['loc'][0]}"]
                reason = detail["msg"] if detail["type"] == REASON else ""
                faults.append(_fault(setting, given[setting.name], detail["loc"][1:], reason))
                wrong.add(setting.name)

    right = {name: value for name, value in given.items() if name not in wrong}
    sections = {section: table.model_validate(_values(section, right)) for section, table in SECTIONS.items()}
    settings = Settings.model_construct(None, **sections)
    faults += (found.sentence for found in contradictions(settings) if not found.between & wrong)
    try:
        settings.encryption.ring()
    except InvalidConfiguration as error:
        faults += error.faults
    return settings, tuple(dict.fromkeys(map(redact, faults)))


def _values(section: str, given: Mapping[str, _Given]) -> dict[str, object]:
    prefix = f"{section}."
    return {name.removeprefix(prefix): at.value for name, at in given.items() if name.startswith(prefix)}


def _from_file(path: Path | Tables | None, environ: Mapping[str, str], faults: list[str]) -> dict[str, _Given]:
    found = _tables(path, environ, faults)
    return {} if found is None else dict(_settings_in(found[1], found[0], faults))


def _tables(
    path: Path | Tables | None, environ: Mapping[str, str], faults: list[str]
) -> tuple[Path | str, Mapping[str, Any]] | None:
    """The file and what is in it; None, and perhaps a fault, where there is nothing to read."""
    if isinstance(path, Tables):
        return path.name, path.values
    named = environ.get(CONFIG_VARIABLE)
    file = path or Path(named or DEFAULT_FILE)
    try:
        return file, tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path or named:
            faults.append(f'there is no file "{file}": `dovecote init` makes one, or {CONFIG_VARIABLE} names another.')
    except OSError as error:
        faults.append(f'"{file}" cannot be read ({error.strerror}): mend it, or name another with {CONFIG_VARIABLE}.')
    except (ValueError, RecursionError) as error:
        faults.append(f'"{file}" is no TOML ({_no_toml(error)}): mend that place.')
    return None


def settings_file(
    path: Path | Tables | None = None, environ: Mapping[str, str] | None = None
) -> Mapping[str, Any] | None:
    """The tables of the file that `load_settings` reads; None where there is none.

    Raises InvalidConfiguration for one that cannot be read.
    """
    faults: list[str] = []
    tables = _tables(path, os.environ if environ is None else environ, faults)
    if faults:
        raise InvalidConfiguration(faults)
    return None if tables is None else tables[1]


def _no_toml(error: ValueError | RecursionError) -> str:
    match error:
        case tomllib.TOMLDecodeError():
            # It tells the place and never a value.
            return str(error)
        case UnicodeDecodeError():
            # Its own words would show bytes of the file.
            return "it is not UTF-8"
        case RecursionError():
            return "something in it is nested too deep"
        case _:
            return "a number in it has too many digits"


def _settings_in(tables: Mapping[str, Any], file: Path | str, faults: list[str]) -> Iterator[tuple[str, _Given]]:
    for section, table in tables.items():
        if section == SCHEDULES:
            continue  # those are read by `schedules`
        if section not in SECTIONS:
            if isinstance(table, dict):
                faults.append(f'"{file}" has the unknown table "{section}"{_table_meant(section)}')
            else:
                faults.append(f'"{file}" has outside of a table the unknown "{section}"{_meant(section)}')
        elif not isinstance(table, dict):
            begin = f"begin it with [{section}]" if isinstance(file, Path) else f'write "{section}": {{...}}'
            faults.append(f'"{file}" has {section} as a value: it is a table, {begin}.')
        else:
            for key, value in table.items():
                name = f"{section}.{key}"
                if name in SETTINGS:
                    yield name, _Given(value, f"in {file}")
                else:
                    faults.append(f'"{file}" has the unknown setting "{name}"{_meant(name)}')


def _from_environment(environ: Mapping[str, str], faults: list[str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for variable, value in sorted(environ.items()):
        if setting := _BY_VARIABLE.get(variable):
            # An empty variable counts as not set: it is how a compose file or a unit leaves one out.
            if value.strip():
                given[setting.name] = _Given(value.strip(), variable)
        elif variable.startswith("DOVECOTE_") and not _is_no_setting(variable):
            faults.append(f"the variable {variable} sets nothing{_variable_meant(variable)}")
    return given


def _is_no_setting(variable: str) -> bool:
    return variable == CONFIG_VARIABLE or variable.startswith(OTHERS_VARIABLES)


def _meant(name: str) -> str:
    leaf = name.rpartition(".")[2]
    same_leaf = [setting for setting in SETTINGS if setting.endswith(f".{leaf}")]
    near = same_leaf or difflib.get_close_matches(name, SETTINGS, n=1)
    return f": did you mean {near[0]}?" if near else ": remove it, or look it up in docs/settings.md."


def _table_meant(section: str) -> str:
    near = difflib.get_close_matches(section, SECTIONS, n=1)
    return (
        f": did you mean [{near[0]}]?" if near else f": the tables are {', '.join(f'[{name}]' for name in SECTIONS)}."
    )


def _variable_meant(variable: str) -> str:
    near = difflib.get_close_matches(variable, [*_BY_VARIABLE, CONFIG_VARIABLE], n=1)
    remedy = f": did you mean {near[0]}?" if near else ": remove it, or look it up in docs/settings.md."
    return f"{remedy} (A variable that holds a bot's token is named DOVECOTE_TOKEN_... or without DOVECOTE_.)"


def _fault(setting: Setting, given: _Given, place: tuple[int | str, ...], reason: str = "") -> str:
    which = f"{setting.name}, number {int(place[0]) + 1} in it," if place else setting.name
    if setting.secret:
        return f"{which} has a wrong value ({given.origin}; it is not shown): it takes {setting.takes}."
    said = f"{reason}; it takes" if reason else "it takes"
    return f"{which} is {_shown(given.value)} ({given.origin}): {said} {setting.takes}."


def _shown(value: object) -> str:
    try:
        text = json.dumps(redact(masked_url(value)), ensure_ascii=False) if isinstance(value, str) else str(value)
    except ValueError:
        # Written in hexadecimal, it may be longer than Python writes in decimal.
        return "a number of too many digits"
    text = {True: "true", False: "false"}.get(value, text) if isinstance(value, bool) else redact(text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
