"""Objects of a store that is no folder: a bucket, or memory. Whatever fails is raised as it comes.

Every object carries the CRC-32C of its bytes as metadata, which travels with every answer: what a
network altered is seen when it is read whole. (Ranges are read of arrays only, whose chunks and
indices carry sums of their own.) A conditional write carries a random token besides: when the
store's answer was lost and a second try is refused, the token tells whose object stands there.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, BinaryIO

import obstore
from google_crc32c import value as crc32c
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import MemoryStore, ObjectStore, S3Store

from medray.errors import DataError
from medray.spec.storage import Storage
from medray.spec.urls import refuse_userinfo
from medray.storage.store.credentials import provider

SUM, TOKEN = "medray-crc32c", "medray-write"
READS = 5  # of what comes otherwise than it was written, before it counts as damaged
_MD5 = re.compile(r"[0-9a-f]{32}")
PART_BYTES = 16 * 2**20  # of an upload in parts; 128 MiB shards go up in eight of them


class Remote:
    """One store, by verbs that each are safe to repeat.

    Args:
        storage: the profile of a bucket, or of memory.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.store = open_store(storage)
        self._bare_tags = False

    def get_tagged(self, path: str) -> tuple[bytes, str]:
        """Bytes and ETag.

        Raises:
            DataError: these are not the bytes that were written (code "damaged-object").
        """
        answer = obstore.get(self.store, path)
        data = bytes(answer.bytes())
        known = answer.attributes.get(SUM)
        if known is not None and known != _sum(data):
            raise DataError(
                "what was read is not what was written",
                code="damaged-object",
                about=f"{self.storage.url}/{path}",
            )
        return data, answer.meta["e_tag"] or ""

    def put(self, path: str, data: bytes) -> None:
        """Write an object, in parts where it is large."""
        obstore.put(
            self.store,
            path,
            data,
            attributes={SUM: _sum(data)},
            chunk_size=PART_BYTES,
            max_concurrency=self.storage.concurrency,
        )

    def put_new(self, path: str, data: bytes, token: str) -> bool:
        """Create an object; False: one stands there, written under another token."""
        try:
            self._put_if(path, data, token, "create")
        except AlreadyExistsError:
            standing = self._standing(path)
            return standing is not None and standing[1] == token
        return True

    def swap(self, path: str, data: bytes, token: str, etag: str) -> bool:
        """Replace an object if its ETag is `etag`; see `Objects.swap`."""
        bare = etag.strip('"')
        for tag in [bare] if self._bare_tags else [etag, bare]:
            try:
                self._put_if(path, data, token, {"e_tag": tag})
            except PreconditionError:
                standing = self._standing(path)
                if standing is None or standing[0] != etag:
                    return standing is not None and standing[1] == token
            else:
                self._bare_tags = tag != etag
                return True
            # The tag stands, and yet was refused: Ceph's gateway (seen in 16.2) compares it
            # without its quotes.
        return False

    def get_ranges(self, path: str, starts: Sequence[int], ends: Sequence[int]) -> list[memoryview]:
        """Byte ranges; near ones come in one request."""
        parts = obstore.get_ranges(self.store, path, starts=starts, ends=ends)
        return [memoryview(part) for part in parts]

    def delete(self, paths: list[str]) -> None:
        """Remove objects, a thousand in a request."""
        if isinstance(self.store, S3Store):
            obstore.delete(self.store, paths)
            return
        for path in paths:
            try:
                obstore.delete(self.store, path)
            except FileNotFoundError:
                continue

    def _put_if(self, path: str, data: bytes, token: str, mode: Any) -> None:
        attributes = {SUM: _sum(data), TOKEN: token}
        obstore.put(self.store, path, data, attributes=attributes, mode=mode)

    def _standing(self, path: str) -> tuple[str, str] | None:
        """ETag of the object that stands there, and the token it was written under."""
        try:
            answer = obstore.get(self.store, path, options={"head": True})
        except FileNotFoundError:
            return None
        return answer.meta["e_tag"] or "", str(answer.attributes.get(TOKEN, ""))


class NewObject:
    """An object that comes in pieces, which are put together when it has all of them.

    Args:
        put: writes it.
    """

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._pieces: list[bytes] = []

    def write(self, *pieces: bytes) -> None:
        """Add pieces."""
        self._pieces.extend(pieces)

    def close(self) -> None:
        """Write the object."""
        self._put(b"".join(self._pieces))

    def settle(self) -> None:
        """Nothing is left to wait for."""

    def abandon(self) -> None:
        """Forget the pieces."""
        self._pieces.clear()


def copy_to(store: ObjectStore, path: str, file: BinaryIO, size: int | None) -> str:
    """Write an object's first `size` bytes (None: all) to the beginning of a file.

    Returns its ETag, "" where it has none.

    Of a whole object whose ETag looks like an MD5 sum the sum is checked. It is none where a key of
    KMS encrypts the object: then two readings that are equal are believed.

    Raises:
        DataError: no two readings are equal (code "damaged-object").
    """
    seen: set[str] = set()
    for _ in range(READS):
        file.seek(0)
        answer = obstore.get(store, path, options={"range": (0, size)} if size else None)
        found = hashlib.md5(usedforsecurity=False)
        for part in answer.stream():
            file.write(part)
            found.update(part)
        etag = (answer.meta["e_tag"] or "").strip('"')
        known = etag if size is None and _MD5.fullmatch(etag) else found.hexdigest()
        if found.hexdigest() in (known, *seen):
            return answer.meta["e_tag"] or ""
        seen.add(found.hexdigest())
    raise DataError("each reading gives other bytes", code="damaged-object", about=path)


ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT")


def new_token() -> str:
    """A token of one conditional write."""
    return secrets.token_hex(8)


def open_store(storage: Storage) -> ObjectStore:
    """obstore's store of a profile. Nothing is asked of the service yet."""
    if not storage.is_bucket:
        return MemoryStore()
    refuse_endpoints()
    config: dict[str, Any] = {"region": storage.region, "virtual_hosted_style_request": False}
    if storage.endpoint:
        config["endpoint"] = storage.endpoint
    if storage.encryption != "none":
        kinds = {"sse-s3": "AES256", "sse-kms": "aws:kms"}
        config["server_side_encryption"] = kinds[storage.encryption]
    if storage.kms_key:
        config["sse_kms_key_id"] = storage.kms_key
    return S3Store(
        storage.bucket,
        prefix=storage.prefix or None,
        config=config,  # type: ignore[arg-type]
        client_options={
            "allow_http": storage.plain_http,
            "connect_timeout": "5s",
            "read_timeout": "60s",
            "timeout": "600s",
        },
        retry_config={
            "max_retries": storage.retries,
            "retry_timeout": timedelta(seconds=storage.retry_s),
        },
        credential_provider=provider(storage),
    )


def refuse_endpoints() -> None:
    """Look at the variables that obstore and botocore take an endpoint from by themselves.

    Raises:
        SpecError: one holds a name or a password (code "secret-in-url").
    """
    for name in ENDPOINTS:
        refuse_userinfo(os.environ.get(name, ""), name)


def _sum(data: bytes) -> str:
    return f"{crc32c(data):08x}"
