"""Bar files that lie in an object store, brought here one after the other, each whole before it is read.

What goes here: which objects are bar files, fetching a few ahead, and saying how far it is. What does not: the store's
protocol (`adapters.objects`), and what is in a file (`ingest.bar_files`).
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Protocol

from ibkr_assets.domain.errors import InputError
from ibkr_assets.ingest.bar_files import SUFFIXES

#: Objects under way at a time, beside the one that is read.
AHEAD = 4


class RemoteFile(Protocol):
    """An object: its key and its size in bytes."""

    @property
    def key(self) -> str:
        """With the bucket before it."""

    @property
    def size(self) -> int:
        """In bytes."""


class ObjectStore(Protocol):
    """Where objects lie."""

    @property
    def url(self) -> str:
        """As it was named."""

    @property
    def place(self) -> str:
        """Which store it is: with a key, one object."""

    def objects(self) -> Sequence[RemoteFile]:
        """What is there, by key. Raises Unavailable, and InputError for nothing."""

    def etag(self, key: str) -> str:
        """What the store calls the present content of an object, "" where it has no word. Raises Unavailable."""

    def fetch(self, key: str, to: Path, *, size: int) -> str:
        """The whole object as the file `to`, or no file; returns its ETag. Raises Unavailable and DataError."""


@dataclass(frozen=True, slots=True)
class Download:
    """An object as a local file under its own name; `file` is None where it is what was known before."""

    key: str
    file: Path | None
    etag: str = ""


def bar_objects(store: ObjectStore) -> list[RemoteFile]:
    """The bar files among the objects, by key. Raises InputError when there is none, and what the store raises."""
    found = [one for one in store.objects() if PurePosixPath(one.key).suffix in SUFFIXES]
    if not found:
        raise InputError(f"path: {store.url} has no .csv or .parquet object")
    return found


@contextmanager
def downloaded(
    store: ObjectStore,
    wanted: Sequence[RemoteFile],
    progress: Callable[[str], None] | None,
    known: Mapping[str, tuple[str, int]] = MappingProxyType({}),
) -> Iterator[Iterator[Download]]:
    """Each of these objects as a local file, in their order.

    One that has the ETag and the size (bytes) by which its key is `known` is not fetched. A file is gone when the next
    one is asked for, and all are when the block ends. Raises what the store raises.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ibkr-assets-") as directory,
        ThreadPoolExecutor(AHEAD, thread_name_prefix="download") as pool,
    ):
        try:
            yield _each(store, wanted, Path(directory), pool, progress, known)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _each(
    store: ObjectStore,
    wanted: Sequence[RemoteFile],
    directory: Path,
    pool: ThreadPoolExecutor,
    progress: Callable[[str], None] | None,
    known: Mapping[str, tuple[str, int]],
) -> Iterator[Download]:
    def bring(number: int) -> Download:
        one = wanted[number]
        etag, size_bytes = known.get(one.key, ("", -1))
        if size_bytes == one.size and store.etag(one.key) == etag:
            return Download(one.key, None, etag)
        place = directory / str(number)
        place.mkdir()
        file = place / PurePosixPath(one.key).name
        return Download(one.key, file, store.fetch(one.key, file, size=one.size))

    under_way: deque[Future[Download]] = deque()
    total, size = sum(one.size for one in wanted), 0
    for number, one in enumerate(wanted):
        while len(under_way) < AHEAD and number + len(under_way) < len(wanted):
            under_way.append(pool.submit(bring, number + len(under_way)))
        found = under_way.popleft().result()
        size += one.size
        if progress is not None and found.file is not None:
            progress(f"{number + 1} of {len(wanted)} objects, {size / 1e6:.1f} of {total / 1e6:.1f} MB: {one.key}")
        yield found
        if found.file is not None:
            found.file.unlink()
