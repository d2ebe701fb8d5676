"""The settings themselves: their names, defaults, what they are about and what values they take.

Whatever is said about a setting elsewhere (in the template, in faults, in the documents) comes from here or is
compared with it by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from dovecote.config.contradictions import contradictions
from dovecote.config.key_files import MAKE_A_KEY, keys_of
from dovecote.config.values import (
    SHORTEST_HTTP_TOKEN,
    TAKES_DURATION,
    TAKES_DURATION_OR_ZERO,
    TAKES_LEASE,
    BaseUrl,
    DatabaseUrl,
    Duration,
    DurationOrZero,
    FernetKeys,
    FetchUrls,
    Host,
    HttpToken,
    KeysFile,
    LeaseDuration,
    LogFormat,
    LogLevel,
    PublicUrl,
    RedisUrl,
    Secret,
    StorageUrl,
    Text,
    Whole,
    masked_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def _setting(
    default: object, about: str, takes: str, *, secret: bool = False, ge: int | None = None, le: int | None = None
) -> Any:
    """A field: its default as it is written in the file, what it is about, and what values it takes."""
    return Field(default, description=about, json_schema_extra={"takes": takes, "secret": secret}, ge=ge, le=le)


def _duration(default: str, about: str) -> Any:
    return _setting(default, about, TAKES_DURATION)


def _count(default: int, about: str, *, most: int) -> Any:
    return _setting(default, about, f"a whole number from 1 to {most}", ge=1, le=most)


class Section(BaseModel):
    """A table of the file. Frozen; the input is in no error, since it may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


class Database(Section):
    """Where the outbox is."""

    url: DatabaseUrl = _setting(
        "sqlite:///dovecote.db",
        "The database of the outbox: the application's own, so that both commit together.",
        "sqlite:///FILE or postgresql://USER@HOST:PORT/NAME, without a driver's name in the scheme",
    )

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        """Show the URL without its password."""
        yield "url", masked_url(self.url)


class Redis(Section):
    """Redis or Valkey, which elects the leader where there are several machines. Not needed."""

    url: RedisUrl = _setting(
        None,
        "The server, and the number of a database that the scheduler has for itself, 1 if the URL names none. Not set,"
        " the outbox's database elects the leader.",
        "redis://HOST:PORT/NUMBER, with USER:PASSWORD@ before the host if needed, or rediss:// for TLS",
    )

    def __repr_args__(self) -> Iterator[tuple[str, str | None]]:
        """Show the URL without its password."""
        yield "url", None if self.url is None else masked_url(self.url)


class Leadership(Section):
    """How one of the instances is elected to do what only one should do."""

    lease: LeaseDuration = _setting(
        "15s", "How long the lead is an instance's own. A leader that crashed is followed after it.", TAKES_LEASE
    )
    renew_interval: Duration = _duration("5s", "How often the leader renews its lease, and each instance is heard of.")
    poll_interval: Duration = _duration("500ms", "How often a follower asks whether the lead is free.")


class Scheduler(Section):
    """When schedules are looked at. Known ones fire at their time; this is for what comes unexpected."""

    look_interval: Duration = _duration(
        "1s", "How often the leader looks for schedules that were added or changed meanwhile."
    )
    sweep_interval: Duration = _duration("5s", "How often each instance looks for schedules that no leader has fired.")


class Telegram(Section):
    """How Telegram, a local Bot API server or the emulator is reached."""

    base_url: BaseUrl = _setting(
        "https://api.telegram.org",
        "The Bot API server: Telegram's, a local one, or the emulator.",
        "an address such as https://api.telegram.org, without a query",
    )
    timeout: Duration = _duration("20s", "How long one request may take, connecting included.")
    upload_timeout: Duration = _duration("5m", "How long a request may take that uploads files.")
    largest_upload: Whole = _count(
        50,
        "How many megabytes a file may have that is sent: 50 at Telegram, 2000 at a local Bot API server.",
        most=2000,
    )
    fetch_urls: FetchUrls = _setting(
        "public",
        "Which URLs of files the engine fetches and uploads itself where Telegram could not fetch them twice.",
        "public (no address of a private network), any, or never",
    )
    connections: Whole = _count(128, "How many connections are kept open at most.", most=10_000)


class Worker(Section):
    """How notifications are claimed and sent."""

    batch_size: Whole = _count(500, "How many notifications one cycle claims at most.", most=10_000)
    concurrency: Whole = _count(128, "How many requests are under way at a time.", most=10_000)
    lease: Duration = _duration(
        "60s", "How long a claim is a worker's own. What a killed worker held is due again after it."
    )
    poll_interval: Duration = _duration("1s", "How often an idle worker looks for due notifications.")
    flush_interval: Duration = _duration("50ms", "How long an outcome waits at most to be settled with others.")
    drain_deadline: DurationOrZero = _setting(
        "25s",
        "How long a stopping worker waits for its requests before it gives the rest back.",
        TAKES_DURATION_OR_ZERO,
    )
    listen: bool = _setting(
        True,  # noqa: FBT003 - the default of a setting
        "Wake up by LISTEN/NOTIFY as well. Off behind a pooler such as pgbouncer; polling alone works.",
        "true or false",
    )


class Retry(Section):
    """When a failed attempt is tried again."""

    attempts: Whole = _count(
        25, "How many attempts that were certainly not sent a notification has before it is a dead letter.", most=1000
    )
    unknown_attempts: Whole = _count(
        5, "How many attempts it has when each may have arrived; under at least once, each may be a copy.", most=1000
    )
    first: Duration = _duration("1s", "The ceiling of the wait before the second attempt; it doubles with each.")
    longest: Duration = _duration("1h", "The ceiling that the wait never exceeds.")


class Enqueue(Section):
    """What is promised to the application."""

    key_window: Duration = _duration("30d", "How long a key is remembered: enqueuing it again changes nothing.")


class Retention(Section):
    """How long what is done is remembered, and when it is pruned."""

    delivered: Duration = _duration("30d", "How long a delivered notification stays in the history.")
    delivered_payload: Duration = _duration("7d", "How long it keeps its payload: text and all other parameters.")
    dead: Duration = _duration("90d", "How long a dead letter stays.")
    dead_payload: Duration = _duration("30d", "How long a dead letter keeps its payload, and can be replayed.")
    unknown: Duration = _duration("90d", "How long an unknown outcome stays, and can be recorded as delivered.")
    unknown_payload: Duration = _duration("30d", "How long an unknown one keeps its payload, and can be sent again.")
    occurrences: Duration = _duration("90d", "How long what a schedule did stays on record.")
    interval: Duration = _duration("1h", "How often the leader prunes what is past its time.")


class Storage(Section):
    """Where the contents of files are kept."""

    url: StorageUrl = _setting(
        None,
        "A folder or an S3-compatible store. Not set, it is the folder dovecote-files beside the database.",
        "file:///FOLDER or s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION, without credentials in it",
    )
    public_url: PublicUrl = _setting(
        None,
        "Where people read the files: a CDN, or a web server on the folder. Not set, URLs are signed and expire.",
        "an address such as https://files.example.com, without a query",
    )
    url_lifetime: Duration = _setting(
        "1h", "How long a signed URL is good for where nothing else is said.", f"{TAKES_DURATION}; 7 days at most"
    )
    access_key_id: Text = _setting(
        None,
        "The access key of the S3-compatible store. Not set, it comes from the usual places of AWS's tools.",
        "the public half of an access key",
    )
    secret_access_key: Secret = _setting(
        None, "The secret half of that access key.", "the secret half of an access key", secret=True
    )

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Show the URL as it could be shown to anybody."""
        for name, value in super().__repr_args__():
            yield str(name), masked_url(value) if name == "url" and value else value


class Files(Section):
    """How long files are kept that nobody needs."""

    grace: Duration = _duration("7d", "How long a file stays that no notification needs any more, and nobody keeps.")
    collect_interval: Duration = _duration("10m", "How often the leader looks for such files.")


class Http(Section):
    """The listener for health, metrics and the API."""

    host: Host = _setting(
        "127.0.0.1",
        "The address to listen on. Anything but loopback needs `http.token`.",
        "an address or a host name, without scheme and port",
    )
    port: Whole = _setting(
        8089, "The port to listen on; 0 takes a free one.", "a whole number from 0 to 65535", ge=0, le=65_535
    )
    token: HttpToken = _setting(
        None,
        "What a request that changes anything must carry as its bearer token. Not set, such requests are refused.",
        f"{SHORTEST_HTTP_TOKEN} characters or more, ASCII without spaces; "
        '`python -c "import secrets; print(secrets.token_urlsafe(32))"` makes one',
        secret=True,
    )


class Log(Section):
    """The log, on standard error."""

    format: LogFormat = _setting("console", "Lines for people or for programs.", "console or json")
    level: LogLevel = _setting(
        "info", "The least severe level that is written.", "debug, info, warning, error or critical"
    )


class Encryption(Section):
    """The keys that bots' tokens are encrypted with. They belong elsewhere than the database."""

    keys: FernetKeys = _setting(
        (),
        "Fernet keys: the first encrypts, all decrypt. In the variable they are separated by commas.",
        f"Fernet keys of 44 characters; {MAKE_A_KEY} makes one",
        secret=True,
    )
    keys_file: KeysFile = _setting(
        None,
        "A file with such keys, one a line, `#` begins a comment. They follow those of `encryption.keys`.",
        "the path of a file",
    )

    def ring(self) -> tuple[SecretStr, ...]:
        """The key ring: `keys`, then those of `keys_file`, which is read now. Empty when neither is set.

        Raises InvalidConfiguration, with every fault of the file; no message holds a key.
        """
        return (*self.keys, *(keys_of(self.keys_file) if self.keys_file else ()))


class Settings(Section):
    """Everything that can be set. Frozen: a change of the environment shows at the next `load` only."""

    database: Database = Database()
    telegram: Telegram = Telegram()
    worker: Worker = Worker()
    retry: Retry = Retry()
    enqueue: Enqueue = Enqueue()
    retention: Retention = Retention()
    storage: Storage = Storage()
    files: Files = Files()
    http: Http = Http()
    log: Log = Log()
    encryption: Encryption = Encryption()
    redis: Redis = Redis()
    leadership: Leadership = Leadership()
    scheduler: Scheduler = Scheduler()

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        if sentences := [found.sentence for found in contradictions(self)]:
            raise ValueError("\n".join(sentences))
        return self


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known about a setting. `default` is as it is written in the file, None when it is not set."""

    name: str
    variable: str
    default: object
    about: str
    takes: str
    secret: bool


SECTIONS: Final[dict[str, type[Section]]] = {name: type(field.default) for name, field in Settings.model_fields.items()}
"""Every table of the file by its name, in order."""


def _catalogue() -> Iterator[Setting]:
    for section, table in SECTIONS.items():
        for name, field in table.model_fields.items():
            extra = cast("dict[str, Any]", field.json_schema_extra)
            yield Setting(
                name=f"{section}.{name}",
                variable=f"DOVECOTE_{section}_{name}".upper(),
                default=field.default,
                about=field.description or "",
                takes=extra["takes"],
                secret=extra["secret"],
            )


SETTINGS: Final = {setting.name: setting for setting in _catalogue()}
"""Every setting by its name, in the order of the file."""
