"""An object store for tests: moto's own HTTP server on loopback, with a bucket a test."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ibkr_assets.adapters.source_settings import S3Settings


@dataclass
class Bucket:
    """A bucket and who may read it. `server` can be stopped, `stored` is what the server holds."""

    name: str
    endpoint: str
    client: Any
    server: Any

    @property
    def settings(self) -> S3Settings:
        return S3Settings(endpoint=self.endpoint, access_key="test", secret_key="test", connect_timeout_s=2)

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def stored(self, key: str) -> Any:
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[self.name].keys[key]


@contextmanager
def object_store() -> Iterator[Bucket]:
    """A bucket on a server of its own."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    name = f"bars-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    try:
        yield Bucket(name, endpoint, client, server)
    finally:
        client.close()
        server.stop()
