"""The settings of Redis and of leadership: what they take, what they contradict, and that no password shows."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from dovecote.config import SETTINGS, Leadership, Redis, Settings, configuration_faults, load_settings
from dovecote.leadership import ElectionSettings, trusted

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_any_the_database_elects_with_a_lease_of_15_s() -> None:
    settings = load_settings(environ={})

    assert settings.redis.url is None
    leadership = settings.leadership
    assert leadership.lease == timedelta(seconds=15)
    assert leadership.renew_interval == timedelta(seconds=5)
    assert leadership.poll_interval == timedelta(milliseconds=500)
    engine = ElectionSettings()
    assert (engine.lease, engine.renew_interval, engine.poll_interval) == (
        leadership.lease,
        leadership.renew_interval,
        leadership.poll_interval,
    )


class TestTheUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "redis://localhost",
            "redis://localhost:6380/3",
            "redis://elector:hunter2@cache.internal:6379/1",
            "redis://:hunter2@[::1]/0",
            "rediss://elector:hunter2@cache.internal/1?ssl_ca_certs=ca.pem&ssl_check_hostname=true",
        ],
    )
    def test_these_are_taken(self, url: str) -> None:
        assert load_settings(environ={"DOVECOTE_REDIS_URL": url}).redis.url == url

    @pytest.mark.parametrize(
        "url",
        [
            "localhost:6379",
            "http://localhost:6379",
            "unix:///run/redis.sock",
            "redis://",
            "redis:///1",
            "redis://localhost:port",
            "redis://localhost/one",
            "redis://localhost/1/2",
            "redis://localhost/1#2",
        ],
    )
    def test_these_are_not(self, url: str) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_REDIS_URL": url})

        assert fault == f"redis.url is {json.dumps(url)} (DOVECOTE_REDIS_URL): it takes {SETTINGS['redis.url'].takes}."

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("redis://localhost?db=3", 'it has the unknown parameter "db" (redis:// takes none)'),
            ("redis://localhost?ssl_ca_certs=a", 'it has the unknown parameter "ssl_ca_certs" (redis:// takes none)'),
            ("rediss://localhost?tls=1", 'it has the unknown parameter "tls" (known are ssl_ca_certs, ssl_ca_path, '),
        ],
    )
    def test_an_unknown_parameter_is_named(self, url: str, reason: str) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_REDIS_URL": url})

        assert reason in fault

    @pytest.mark.parametrize(
        "url",
        [
            "redis://elector:hunter2@host:port/1",
            "redis://:hunter2@host/one",
            "redis://:hun@ter2:hunter2@host/one",
            "redis:/elector:hunter2@host/1",
            "elector:hunter2@host",
            "redis://host/1?password=hunter2",
        ],
    )
    def test_no_fault_shows_the_password(self, url: str) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_REDIS_URL": url})

        assert SECRET not in fault

    def test_no_repr_shows_the_password(self) -> None:
        settings = load_settings(environ={"DOVECOTE_REDIS_URL": "redis://elector:hunter2@host/1"})

        assert SECRET not in f"{settings!r} {settings} {settings.redis!r}"
        assert "redis://elector:***@host/1" in repr(settings.redis)
        with pytest.raises(ValidationError) as raised:
            Redis(url="http://elector:hunter2@host/1")
        assert SECRET not in str(raised.value)


class TestLeases:
    @pytest.mark.parametrize("lease", ["0.4", "0", "400ms", "soon"])
    def test_a_lease_is_half_a_second_or_more(self, lease: str) -> None:
        faults = configuration_faults(environ={"DOVECOTE_LEADERSHIP_LEASE": lease})

        takes = 'a duration of half a second or more, such as "15s"'
        assert faults == (f'leadership.lease is "{lease}" (DOVECOTE_LEADERSHIP_LEASE): it takes {takes}.',)

    def test_two_renewals_must_fit_into_what_a_leader_trusts(self) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_LEADERSHIP_RENEW_INTERVAL": "8s"})

        assert fault == (
            "leadership.renew_interval is 8s and leadership.lease is 15s: a lease must outlive two renewals by a second"
            " (a short one by its fifth), so that one may fail. Set leadership.renew_interval to 7s or less, or a"
            " longer leadership.lease."
        )
        assert configuration_faults(environ={"DOVECOTE_LEADERSHIP_RENEW_INTERVAL": "7s"}) == ()
        in_environment = {"DOVECOTE_LEADERSHIP_RENEW_INTERVAL": "400ms", "DOVECOTE_LEADERSHIP_LEASE": "1s"}
        assert configuration_faults(environ=in_environment) == ()
        assert configuration_faults(environ=in_environment | {"DOVECOTE_LEADERSHIP_RENEW_INTERVAL": "410ms"}) != ()

    @pytest.mark.parametrize("lease", [0.5, 1, 4, 5, 15, 600])
    def test_that_is_what_the_elector_trusts(self, lease: float) -> None:
        longest = trusted(timedelta(seconds=lease)) / 2
        chosen = {"lease": timedelta(seconds=lease), "poll_interval": timedelta(seconds=0.1)}

        Settings(leadership=Leadership(renew_interval=longest, **chosen))
        with pytest.raises(ValidationError, match="two renewals"):
            Settings(leadership=Leadership(renew_interval=longest + timedelta(milliseconds=1), **chosen))

    def test_a_follower_asks_at_least_once_in_a_lease(self) -> None:
        (fault,) = configuration_faults(environ={"DOVECOTE_LEADERSHIP_POLL_INTERVAL": "16s"})

        assert fault.startswith("leadership.poll_interval is 16s and leadership.lease is 15s: ")
        assert fault.endswith("Set leadership.poll_interval to 15s or less.")
