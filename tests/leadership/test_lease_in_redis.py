"""What is Redis's alone: its key, its users and passwords, TLS, and a server that is gone, stands still or is full."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import time
from datetime import timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from leases import IDENTITY, KEY
from valkey_servers import ValkeyServer

from dovecote.errors import LeaseStoreUnavailable, StoreUnavailable
from dovecote.leases.redis import RedisLease

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis import Redis

LEASE = timedelta(seconds=60)
PASSWORD = "correct-horse"


async def identity() -> str:
    return IDENTITY


@contextlib.asynccontextmanager
async def lease_at(url: str, *, timeout: float = 5, name: str = IDENTITY) -> AsyncIterator[RedisLease]:
    async def of() -> str:
        return name

    store = RedisLease(url, identity=of, timeout=timedelta(seconds=timeout))
    try:
        yield store
    finally:
        await store.close()


class TestTheKey:
    async def test_it_is_in_database_1_and_expires_by_itself(self, valkey: ValkeyServer, valkey_url: str) -> None:
        async with lease_at(valkey_url.rpartition("/")[0]) as store:
            await store.acquire("a", 7, LEASE)

        with valkey.client() as client:
            assert client.keys() == [KEY]
            assert client.get(KEY) == "a 7"
            assert 50_000 < left(client) <= 60_000

    async def test_another_number_is_used_when_the_url_names_one(self, own_valkey: ValkeyServer) -> None:
        async with lease_at(own_valkey.url_of(number=3)) as store:
            await store.acquire("a", 1, LEASE)

        with own_valkey.client() as client:
            assert client.dbsize() == 0
            assert "db3" in client.info("keyspace")

    async def test_two_outboxes_on_one_server_have_a_leader_each(self, valkey_url: str) -> None:
        async with lease_at(valkey_url, name="one") as first, lease_at(valkey_url, name="two") as second:
            assert await first.acquire("a", 1, LEASE)
            assert await second.acquire("b", 1, LEASE)

            assert (await first.holder(), await second.holder()) == ("a", "b")

    async def test_a_key_that_never_expires_does_not_keep_the_lead_for_good(
        self, valkey: ValkeyServer, valkey_url: str
    ) -> None:
        with valkey.client() as client:
            client.set(KEY, "whoever 1")
        async with lease_at(valkey_url) as store:
            assert await store.acquire("a", 1, LEASE)

        with valkey.client() as client:
            assert 0 < left(client) <= 60_000

    async def test_a_foreign_value_is_respected_until_it_expires(self, valkey: ValkeyServer, valkey_url: str) -> None:
        with valkey.client() as client:
            client.set(KEY, "not ours", px=60_000)
        async with lease_at(valkey_url) as store:
            assert not await store.acquire("a", 1, LEASE)
            assert not await store.renew("a", 1, LEASE)
            assert not await store.release("a", 1)

    async def test_a_key_of_another_type_is_told_of(self, valkey: ValkeyServer, valkey_url: str) -> None:
        with valkey.client() as client:
            client.rpush(KEY, "a list")
        async with lease_at(valkey_url) as store:
            with pytest.raises(LeaseStoreUnavailable, match=r"WRONGTYPE.*delete that key") as told:
                await store.acquire("a", 1, LEASE)

        assert KEY in str(told.value)
        assert "cannot be used just now" not in str(told.value)

    async def test_scripts_that_were_flushed_are_no_matter(self, valkey: ValkeyServer, valkey_url: str) -> None:
        async with lease_at(valkey_url) as store:
            await store.acquire("a", 1, LEASE)
            with valkey.client() as client:
                client.script_flush()
            assert await store.renew("a", 1, LEASE)


def left(client: Redis) -> int:
    """Milliseconds until the key expires."""
    milliseconds = client.pttl(KEY)
    assert isinstance(milliseconds, int)
    return milliseconds


class TestServersThatDoNotAnswer:
    async def test_one_that_was_killed_is_reached_again_after_its_start(self, own_valkey: ValkeyServer) -> None:
        async with lease_at(own_valkey.url) as store:
            assert await store.acquire("a", 1, LEASE)
            own_valkey.kill()
            for _ in range(3):
                with pytest.raises(LeaseStoreUnavailable, match=r"Redis at 127\.0\.0\.1:\d+/1 cannot be used just now"):
                    await store.renew("a", 1, LEASE)
            own_valkey.start()
            # It kept nothing.
            assert not await store.renew("a", 1, LEASE)
            assert await store.acquire("a", 2, LEASE)

    async def test_one_that_stands_still_is_given_up_on_in_time(self, own_valkey: ValkeyServer) -> None:
        async with lease_at(own_valkey.url, timeout=0.5) as store:
            assert await store.acquire("a", 1, LEASE)
            own_valkey.freeze()
            began_at = time.monotonic()
            with pytest.raises(LeaseStoreUnavailable):
                await store.renew("a", 1, LEASE)
            # Over a new connection: the kernel still accepts it.
            with pytest.raises(LeaseStoreUnavailable):
                await store.renew("a", 1, LEASE)
            took = time.monotonic() - began_at
            own_valkey.thaw()
            assert await store.renew("a", 1, LEASE)
            assert await store.holder() == "a"

        assert 0.9 < took < 5

    async def test_whoever_is_cancelled_ends_at_once_wherever_it_stands(self, own_valkey: ValkeyServer) -> None:
        """Python 3.11's wait_for, which the client bounds its own requests with, loses some of these."""
        async with lease_at(own_valkey.url, timeout=30) as store:
            await store.holder()
            own_valkey.freeze()
            for steps in range(40):
                asking = asyncio.create_task(store.holder())
                for _ in range(steps):
                    await asyncio.sleep(0)
                asking.cancel()
                done, _ = await asyncio.wait([asking], timeout=5)
                assert done, f"it was cancelled after {steps} steps, and goes on"
                assert asking.cancelled()
            own_valkey.thaw()

            assert await store.holder() is None

    async def test_what_was_given_up_on_and_is_carried_out_late_changes_nothing_since(
        self, own_valkey: ValkeyServer
    ) -> None:
        async with lease_at(own_valkey.url, timeout=0.3) as late, lease_at(own_valkey.url) as store:
            assert await late.acquire("a", 1, LEASE)
            own_valkey.freeze()
            with pytest.raises(LeaseStoreUnavailable):
                await late.release("a", 1)
            own_valkey.thaw()
            assert await store.acquire("a", 2, LEASE)

            assert await store.renew("a", 2, LEASE)

    async def test_without_the_outboxs_identity_there_is_no_key(self, valkey_url: str) -> None:
        async def never() -> str:
            await asyncio.Event().wait()
            return "never"

        store = RedisLease(valkey_url, identity=never, timeout=timedelta(seconds=0.05))
        with pytest.raises(StoreUnavailable, match="the database has not answered"):
            await store.acquire("a", 1, LEASE)
        await store.close()

    async def test_a_server_that_is_full_is_told_of(self, own_valkey: ValkeyServer) -> None:
        with own_valkey.client() as client:
            client.config_set("maxmemory", "1")
        async with lease_at(own_valkey.url) as store:
            with pytest.raises(LeaseStoreUnavailable, match="maxmemory"):
                await store.acquire("a", 1, LEASE)


class TestUsersAndPasswords:
    async def test_a_password_is_given(self) -> None:
        with ValkeyServer(password=PASSWORD) as server:
            async with lease_at(server.url) as store:
                assert await store.acquire("a", 1, LEASE)

    async def test_a_user_with_no_more_rights_than_it_needs_is_enough(self) -> None:
        rights = f"elector on >{PASSWORD} ~dovecote:* +eval +get +set +pttl +pexpire +del +select +client|setinfo"
        with ValkeyServer(users=[f"{rights} +client|setname +hello"]) as server:
            async with lease_at(server.url_of("elector", PASSWORD)) as store:
                assert await store.acquire("a", 1, LEASE)
                assert await store.renew("a", 1, LEASE)
                assert await store.holder() == "a"
                assert await store.release("a", 1)

    @pytest.mark.parametrize("url", ["redis://:wrong-battery@{place}/1", "redis://{place}/1"])
    async def test_a_wrong_one_or_none_is_told_of_and_not_shown(self, url: str) -> None:
        with ValkeyServer(password=PASSWORD) as server:
            async with lease_at(url.format(place=f"127.0.0.1:{server.port}")) as store:
                with pytest.raises(LeaseStoreUnavailable) as raised:
                    await store.acquire("a", 1, LEASE)

                shown = f"{raised.value} {raised.value!r} {store!r}"
                assert "wrong-battery" not in shown
                assert PASSWORD not in shown
                assert f"127.0.0.1:{server.port}/1" in shown


class TestTLS:
    """The wheel's server speaks no TLS itself: a door in front of it does, with a certificate made for the test."""

    async def test_a_certificate_of_a_known_authority_is_taken(self, valkey_url: str, tmp_path: Path) -> None:
        async with tls_door(valkey_url, tmp_path) as port:
            url = f"rediss://127.0.0.1:{port}/1?ssl_ca_certs={tmp_path}/certificate.pem"
            async with lease_at(url) as store:
                assert await store.acquire("a", 1, LEASE)
                assert await store.holder() == "a"

    async def test_an_unknown_one_is_refused(self, valkey_url: str, tmp_path: Path) -> None:
        async with tls_door(valkey_url, tmp_path) as port, lease_at(f"rediss://127.0.0.1:{port}/1") as store:
            with pytest.raises(LeaseStoreUnavailable, match="certificate verify failed"):
                await store.acquire("a", 1, LEASE)

    async def test_so_is_one_for_another_host(self, valkey_url: str, tmp_path: Path) -> None:
        async with tls_door(valkey_url, tmp_path) as port:
            url = f"rediss://localhost:{port}/1?ssl_ca_certs={tmp_path}/certificate.pem"
            async with lease_at(url) as store:
                with pytest.raises(LeaseStoreUnavailable, match="certificate verify failed"):
                    await store.acquire("a", 1, LEASE)


@contextlib.asynccontextmanager
async def tls_door(url: str, directory: Path) -> AsyncIterator[int]:
    """A port that passes on to the server of `url` what comes in over TLS. The certificate is for 127.0.0.1."""
    host, _, port = url.rpartition("@")[2].removeprefix("redis://").partition("/")[0].partition(":")
    make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    inside: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except (OSError, ssl.SSLError):
            return
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = await asyncio.open_connection(host, int(port))
        for pair in ((reader, to_server[1]), (to_server[0], writer)):
            task = asyncio.create_task(copy(*pair))
            inside.add(task)
            task.add_done_callback(inside.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for task in list(inside):
        task.cancel()
    await asyncio.gather(*inside, return_exceptions=True)


def make_certificate(directory: Path) -> None:
    """Write certificate.pem, its own authority, and key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
