"""Credentials and region from the usual places of AWS's tools, in their order; pure but for reading two files.

Arguments, then AWS_ACCESS_KEY_ID and its kin, then the profile that AWS_PROFILE names (or `default`) in
`~/.aws/credentials` and `~/.aws/config`. What is not found here the client looks for itself, when it first needs it:
a web identity, the container's address, the machine's metadata service.
"""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import TYPE_CHECKING

from dovecote.errors import InvalidConfiguration
from dovecote.storage.signatures import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping


def found_credentials(environ: Mapping[str, str], profile: str | None = None) -> Credentials | None:
    """The credentials of the named profile, else of the environment, else of the default profile.

    Raises InvalidConfiguration for a profile that is named and not there, and for half a pair.
    """
    if profile is None and (from_environment := _pair(environ, "AWS_ACCESS_KEY_ID", "the environment")):
        return from_environment
    named = profile or environ.get("AWS_PROFILE") or ""
    for section in _sections(environ, named or "default"):
        if pair := _pair(section, "aws_access_key_id", f"the profile {named or 'default'}"):
            return pair
    if named:
        file = _file(environ, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
        fault = f'the profile "{named}" has no access key in {file}: run `aws configure`, or name another profile.'
        raise InvalidConfiguration([fault])
    return None


def found_region(environ: Mapping[str, str], profile: str | None = None) -> str | None:
    """The region of the environment, else of the profile."""
    named = profile or environ.get("AWS_PROFILE") or "default"
    given = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    of_profile = next((section["region"] for section in _sections(environ, named) if "region" in section), None)
    return of_profile or given if profile else given or of_profile


def found_endpoint(environ: Mapping[str, str]) -> str | None:
    """The endpoint that the environment names."""
    return environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or environ.get("AWS_ENDPOINT")


def is_public(environ: Mapping[str, str]) -> bool:
    """Whether the environment says that nothing is to be signed: the bucket is anybody's."""
    return environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true", "yes", "on"}


def _pair(values: Mapping[str, str], first: str, where: str) -> Credentials | None:
    """The pair whose first name is `first`, in the case of that name."""
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    if first.isupper():
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    key, secret, token = (values.get(name) or None for name in names)
    if (key is None) != (secret is None):
        missing = names[1] if key else names[0]
        raise InvalidConfiguration([f"{where} has no {missing}, and credentials are a pair: set both."])
    return Credentials(key, secret, token) if key and secret else None


def _sections(environ: Mapping[str, str], profile: str) -> list[Mapping[str, str]]:
    """What the two files say of a profile, the credentials' file first."""
    found: list[Mapping[str, str]] = []
    for variable, name, section in (
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile),
        ("AWS_CONFIG_FILE", "config", profile if profile == "default" else f"profile {profile}"),
    ):
        file = _file(environ, variable, name)
        # No interpolation: a secret may hold a per cent sign.
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(file, encoding="utf-8")
        except (OSError, configparser.Error, UnicodeDecodeError):
            raise InvalidConfiguration([f"{file} cannot be read as a file of profiles: mend it."]) from None
        if parser.has_section(section):
            found.append(parser[section])
    return found


def _file(environ: Mapping[str, str], variable: str, name: str) -> Path:
    given = environ.get(variable)
    return Path(given or f"~/.aws/{name}").expanduser()
