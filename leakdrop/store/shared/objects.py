"""An S3-compatible object store: bytes under keys. The only module that knows boto3.

What `put` has returned for is durable; that is the protocol's promise, and the store's to keep. Listing sees
all that was put before (S3 and Ceph have been strongly consistent for years; eventually consistent stores
will not do). Versioning must be off, or what is removed stays: docs/scaling.md.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from leakdrop.errors import NoRoomError, StoreError

# One request can remove so many (S3 API, DeleteObjects).
MOST_REMOVED = 1000
FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"})
GONE = "NoSuchKey"


@dataclass(frozen=True)
class Bucket:
    """Where the objects are, and what opens it."""

    url: str
    name: str
    region: str
    key: str
    secret: str


class GoneError(StoreError):
    """The object store has lost an object that a drop is made of."""


class Objects:
    """The objects of one bucket. Raises StoreError when the store cannot be reached or refuses."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket.name
        self._client = boto3.client(
            "s3",
            endpoint_url=bucket.url,
            region_name=bucket.region,
            aws_access_key_id=bucket.key,
            aws_secret_access_key=bucket.secret,
            config=ClientConfig(
                connect_timeout=10,
                read_timeout=60,
                retries={"max_attempts": 4, "mode": "standard"},
                max_pool_connections=64,
                # Each request's SHA-256 is signed, so no other checksum is needed, which older stores refuse.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path", "payload_signing_enabled": True},
            ),
        )

    def check(self) -> None:
        """Raises StoreError if the bucket is not there, or not ours."""
        with _told():
            self._client.head_bucket(Bucket=self._bucket)

    def put(self, key: str, content: bytes) -> None:
        """Raises NoRoomError when the store is full."""
        with _told():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=content)

    def get(self, key: str, size: int | None = None) -> bytes:
        """An object's bytes, or its first `size`. Raises GoneError."""
        only = {} if size is None else {"Range": f"bytes=0-{size - 1}"}
        with _told():
            found = self._client.get_object(Bucket=self._bucket, Key=key, **only)
            content: bytes = found["Body"].read()
        return content

    def sizes(self, prefix: str) -> dict[str, int]:
        """The keys that begin so, sorted, and how many bytes each object has."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with _told():
            return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin so, sorted."""
        return list(self.sizes(prefix))

    def folders(self, prefix: str) -> list[str]:
        """What follows the prefix, up to the next slash: each once."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        with _told():
            found = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ())]
        return [folder.removeprefix(prefix).rstrip("/") for folder in found]

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is no mistake."""
        rest = iter(keys)
        while batch := [{"Key": key} for key in islice(rest, MOST_REMOVED)]:
            with _told():
                done = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True}
                )
            if errors := done.get("Errors"):
                raise StoreError(f"The object store does not remove what it should: {errors[0]['Code']}.")


@contextmanager
def _told() -> Iterator[None]:
    """Raises StoreError or NoRoomError for what boto3 raises, without the request that it quotes."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code in FULL:
            raise NoRoomError("The object store is full.") from None
        if code == GONE:
            raise GoneError from None
        raise StoreError(f"The object store refuses: {code}. Look at its bucket and key.") from None
    except (BotoCoreError, OSError) as error:
        raise StoreError(f"The object store cannot be reached: {type(error).__name__}.") from None


class Reader(io.RawIOBase):
    """Objects one after another, as one file that can be read from its start to its end."""

    def __init__(self, objects: Objects, keys: Iterable[str]) -> None:
        self._objects = objects
        self._keys = iter(keys)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            key = next(self._keys, None)
            if key is None:
                return 0
            self._rest = memoryview(self._objects.get(key))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
