"""The place of a campaign: servers, networks between, and what is in the database before it begins."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import urllib.request
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
from migrated import migrate
from s3_server import S3Server
from servers import PostgresServer
from valkey_servers import ValkeyServer

from chaos.connections import CREATE
from chaos.pooler import Pooler
from chaos.proxy import Proxy
from dovecote.emulator import BotLimit, EmulatorProcess, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.setting import Setting

TOKEN = "4242:" + "A" * 35
TOKEN_VARIABLE = "DOVECOTE_TOKEN_SHOP"  # noqa: S105 (a variable's name)
BLOCKED = range(9000, 9003)
ANSWER_SECONDS = 20.0


@dataclass
class Place:
    """What is there. Networks are by the name of what is behind them; `url` is the database without a network."""

    url: str
    emulator: EmulatorProcess
    networks: dict[str, Proxy]
    postgres: PostgresServer | None
    valkey: ValkeyServer | None
    s3: S3Server | None
    storage: dict[str, str]
    folder: Path
    pooler: Pooler | None = None

    def database_url(self) -> str:
        """The database as the campaign's processes reach it."""
        if self.postgres is None:
            return self.url
        parts = urlsplit(self.url)
        return parts._replace(netloc=f"{parts.username}@127.0.0.1:{self.networks['the database'].port}").geturl()

    def redis_url(self) -> str | None:
        """Valkey as they reach it."""
        return None if self.valkey is None else f"redis://127.0.0.1:{self.networks['Valkey'].port}/1"

    async def control(self, method: str, path: str, document: object = None) -> Any:
        """Ask the emulator's control API."""
        return await asyncio.to_thread(self._control, method, path, document)

    def _control(self, method: str, path: str, document: object) -> Any:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.emulator.url}/emulator/{path}", data=body, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 (ours)
            return json.load(answer)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query of the campaign's own, past every network. `{}` stands before the name of a table."""
        if self.postgres is None:
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=ANSWER_SECONDS)) as connection:
                return connection.execute(query.replace("{}", "dovecote_")).fetchall()
        with psycopg.connect(self.url, connect_timeout=10, autocommit=True) as connection:
            return connection.execute(query.replace("{}", "dovecote.").encode()).fetchall()


async def made(setting: Setting, folder: Path, stack: AsyncExitStack) -> Place:
    """Start everything that the setting names; `stack` ends it."""
    limits = Limits(bot=BotLimit(rate=setting.pace, capacity=setting.pace))
    emulator = stack.enter_context(EmulatorProcess(limits=limits, seed=setting.seed))
    postgres = valkey = s3 = pooler = None
    if setting.database == "postgresql":
        # Servers are started in this thread: they are given a moment of it, and nothing else runs yet.
        postgres = stack.enter_context(PostgresServer(18))
        url = postgres.create_database()
    else:
        url = f"sqlite:///{folder}/outbox.db"
    if setting.valkey:
        valkey = stack.enter_context(ValkeyServer())
    if setting.s3:
        s3 = stack.enter_context(S3Server())
    await asyncio.to_thread(migrate, url)
    networks = {"the Bot API": Proxy("the Bot API", "127.0.0.1", urlsplit(emulator.url).port or 0)}
    if postgres is not None:
        if setting.pooler:
            pooler = stack.enter_context(Pooler(postgres.port, urlsplit(url).username or ""))
        networks["the database"] = Proxy("the database", "127.0.0.1", postgres.port if pooler is None else pooler.port)
    if valkey is not None:
        networks["Valkey"] = Proxy("Valkey", "127.0.0.1", valkey.port)
    if s3 is not None:
        networks["the S3 server"] = Proxy("the S3 server", "127.0.0.1", urlsplit(s3.place.endpoint).port or 0)
    for network in networks.values():
        await stack.enter_async_context(network)
    storage = {"url": (folder / "files").as_uri()} if s3 is None else _bucket(s3, networks["the S3 server"])
    place = Place(url, emulator, networks, postgres, valkey, s3, storage, folder, pooler)
    await place.control("POST", "recipients", [{"chat_id": chat, "state": "blocked"} for chat in BLOCKED])
    _make_own_table(place)
    return place


def _bucket(s3: S3Server, network: Proxy) -> dict[str, str]:
    """The storage's settings for a bucket of its own, behind a network."""
    endpoint = f"http://127.0.0.1:{network.port}"
    return {
        "url": f"s3://{s3.place.create_bucket()}/chaos?endpoint={endpoint}&path_style=true&timeout=2&retry_for=3",
        "access_key_id": s3.place.writer.access_key_id,
        "secret_access_key": s3.place.writer.secret_access_key,
    }


def _make_own_table(place: Place) -> None:
    if place.postgres is None:
        with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as connection:
            connection.execute(CREATE)
            connection.commit()
    else:
        with psycopg.connect(place.url, autocommit=True) as connection:
            connection.execute(CREATE)
