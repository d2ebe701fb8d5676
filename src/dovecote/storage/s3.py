"""Contents in an S3-compatible store, on obstore, with what it lacks.

- A stream is uploaded in parts by an iterator that can fail (s3_feed.py), so a cancelled upload leaves none behind.
- A download that breaks off goes on where it was, as long as it makes progress and the ETag is the same. What has
  another length than the store said is damaged.
- A missing bucket looks like a missing key: `check` tells them apart, and so does the first answer "not there".
- Every request is bounded in time: without progress by `timeout`, with its repetitions by `retry_for`.
- Nothing is relied upon that some stores lack: no conditional writes, no bulk deletes, no trailing checksums.
- What others do in our name is signed here (signatures.py), since the client signs neither types nor sizes.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from dovecote.errors import FileDamaged, FileMissing, InvalidConfiguration, StorageRefused, StorageUnavailable
from dovecote.model import ObjectInfo, SignedUpload
from dovecote.storage.credentials import found_credentials, found_endpoint, found_region, is_public
from dovecote.storage.keys import RESERVED, is_key, normalised, normalised_prefix, shown
from dovecote.storage.s3_client import Addresses, addresses, client, encryption_headers
from dovecote.storage.s3_errors import Place, no_credentials, told
from dovecote.storage.s3_feed import Feed, fed
from dovecote.storage.s3_multiparts import abort_multiparts
from dovecote.storage.signatures import Credentials, Signer, quoted
from dovecote.storage.sources import (
    blocks,
    refuse_empty_chunks,
    refuse_impossible_limits,
    refuse_odd_type,
    whole,
)

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping

PART: Final = 8 * 1024 * 1024
PARTS_AT_A_TIME: Final = 4
LENDING: Final = 10.0
"""Seconds that a machine has to lend credentials."""
_PAGE: Final = 1000
_READ_AT_ONCE: Final = 8 * 1024 * 1024


class S3Storage:
    """Files in `bucket`, under `prefix`.

    `S3Storage("bot-files", "https://s3.example.com")` for any compatible store, `S3Storage("bot-files")` for Amazon's.
    Credentials are the arguments, or come from the usual places: see docs/storage.md. Buckets are addressed in the
    path at an endpoint of one's own and in the host name at Amazon's, unless `path_style` says otherwise.

    `timeout` is how long a request may go without progress, `retry_for` for how long a failing one is repeated.
    `url_lifetime` is how long the URL that `upload` answers is good for, where there is no `public_url`.
    """

    def __init__(
        self,
        bucket: str,
        endpoint: str | None = None,
        *,
        prefix: str = "",
        region: str | None = None,
        path_style: bool | None = None,
        public_url: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        profile: str | None = None,
        server_side_encryption: str | None = None,
        kms_key_id: str | None = None,
        timeout: timedelta = timedelta(seconds=30),
        retry_for: timedelta = timedelta(seconds=60),
        url_lifetime: timedelta = timedelta(hours=1),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Nothing is opened before it is needed. Raises InvalidConfiguration, and MissingExtra without obstore."""
        if bool(access_key_id) != bool(secret_access_key):
            raise InvalidConfiguration(["access_key_id and secret_access_key are a pair: give both, or neither."])
        if access_key_id and secret_access_key:
            self._credentials: Credentials | None = Credentials(access_key_id, secret_access_key, session_token)
        else:
            self._credentials = found_credentials(os.environ, profile)
        self.bucket = bucket
        self.region = region or found_region(os.environ, profile) or "us-east-1"
        self.prefix = normalised(prefix.strip("/")) if prefix.strip("/") else ""
        self.public_url = public_url.rstrip("/") if public_url else None
        self.url_lifetime = url_lifetime
        self._clock = clock
        self._signer = Signer(self.region)
        self._at: Addresses = addresses(bucket, endpoint or found_endpoint(os.environ), self.region, path_style)
        self._place = Place(
            bucket, self._at.endpoint, self.region, self._credentials.access_key_id if self._credentials else None
        )
        self._encryption = encryption_headers(server_side_encryption, kms_key_id)
        self._client, self._store = client(
            self._at,
            bucket=bucket,
            prefix=self.prefix,
            region=self.region,
            credentials=self._credentials,
            encryption=server_side_encryption,
            kms_key_id=kms_key_id,
            timeout=timeout,
            retry_for=retry_for,
        )
        self._bucket_seen = False
        self._is_public = self._credentials is None and is_public(os.environ)
        self._lent = self._credentials is None and not self._is_public

    def __repr__(self) -> str:
        return f"S3Storage({self.bucket!r}, {self._at.endpoint!r}, prefix={self.prefix!r})"

    async def upload(
        self, file: bytes | AsyncIterable[bytes], key: str, *, content_type: str | None = None, size: int | None = None
    ) -> str:
        """Store it whole or not at all, and answer a URL. See `FileStorage`.

        What is larger than 8 MiB goes up in parts. Cancelled, it waits up to 10 s for the store to take them back.
        """
        key = normalised(key)
        refuse_odd_type(content_type)
        await self._ready()
        attributes = {"Content-Type": content_type} if content_type else None
        content = whole(file, key, size)
        if content is None:
            async with blocks(file, key, block=PART, size=size) as cut:  # type: ignore[arg-type] # it is a stream
                await self._put_stream(key, cut, attributes)
        elif len(content) <= PART:
            await self._put(key, content, attributes)
        else:
            await self._put_stream(key, _sliced(content), attributes)
        return await self.url(key, expires_in=self.url_lifetime)

    async def download(self, key: str) -> bytes:
        """The whole content."""
        key = normalised(key)
        await self._ready()
        with told(self._place, key):
            answer = await self._client.get_async(self._store, key)
            # Cheaper than its metadata, which are made anew each time.
            size = int(answer.range[1])
            if size <= _READ_AT_ONCE:
                content = bytes(await answer.bytes_async())
                _refuse_short(key, len(content), size)
                return content
        # Piece by piece, since to copy it at once would hold up the loop.
        whole_content = BytesIO()
        async for chunk in self.stream(key, chunk_size=1024 * 1024):
            whole_content.write(chunk)
        return whole_content.getvalue()

    async def stream(self, key: str, *, chunk_size: int = 256 * 1024) -> AsyncIterator[bytes]:
        """The content in chunks of at most `chunk_size` bytes."""
        key = normalised(key)
        refuse_empty_chunks(chunk_size)
        await self._ready()
        with told(self._place, key):
            answer = await self._client.get_async(self._store, key)
        size, etag = int(answer.meta["size"]), answer.meta["e_tag"]
        chunks = answer.stream(min_chunk_size=chunk_size)
        place = resumed_at = 0
        while place < size:
            try:
                with told(self._place, key):
                    chunk = await anext(chunks, b"")
            except StorageUnavailable:
                # The client has tried long enough without progress, but a long download may break off again and again.
                if place == resumed_at or etag is None:
                    raise
                resumed_at = place
                chunks = (await self._rest(key, place, size, etag)).stream(min_chunk_size=chunk_size)
                continue
            if not chunk:
                break
            place += len(chunk)
            for start in range(0, len(chunk), chunk_size):
                yield chunk[start : start + chunk_size]
        _refuse_short(key, place, size)

    async def delete(self, key: str) -> bool:
        """Remove it, and answer whether there was something: just before, since a store answers each removal alike."""
        key = normalised(key)
        if not await self.exists(key):
            return False
        try:
            with told(self._place, key):
                await self._client.delete_async(self._store, key)
        except FileMissing:
            # Some stores say so, and somebody was faster.
            return False
        return True

    async def exists(self, key: str) -> bool:
        """Whether there is a content of this key."""
        key = normalised(key)
        await self._ready()
        try:
            with told(self._place, key):
                await self._client.head_async(self._store, key)
        except FileMissing:
            await self._refuse_missing_bucket()
            return False
        return True

    async def info(self, key: str) -> ObjectInfo:
        """Size, instant of the last change, content type. Raises FileMissing."""
        key = normalised(key)
        await self._ready()
        try:
            with told(self._place, key):
                answer = await self._client.get_async(self._store, key, options={"head": True})
        except FileMissing:
            await self._refuse_missing_bucket()
            raise
        found = answer.meta
        return ObjectInfo(key, int(found["size"]), found["last_modified"], answer.attributes.get("Content-Type"))

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        """Under the public URL where one is set, else signed and good for `expires_in`, which is 1 s to 7 days."""
        key = normalised(key)
        if self.public_url:
            return f"{self.public_url}/{quoted(key)}"
        if self._credentials is not None:
            url = self._at.url(self._full(key))
            return self._signer.presigned(self._credentials, "GET", url, now=self._clock(), expires_in=expires_in)
        if self._is_public:
            return self._at.url(self._full(key))
        await self._ready()
        with told(self._place, key):
            return str(await self._client.sign_async(self._store, "GET", key, expires_in))

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Every key that begins with `prefix`. Objects that no key leads to are passed over."""
        prefix = normalised_prefix(prefix)
        await self._ready()
        pages = self._client.list(self._store, prefix.rpartition("/")[0] or None, chunk_size=_PAGE)
        while True:
            with told(self._place):
                page = await anext(pages, None)
            if page is None:
                return
            for found in page:
                key = found["path"]
                if key.startswith(prefix) and is_key(key):
                    yield key

    async def check(self, *, writes: bool = True) -> None:
        """Raise StorageRefused or StorageUnavailable, in words, if the bucket could not be worked with."""
        await self._ready()
        await self._refuse_missing_bucket()
        if writes:
            key = f"{RESERVED}check-{uuid4().hex}"
            with told(self._place):
                await self._client.put_async(self._store, key, b"x", use_multipart=False)
                await self._client.delete_async(self._store, key)

    async def sweep(self, *, older_than: timedelta = timedelta(days=1)) -> int:
        """End the uploads in several parts, under the prefix, that began so long ago, and answer how many it was.

        Such an upload is left behind when a process is killed. Choose a time in which every upload ends.
        """
        return await abort_multiparts(
            self._at,
            self._place,
            signer=self._signer,
            credentials=self._needed("to sweep"),
            prefix=self.prefix,
            now=self._clock(),
            older_than=older_than,
        )

    async def signed_upload(
        self, key: str, *, content_type: str, largest: int, size: int | None = None, expires_in: timedelta
    ) -> SignedUpload:
        """Let somebody else upload this key, and this type, past us: `largest` bytes at most, or exactly `size`.

        With `size` it is a PUT, which every store takes; without, a form to POST, which a few do not.
        Raises ValueError for limits that cannot be, StorageRefused if the credentials are not known here.
        """
        key = normalised(key)
        refuse_impossible_limits(largest, size)
        refuse_odd_type(content_type)
        credentials, now = self._needed("to sign an upload"), self._clock()
        if size is None:
            fields = {"key": self._full(key), "Content-Type": content_type, **self._encryption}
            fields = self._signer.form(
                credentials, bucket=self.bucket, fields=fields, largest=largest, now=now, expires_in=expires_in
            )
            return SignedUpload("POST", self._at.base, now + expires_in, fields=fields)
        headers = {"Content-Type": content_type, "Content-Length": str(size), **self._encryption}
        url = self._signer.presigned(
            credentials, "PUT", self._at.url(self._full(key)), now=now, expires_in=expires_in, headers=headers
        )
        return SignedUpload("PUT", url, now + expires_in, headers=headers)

    async def close(self) -> None:
        """Give back the connections once nothing uses them. May be called again."""

    async def _put(self, key: str, content: bytes, attributes: Mapping[str, str] | None) -> None:
        with told(self._place, key):
            await self._client.put_async(self._store, key, content, attributes=attributes, use_multipart=False)

    async def _put_stream(self, key: str, cut: AsyncIterator[bytes], attributes: Mapping[str, str] | None) -> None:
        first = await anext(cut, b"")
        second = await anext(cut, None) if len(first) == PART else None
        if second is None:
            await self._put(key, first, attributes)
            return
        total = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal total, first, second
            for block in (first, second):
                total += len(block or b"")
                yield block or b""
            first = second = b""
            async for block in cut:
                total += len(block)
                yield block

        def put(feed: Feed) -> Future[Any]:
            upload: Future[Any] = self._client.put_async(
                self._store, key, feed, attributes=attributes, chunk_size=PART, max_concurrency=PARTS_AT_A_TIME
            )
            return upload

        await fed(put, counted(), told(self._place, key))
        with told(self._place, key):
            found = await self._client.head_async(self._store, key)
        if int(found["size"]) != total:
            raise FileDamaged(
                f"{self._place} holds {found['size']} of the {total} bytes of {shown(key)}: upload again."
            )

    async def _rest(self, key: str, place: int, size: int, etag: str) -> Any:
        """The content from `place` on. Raises FileDamaged if it is another one by now."""
        with told(self._place, key):
            options = {"range": {"offset": place}, "if_match": etag}
            answer = await self._client.get_async(self._store, key, options=options)
        if answer.meta["e_tag"] != etag or int(answer.meta["size"]) != size:
            raise FileDamaged(f"{shown(key)} was changed in {self._place} while it was read: read it again.")
        return answer

    async def _refuse_missing_bucket(self) -> None:
        """Raise StorageRefused if it is the bucket that is not there: the answer about a key does not say."""
        if not self._bucket_seen:
            with told(self._place):
                await anext(self._client.list(self._store, f"{RESERVED}nothing", chunk_size=1), None)
            self._bucket_seen = True

    async def _ready(self) -> None:
        """Let the machine lend its credentials, if there are no others. Raises StorageRefused if it does not in time.

        The client looks for them without any end where nothing answers.
        """
        if self._lent:
            try:
                async with asyncio.timeout(LENDING):
                    await self._client.sign_async(self._store, "GET", "k", timedelta(minutes=1))
            except Exception as error:
                raise no_credentials(self._place) from error
            self._lent = False

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _needed(self, purpose: str) -> Credentials:
        if self._credentials is None:
            raise StorageRefused(
                f"{purpose} needs an access key that is known here, and {self._place} is used with one that the "
                "machine lends: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile."
            )
        return self._credentials


async def _sliced(content: bytes) -> AsyncIterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(view), PART):
        yield view[start : start + PART]  # type: ignore[misc] # as good as bytes to the client, and nothing is copied


def _refuse_short(key: str, actual: int, size: int) -> None:
    if actual != size:
        raise FileDamaged(f"{shown(key)} has {size} bytes, and {actual} of them came.")
