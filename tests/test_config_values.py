"""Durations, the key ring, the template of a file, and the document of all settings."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dovecote.config import (
    SETTINGS,
    Encryption,
    Settings,
    configuration_faults,
    load_settings,
    parse_duration,
    template,
)
from dovecote.vault import Vault, generate_key

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "dovecote.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


class TestTheKeyRing:
    def test_keys_of_the_variable_come_first_then_those_of_the_file(self) -> None:
        first, second, third = generate_key(), generate_key(), generate_key()
        write(f"# the ring\n{second}\n\n{third}  # the oldest\n", "keys.txt")

        encryption = load_settings(
            environ={"DOVECOTE_ENCRYPTION_KEYS": f"{first},", "DOVECOTE_ENCRYPTION_KEYS_FILE": "keys.txt"}
        ).encryption

        assert [key.get_secret_value() for key in encryption.ring()] == [first, second, third]
        assert "1 key" not in repr(Vault(encryption.ring()))

    def test_without_keys_the_ring_is_empty(self) -> None:
        assert Encryption().ring() == ()

    def test_a_list_in_the_file_is_taken(self) -> None:
        key = generate_key()
        write(f'[encryption]\nkeys = ["{key}"]\n')

        assert load_settings(environ={}).encryption.ring() == (SecretStr(key),)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "which holds no key"),
            ("# nothing\n", "which holds no key"),
            ("opensesame\n", "its line 1 is no Fernet key (it is not shown)"),
        ],
    )
    def test_faults_of_the_file_are_told_with_the_others(self, text: str, message: str) -> None:
        write(text, "keys.txt")

        faults = configuration_faults(environ={"DOVECOTE_ENCRYPTION_KEYS_FILE": "keys.txt", "DOVECOTE_HTTP_PORT": "x"})

        assert len(faults) == 2
        assert faults[1].startswith('encryption.keys_file is "keys.txt"')
        assert message in faults[1]
        assert "opensesame" not in faults[1]

    def test_a_file_that_is_missing_is_told(self) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_ENCRYPTION_KEYS_FILE": "none.txt"})

        assert fault.startswith('encryption.keys_file is "none.txt", which cannot be read (No such file or directory)')


class TestDurations:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (20, 20),
            (0.05, 0.05),
            ("20", 20),
            ("50ms", 0.05),
            ("1.5s", 1.5),
            ("30s", 30),
            ("5m", 300),
            ("12h", 43_200),
            ("30d", 2_592_000),
            ("30 d", 2_592_000),
            (0, 0),
            (timedelta(minutes=1), 60),
        ],
    )
    def test_seconds_and_text_are_taken(self, value: object, seconds: float) -> None:
        assert parse_duration(value) == timedelta(seconds=seconds)

    @pytest.mark.parametrize(
        "value", ["", "s", "1w", "-1s", "1e3", "1h30m", "3651d", float("nan"), float("inf"), -1, True, None, 10**400]
    )
    def test_anything_else_is_refused(self, value: object) -> None:
        with pytest.raises(ValueError, match="duration"):
            parse_duration(value)

    @given(st.text())
    def test_no_text_raises_anything_but_a_value_error(self, text: str) -> None:
        try:
            duration = parse_duration(text)
        except ValueError:
            return
        assert timedelta(0) <= duration <= timedelta(days=3650)


class TestTheTemplate:
    def test_as_it_is_it_means_the_defaults(self) -> None:
        write(template())

        assert load_settings(environ={}) == Settings()

    def test_with_every_comment_sign_taken_away_it_means_the_defaults_too(self) -> None:
        live, count = re.subn(r"^#(\w+ = )", r"\1", template(), flags=re.MULTILINE)
        write(live)

        assert count == len(SETTINGS)
        assert load_settings(environ={}) == Settings()

    def test_values_that_are_given_are_set(self) -> None:
        key = generate_key()
        write(template({"database.url": "postgresql://db/shop", "encryption.keys": [key], "worker.listen": False}))

        settings = load_settings(environ={})

        assert settings.database.url == "postgresql://db/shop"
        assert settings.encryption.ring() == (SecretStr(key),)
        assert settings.worker.listen is False

    @given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: "\0" not in name))
    def test_any_text_survives_the_template(self, name: str) -> None:
        path = write(template({"encryption.keys_file": name, "log.level": "error"}), "written.toml")

        faults = configuration_faults(path, {})

        assert len(faults) == 1
        assert faults[0].startswith("encryption.keys_file is ")

    def test_a_name_that_is_no_setting_is_refused(self) -> None:
        with pytest.raises(KeyError, match=r"worker\.leese"):
            template({"worker.leese": 1})


class TestTheDocument:
    def test_every_setting_is_documented_with_variable_and_default_and_nothing_else_is(self) -> None:
        rows = re.findall(
            r"^\| `([a-z_.]+)` \| `(\w+)` \| (.+?) \| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE
        )
        documented = [(name, variable, default) for name, variable, default, _ in rows]

        assert documented == [
            (
                name,
                "DOVECOTE_" + name.upper().replace(".", "_"),
                "not set" if setting.default is None else f"`{json.dumps(setting.default)}`",
            )
            for name, setting in SETTINGS.items()
        ]

    def test_every_name_in_the_document_exists(self) -> None:
        text = DOCUMENT.read_text("utf-8")
        known = {setting.variable for setting in SETTINGS.values()} | {"DOVECOTE_CONFIG", "DOVECOTE_SECTION_NAME"}

        assert set(re.findall(r"DOVECOTE_[A-Z_]+\b(?!_?\*)", text)) - {"DOVECOTE_TOKEN_", "DOVECOTE_TEST_"} <= known
        sections = {name.partition(".")[0] for name in SETTINGS}
        assert {name for name in re.findall(r"`([a-z]+\.[a-z_]+)`", text) if name.partition(".")[0] in sections} == set(
            SETTINGS
        )

    def test_the_example_in_the_document_loads(self) -> None:
        (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
        write(example)

        assert load_settings(environ={}).worker.lease == timedelta(seconds=90)
