"""Bar files in an S3-compatible store: list them, and bring one here whole or not at all.

What goes here: the store's protocol by pyarrow, and the proof that what came is what lies there. What does not: which
objects are wanted and what is in them (`ingest.downloads`, `ingest.bar_files`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ibkr_assets.domain.errors import DataError, InputError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.source_settings import S3Settings

#: Bytes read at a time.
CHUNK = 4 << 20
#: An object whose bytes are not what its ETag says is read once more before anybody is told.
ATTEMPTS = 2
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object: its key with the bucket before it, and its size in bytes when it was listed."""

    key: str
    size: int


class S3Objects:
    """A bucket, or what lies under a prefix of it. Threads may share it."""

    def __init__(self, url: str, settings: S3Settings, environment: Mapping[str, str] = os.environ) -> None:
        """Raises InputError for a URL that is not s3://bucket[/prefix]."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise InputError(f"path: expected s3://bucket/prefix, got {url!r}")
        self.url = url
        endpoint = settings.endpoint or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        #: The store: what names an object together with its key.
        self.place = endpoint or "s3://"
        self._path = f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/")
        self._has_md5 = settings.has_md5_etags
        self._files = _connect(settings, endpoint, environment)

    def objects(self) -> list[StoredObject]:
        """The object of this name or, for a prefix, all below it, by key. Raises Unavailable, InputError for none."""
        from pyarrow import fs

        try:
            named = self._files.get_file_info(self._path)
            found = [named] if named.type == fs.FileType.File else self._below()
        except OSError as error:
            raise Unavailable(f"{self.url}: cannot be listed: {_words(error)}") from None
        if not found:
            raise InputError(f"path: {self.url}: there is nothing")
        return sorted((StoredObject(one.path, one.size) for one in found), key=lambda one: one.key)

    def etag(self, key: str) -> str:
        """What the store calls the present content of an object. Raises Unavailable."""
        try:
            with self._files.open_input_stream(key) as stream:
                return _etag(stream.metadata())
        except OSError as error:
            raise Unavailable(f"s3://{key}: cannot be read: {_words(error)}") from None

    def fetch(self, key: str, to: Path, *, size: int) -> str:
        """Bring an object into the file `to`, which is there afterwards only if it came whole; returns its ETag.

        Whole: as many bytes as were listed (`size`), under one ETag from the first byte to the last, and, where the
        ETag is an MD5, of this MD5. Raises Unavailable when the store breaks off, DataError when something else came.
        """
        part = to.with_name(to.name + ".part")
        problem: str | None = None
        for _ in range(ATTEMPTS):
            try:
                etag, problem = self._copy(key, part, size)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise Unavailable(f"s3://{key}: cannot be read: {_words(error)}") from None
            if problem is None:
                part.replace(to)
                return etag
            part.unlink()
        raise DataError(f"s3://{key}: {problem}; nothing of it is stored")

    def _below(self) -> list[Any]:
        from pyarrow import fs

        found = self._files.get_file_info(fs.FileSelector(self._path, recursive=True, allow_not_found=True))
        return [one for one in found if one.type == fs.FileType.File]

    def _copy(self, key: str, part: Path, listed: int) -> tuple[str, str | None]:
        """The object's ETag, and what is wrong with the copy, or None."""
        digest, size = hashlib.md5(usedforsecurity=False), 0
        with self._files.open_input_stream(key) as stream, part.open("wb") as file:
            before = _etag(stream.metadata())
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        with self._files.open_input_stream(key) as stream:
            after = _etag(stream.metadata())
        if before != after:
            return after, f"it was replaced while it was read (ETag {before}, then {after})"
        if size != listed:
            return after, f"{size} bytes came, {listed} were listed"
        if self._has_md5 and _MD5.fullmatch(after) and digest.hexdigest() != after:
            return after, (
                f"the MD5 of what came is {digest.hexdigest()}, its ETag {after} "
                "(sources.s3.has_md5_etags: false is for stores that encrypt with keys of their own)"
            )
        return after, None


def _connect(settings: S3Settings, endpoint: str | None, environment: Mapping[str, str]) -> Any:
    from pyarrow import fs

    region = settings.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    keys = {}
    if settings.access_key is not None and settings.secret_key is not None:
        keys = {
            "access_key": settings.access_key.get_secret_value(), "secret_key": settings.secret_key.get_secret_value(),
        }  # fmt: skip
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region or ("us-east-1" if endpoint else None),
        anonymous=settings.is_anonymous,
        connect_timeout=settings.connect_timeout_s,
        request_timeout=settings.read_timeout_s,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
        **keys,
    )


def _etag(metadata: Mapping[str, Any]) -> str:
    value = metadata.get("ETag", b"")
    return (value.decode() if isinstance(value, bytes) else str(value)).strip('"')


def _words(error: OSError) -> str:
    return " ".join(str(error).split())
