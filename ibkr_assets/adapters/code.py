"""Which code runs: a hash over the package's own files and the user's strategies, and the checkout's commit.

What goes here: looking at our own files. What does not: which settings decide (`adapters.version`) and where both are
kept (`adapters.postgres.versions`). The hash is the proof, since files may be edited after a commit; the commit is for
people.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

from ibkr_assets.domain.errors import ConfigurationError

PACKAGE = Path(__file__).parents[1]


def code_sha256(package: Path = PACKAGE, own: Path | None = None) -> str:
    """SHA-256 (hex) over every Python file of the package: relative path, length and bytes, in order of path.

    `own` is the directory of the user's strategies: one with files in it makes another hash, by their names below it
    and their bytes. Raises ConfigurationError where it cannot be read. Files that look as they did when they were
    read, by size and instant of change, are not read again: reading costs twelve milliseconds, looking one or two.
    """
    sha256 = _hash_files(str(package), tuple(sorted(_look(str(package)))))
    if own is None:
        return sha256
    try:
        looks = tuple(sorted(_look(str(own))))
    except OSError as error:
        raise ConfigurationError(f"strategies.directory: cannot read {own}: {error.strerror}") from None
    return hashlib.sha256(f"{sha256}|{_hash_files(str(own), looks)}".encode()).hexdigest() if looks else sha256


def _look(directory: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                status = entry.stat()
                yield entry.path, status.st_mtime_ns, status.st_size
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _look(entry.path)


@lru_cache(maxsize=4)
def _hash_files(package: str, looks: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in looks:
        content = Path(path).read_bytes()
        digest.update(f"{Path(path).relative_to(package).as_posix()}|{len(content)}|".encode())
        digest.update(content)
    return digest.hexdigest()


@cache
def git_commit(checkout: Path = PACKAGE.parent) -> str | None:
    """The commit that is checked out, or None where there is no repository. No process is started."""
    head = checkout / ".git" / "HEAD"
    if not head.is_file():
        return None
    name = head.read_text(encoding="utf-8").strip().removeprefix("ref: ")
    loose = checkout / ".git" / name
    if loose.is_file():
        return loose.read_text(encoding="utf-8").strip()
    packed = checkout / ".git" / "packed-refs"
    if packed.is_file():
        for line in packed.read_text(encoding="utf-8").splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return commit
    return name if len(name) == 40 and "/" not in name else None
