"""Bar files that lie in an object store, brought here one after the other, each whole before it is read.

What goes here: which objects are bar files, fetching a few ahead, and saying how far it is. What does not: the store's
protocol (`adapters.objects`), and what is in a file (`ingest.bar_files`).
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
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

    def objects(self) -> Sequence[RemoteFile]:
        """What is there, by key. Raises Unavailable, and InputError for nothing."""

    def fetch(self, key: str, to: Path, *, size: int) -> None:
        """The whole object as the file `to`, or no file. Raises Unavailable and DataError."""


@contextmanager
def downloaded(store: ObjectStore, progress: Callable[[str], None] | None) -> Iterator[tuple[int, Iterator[Path]]]:
    """How many bar files there are, and each of them as a local file under its own name, by key.

    A file is gone when the next one is asked for, and all are when the block ends. Raises InputError when there is no
    bar file, and what the store raises.
    """
    wanted = [one for one in store.objects() if PurePosixPath(one.key).suffix in SUFFIXES]
    if not wanted:
        raise InputError(f"path: {store.url} has no .csv or .parquet object")
    with (
        tempfile.TemporaryDirectory(prefix="ibkr-assets-") as directory,
        ThreadPoolExecutor(AHEAD, thread_name_prefix="download") as pool,
    ):
        try:
            yield len(wanted), _each(store, wanted, Path(directory), pool, progress)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _each(
    store: ObjectStore,
    wanted: Sequence[RemoteFile],
    directory: Path,
    pool: ThreadPoolExecutor,
    progress: Callable[[str], None] | None,
) -> Iterator[Path]:
    def bring(number: int) -> Path:
        place = directory / str(number)
        place.mkdir()
        file = place / PurePosixPath(wanted[number].key).name
        store.fetch(wanted[number].key, file, size=wanted[number].size)
        return file

    under_way: deque[Future[Path]] = deque()
    total, size = sum(one.size for one in wanted), 0
    for number, one in enumerate(wanted):
        while len(under_way) < AHEAD and number + len(under_way) < len(wanted):
            under_way.append(pool.submit(bring, number + len(under_way)))
        file = under_way.popleft().result()
        size += one.size
        if progress is not None:
            progress(f"{number + 1} of {len(wanted)} objects, {size / 1e6:.1f} of {total / 1e6:.1f} MB: {one.key}")
        yield file
        file.unlink()
