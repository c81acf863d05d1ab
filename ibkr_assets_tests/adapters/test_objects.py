"""Objects of a real S3 server: one comes whole, as it lies there, or there is no file and a reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ibkr_assets.adapters.objects import S3Objects
from ibkr_assets.domain.errors import DataError, InputError, Unavailable
from ibkr_assets_tests.objects import Bucket, object_store

BODY = os.urandom(300_000)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with object_store() as bucket:
        yield bucket


def opened(bucket: Bucket, path: str = "", **changes: object) -> S3Objects:
    settings = bucket.settings.model_copy(update=changes)
    return S3Objects(f"s3://{bucket.name}{path}", settings, environment={})


def test_a_prefix_lists_what_is_below_it_and_a_name_one_object(bucket: Bucket) -> None:
    for key in ("a/2.csv", "a/b/1.csv", "ab/3.csv"):
        bucket.put(key, b"x" * len(key))
    listed = opened(bucket, "/a/").objects()
    assert [(one.key, one.size) for one in listed] == [
        (f"{bucket.name}/a/2.csv", 7), (f"{bucket.name}/a/b/1.csv", 9)
    ]  # fmt: skip
    assert [one.key for one in opened(bucket, "/a/2.csv").objects()] == [f"{bucket.name}/a/2.csv"]
    assert len(opened(bucket).objects()) >= 3


@pytest.mark.parametrize("is_in_parts", [False, True])
def test_an_object_comes_bit_for_bit(bucket: Bucket, tmp_path: Path, *, is_in_parts: bool) -> None:
    if is_in_parts:
        upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key="whole")["UploadId"]
        part = bucket.client.upload_part(Bucket=bucket.name, Key="whole", UploadId=upload, PartNumber=1, Body=BODY)
        parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
        bucket.client.complete_multipart_upload(Bucket=bucket.name, Key="whole", UploadId=upload, MultipartUpload=parts)
        assert "-1" in bucket.client.head_object(Bucket=bucket.name, Key="whole")["ETag"]
    else:
        bucket.put("whole", BODY)
    opened(bucket).fetch(f"{bucket.name}/whole", tmp_path / "file", size=len(BODY))
    assert (tmp_path / "file").read_bytes() == BODY


def refused(bucket: Bucket, key: str, directory: Path, *, size: int, **changes: object) -> str:
    with pytest.raises(DataError) as caught:
        opened(bucket, **changes).fetch(f"{bucket.name}/{key}", directory / "file", size=size)
    assert list(directory.iterdir()) == [], "neither a file nor a part of one is left"
    return str(caught.value)


def test_an_object_that_is_not_as_long_as_was_listed_is_no_file(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("shorter", BODY[:-1])
    text = refused(bucket, "shorter", tmp_path, size=len(BODY))
    assert f"s3://{bucket.name}/shorter: 299999 bytes came, 300000 were listed" in text


def test_bytes_that_are_not_what_their_etag_says_are_no_file(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("rotten", BODY)
    stored = bucket.stored("rotten")
    etag = stored.etag
    stored._value_buffer.seek(1000)
    stored._value_buffer.write(bytes([BODY[1000] ^ 1]))
    stored._etag = etag.strip('"')
    assert bucket.client.head_object(Bucket=bucket.name, Key="rotten")["ETag"] == etag
    assert "its ETag" in refused(bucket, "rotten", tmp_path, size=len(BODY))
    opened(bucket, has_md5_etags=False).fetch(f"{bucket.name}/rotten", tmp_path / "file", size=len(BODY))


def test_an_object_that_is_replaced_while_it_is_read_is_no_file(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("moving", BODY)
    source, writes = opened(bucket), []

    class Replacing:
        """The real store, where somebody else writes at the end of each reading."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def open_input_stream(self, key: str) -> object:
            writes.append(key)
            bucket.put("moving", BODY[: len(writes)] + BODY[len(writes) :][::-1])
            return real.open_input_stream(key)

    real = source._files
    monkeypatch.setattr(source, "_files", Replacing())
    with pytest.raises(DataError, match="replaced while it was read"):
        source.fetch(f"{bucket.name}/moving", tmp_path / "file", size=len(BODY))
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_said(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: there is nothing"):
        opened(bucket, "/nowhere").objects()
    with pytest.raises(Unavailable, match=r"s3://.*/gone: cannot be read"):
        opened(bucket).fetch(f"{bucket.name}/gone", tmp_path / "file", size=1)
    for url in ("http://x/y", "s3://", "s3://user@bucket/x"):
        with pytest.raises(InputError, match="expected s3://bucket/prefix"):
            S3Objects(url, bucket.settings)


def test_a_store_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    with object_store() as bucket:
        bucket.put("x", BODY)
        store = opened(bucket)
        bucket.server.stop()
        with pytest.raises(Unavailable, match="cannot be read"):
            store.fetch(f"{bucket.name}/x", tmp_path / "file", size=len(BODY))
        with pytest.raises(Unavailable, match="cannot be listed"):
            store.objects()
    assert list(tmp_path.iterdir()) == []


def test_the_usual_variables_name_the_store_and_a_public_one_needs_no_key(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("x", b"1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    bare = bucket.settings.model_copy(update={"endpoint": None, "access_key": None, "secret_key": None})
    environment = {"AWS_ENDPOINT_URL_S3": bucket.endpoint, "AWS_REGION": "us-east-1"}
    assert S3Objects(f"s3://{bucket.name}/x", bare, environment).objects()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    public = bare.model_copy(update={"endpoint": bucket.endpoint, "is_anonymous": True})
    with pytest.raises(Unavailable, match="ACCESS_DENIED"):
        S3Objects(f"s3://{bucket.name}/x", public, {}).objects()
    bucket.client.put_object_acl(Bucket=bucket.name, Key="x", ACL="public-read")
    assert S3Objects(f"s3://{bucket.name}/x", public, {}).objects()
