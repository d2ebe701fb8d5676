"""A storage by its URL and by the settings; credentials from the usual places; nothing shows a secret."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from scripted_socket import ScriptedServer, closed_port, soon

from dovecote import Dovecote, LocalStorage, MissingExtra, S3Storage, StorageRefused
from dovecote.config import Settings, Storage, configuration_faults, load_settings
from dovecote.errors import InvalidConfiguration
from dovecote.storage import MemoryStorage
from dovecote.storage.addresses import opened, storage_faults
from dovecote.storage.credentials import found_credentials, found_region
from dovecote.storage.signatures import Credentials

if TYPE_CHECKING:
    from pathlib import Path

    from scripted_socket import Connection

SECRET = "wJalrXUtnFEMI-secret"
KEYS = Credentials("AKIDEXAMPLE", SECRET)


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


class TestURLs:
    def test_a_folder(self) -> None:
        storage = opened("file:///var/lib/bot%20files", public_url="https://files.example.com")

        assert isinstance(storage, LocalStorage)
        assert str(storage.root) == "/var/lib/bot files"
        assert storage.public_url == "https://files.example.com"

    async def test_a_bucket_at_an_endpoint_is_in_the_path(self) -> None:
        storage = opened(
            "s3://bot-files/in/here/?endpoint=https://s3.example.com:9000&region=eu-west-1", credentials=KEYS
        )

        assert isinstance(storage, S3Storage)
        url = await storage.url("a b", expires_in=timedelta(minutes=1))
        assert url.startswith("https://s3.example.com:9000/bot-files/in/here/a%20b?X-Amz-Algorithm=")
        assert "%2Feu-west-1%2Fs3%2F" in url

    @pytest.mark.parametrize(
        ("url", "start"),
        [
            ("s3://bot-files", "https://bot-files.s3.us-east-1.amazonaws.com/k?"),
            ("s3://bot-files?region=eu-central-1", "https://bot-files.s3.eu-central-1.amazonaws.com/k?"),
            ("s3://bot.files", "https://s3.us-east-1.amazonaws.com/bot.files/k?"),
            ("s3://bot-files?path_style=true", "https://s3.us-east-1.amazonaws.com/bot-files/k?"),
            ("s3://bot-files?endpoint=https://example.com&path_style=false", "https://bot-files.example.com/k?"),
            ("s3://bot-files?endpoint=https://bot-files.example.com", "https://bot-files.example.com/k?"),
            ("s3://bot-files?region=cn-north-1", "https://bot-files.s3.cn-north-1.amazonaws.com.cn/k?"),
        ],
    )
    async def test_where_a_bucket_is(self, url: str, start: str) -> None:
        storage = opened(url, credentials=KEYS)

        assert (await storage.url("k", expires_in=timedelta(minutes=1))).startswith(start)

    async def test_all_parameters(self) -> None:
        storage = opened(
            "s3://b-1/p?endpoint=http://127.0.0.1:1&server_side_encryption=aws:kms&kms_key_id=k1&timeout=5&retry_for=0.1",
            credentials=KEYS,
        )
        upload = await storage.signed_upload(
            "k", content_type="a/b", largest=10, size=1, expires_in=timedelta(minutes=1)
        )

        assert upload.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert upload.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "k1"

    @pytest.mark.parametrize(
        ("url", "fault"),
        [
            ("", "neither a file:// nor an s3:// URL"),
            ("/var/lib/files", "neither a file:// nor an s3:// URL"),
            ("https://s3.example.com/bucket", "neither a file:// nor an s3:// URL"),
            ("file://var/lib", "three slashes"),
            ("file:///", "names no folder"),
            ("file:///a?b=c", "takes no parameters"),
            ("s3:///prefix", "names no bucket"),
            ("s3://bucket:80/prefix", "names no bucket"),
            ("s3://bucket:x/prefix", "no URL"),
            (f"s3://AKID:{SECRET}@bucket", "holds credentials"),
            ("s3://bucket?regoin=x", 'unknown parameter "regoin"'),
            (f"s3://bucket?secret_access_key={SECRET}", "belongs into storage.access_key_id"),
            ("s3://bucket?endpoint=s3.example.com", "no address of a server"),
            (f"s3://bucket?endpoint=https://a:{SECRET}@s3.example.com", "endpoint holds credentials"),
            ("s3://bucket?path_style=perhaps", "neither true nor false"),
            ("s3://bucket?server_side_encryption=aes256", 'its server_side_encryption "aes256" is none of AES256'),
            ("s3://bucket?kms_key_id=x", "kms_key_id is used with server_side_encryption=aws:kms alone"),
            ("s3://bucket?kms_key_id=x&server_side_encryption=AES256", "kms_key_id is used with"),
            ("s3://bucket?timeout=0", "no number of seconds above zero"),
            ("s3://bucket/a/../b", "its prefix cannot be"),
            ("s3://bucket#x", "written %23"),
        ],
    )
    def test_what_is_wrong_with_a_url_is_said(self, url: str, fault: str) -> None:
        assert fault in ", ".join(storage_faults(url))
        with pytest.raises(InvalidConfiguration) as refused:
            opened(url)
        assert SECRET not in str(refused.value)
        (told,) = configuration_faults(environ={"DOVECOTE_STORAGE_URL": url or "-"})
        assert SECRET not in told

    @pytest.mark.parametrize("bucket", ["", "a/b", "a b", "ü"])
    def test_what_is_no_bucket_is_refused(self, bucket: str) -> None:
        with pytest.raises(InvalidConfiguration, match="no name of a bucket"):
            S3Storage(bucket, "https://s3.example.com")

    def test_without_the_client_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "obstore", None)

        with pytest.raises(MissingExtra, match=r"dovecote\[s3\]"):
            opened("s3://bucket", credentials=KEYS)

    def test_a_folder_needs_no_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "obstore", None)

        assert isinstance(opened("file:///x"), LocalStorage)


class TestCredentials:
    def write(self, tmp_path: Path) -> None:
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text(
            "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = a%b\n"
            "[shop]\naws_access_key_id = AKSHOP\naws_secret_access_key = shop\naws_session_token = t\n"
        )
        (tmp_path / ".aws" / "config").write_text(
            "[default]\nregion = eu-north-1\n[profile shop]\nregion = eu-south-1\n"
            "[profile other]\naws_access_key_id = AKOTHER\naws_secret_access_key = other\n"
        )

    def test_they_come_from_the_usual_places_in_their_order(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        pair = {"AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "env", "AWS_SESSION_TOKEN": ""}

        assert found_credentials(pair) == Credentials("AKENV", "env")
        assert found_credentials({}) == Credentials("AKDEFAULT", "a%b")
        assert found_credentials({"AWS_PROFILE": "shop"}) == Credentials("AKSHOP", "shop", "t")
        assert found_credentials(pair, "shop") == Credentials("AKSHOP", "shop", "t")
        assert found_credentials({}, "other") == Credentials("AKOTHER", "other")
        assert found_region({}) == "eu-north-1"
        assert found_region({}, "shop") == "eu-south-1"
        assert found_region({"AWS_REGION": "here", "AWS_DEFAULT_REGION": "there"}) == "here"
        assert found_region({"AWS_DEFAULT_REGION": "there"}) == "there"

    def test_other_files_may_be_named(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = b\n")

        assert found_credentials({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")}) == Credentials("A", "b")

    def test_nothing_anywhere_is_nothing(self) -> None:
        assert found_credentials({}) is None
        assert found_region({}) is None

    def test_half_a_pair_and_a_profile_that_is_not_there_are_faults(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidConfiguration, match="has no AWS_SECRET_ACCESS_KEY"):
            found_credentials({"AWS_ACCESS_KEY_ID": "A"})
        with pytest.raises(InvalidConfiguration, match='profile "nobody" has no access key'):
            found_credentials({}, "nobody")
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text("no section\n")
        with pytest.raises(InvalidConfiguration, match="cannot be read as a file of profiles"):
            found_credentials({})

    async def test_what_is_lent_by_the_machine_signs_no_uploads(self) -> None:
        with pytest.raises(StorageRefused, match="AWS_ACCESS_KEY_ID"):
            await S3Storage("bucket").signed_upload("k", content_type="a/b", largest=1, expires_in=timedelta(minutes=1))

    async def test_a_machine_that_lends_nothing_is_told_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dovecote.storage.s3.LENDING", 0.5)

        async def silent(connection: Connection) -> None:
            await connection.gone.wait()

        async with ScriptedServer(silent) as machine:
            monkeypatch.setenv("AWS_METADATA_ENDPOINT", machine.base_url)
            storage = S3Storage("bucket", f"http://127.0.0.1:{closed_port()}")
            for call in (storage.check(), storage.upload(b"x", "k"), storage.url("k", expires_in=timedelta(hours=1))):
                with pytest.raises(StorageRefused, match="no credentials were found"):
                    await soon(call)

    async def test_at_a_bucket_that_is_anybodys_nothing_is_signed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")

        async def public(connection: Connection) -> None:
            while await connection.request():
                date = "Last-Modified: Wed, 25 Nov 2026 10:00:00 GMT"
                connection.raw(f'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nETag: "e"\r\n{date}\r\n\r\nx'.encode())

        async with ScriptedServer(public) as server:
            storage = S3Storage("bucket", server.base_url)

            assert await storage.download("a b") == b"x"
            assert await storage.url("a b", expires_in=timedelta(hours=1)) == f"{server.base_url}/bucket/a%20b"
            assert "authorization" not in server.requests[0].headers

    def test_no_repr_shows_a_secret(self) -> None:
        storage = S3Storage("bucket", "https://s3.example.com", access_key_id="A", secret_access_key=SECRET)

        assert SECRET not in repr(storage) + repr(vars(storage)) + repr(KEYS)
        assert repr(storage) == "S3Storage('bucket', 'https://s3.example.com', prefix='')"


class TestSettings:
    def test_they_are_read_and_show_no_secret(self) -> None:
        settings = load_settings(
            environ={
                "DOVECOTE_STORAGE_URL": "s3://bot-files/p?endpoint=https://s3.example.com",
                "DOVECOTE_STORAGE_ACCESS_KEY_ID": "AKID",
                "DOVECOTE_STORAGE_SECRET_ACCESS_KEY": SECRET,
                "DOVECOTE_STORAGE_PUBLIC_URL": "https://cdn.example.com/",
            }
        )

        assert settings.storage.public_url == "https://cdn.example.com"
        assert settings.storage.url_lifetime == timedelta(hours=1)
        assert SECRET not in repr(settings)

    def test_what_is_wrong_together_is_said(self) -> None:
        (half,) = configuration_faults(environ={"DOVECOTE_STORAGE_ACCESS_KEY_ID": "A"})
        (other,) = configuration_faults(environ={"DOVECOTE_STORAGE_SECRET_ACCESS_KEY": SECRET})
        (long,) = configuration_faults(environ={"DOVECOTE_STORAGE_URL_LIFETIME": "8d"})

        assert "storage.access_key_id is set and storage.secret_access_key is not" in half
        assert "storage.secret_access_key is set and storage.access_key_id is not" in other
        assert SECRET not in other
        assert "storage.url_lifetime is 691200s" in long


class TestDovecote:
    async def test_by_default_files_are_beside_the_database(self, tmp_path: Path) -> None:
        async with Dovecote(f"sqlite:///{tmp_path}/shop.db", settings=Settings()) as dovecote:
            storage = dovecote.storage

            assert isinstance(storage, LocalStorage)
            assert storage.root == tmp_path / "dovecote-files"
            assert dovecote.storage is storage

    async def test_beside_a_server_they_are_in_the_working_directory(self, tmp_path: Path) -> None:
        async with Dovecote("postgresql://localhost/shop", settings=Settings()) as dovecote:
            assert isinstance(dovecote.storage, LocalStorage)
            assert dovecote.storage.root == tmp_path / "dovecote-files"

    async def test_the_settings_name_another(self, tmp_path: Path) -> None:
        settings = Settings(storage=Storage(url=f"file://{tmp_path}/elsewhere", public_url="https://f.example.com"))

        async with Dovecote(f"sqlite:///{tmp_path}/shop.db", settings=settings) as dovecote:
            assert await dovecote.storage.upload(b"x", "k") == "https://f.example.com/k"
        assert (tmp_path / "elsewhere" / "k").read_bytes() == b"x"

    async def test_one_may_be_given(self, tmp_path: Path) -> None:
        given = MemoryStorage()

        async with Dovecote(f"sqlite:///{tmp_path}/shop.db", settings=Settings(), storage=given) as dovecote:
            assert dovecote.storage is given

    async def test_a_worker_does_not_start_on_a_storage_that_refuses(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_bytes(b"no folder")
        url = f"sqlite:///{tmp_path}/shop.db"
        settings = Settings(storage=Storage(url=f"file://{tmp_path}/taken"))

        async with Dovecote(url, settings=settings) as dovecote:
            await dovecote.migrate()
            with pytest.raises(StorageRefused, match="is no folder"):
                await dovecote.check()

    async def test_a_worker_starts_without_a_storage_that_is_away(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = Settings(
            storage=Storage(
                url="s3://bucket?endpoint=http://127.0.0.1:1&retry_for=0.1",
                access_key_id="A",
                secret_access_key=SECRET,  # type: ignore[arg-type]
            )
        )

        async with Dovecote(f"sqlite:///{tmp_path}/shop.db", settings=settings) as dovecote:
            await dovecote.migrate()
            await dovecote.check()

        (record,) = caplog.records
        assert "the connection is refused" in record.getMessage()
