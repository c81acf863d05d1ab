"""A file of bars that was imported, as it was then: a value.

What goes here: what a file is recognised by. What does not: reading it (`ingest.read_files`), and where it is noted
(`adapters.postgres.read_files`).
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What a file is recognised by, and how many rows of it were bars and how many could not be read.

    `name` is the file's below `place`. `content` is the SHA-256 (hex) of its bytes, `checksum` what the file beside it
    says that this should be ("" without one), `etag` what an object store calls this content ("" for a local file).
    `calendar` is the exchange whose openings its dates became.
    """

    place: str
    name: str
    content: str
    size_bytes: int
    checksum: str
    etag: str
    calendar: str
    bars: int = 0
    unreadable: int = 0

    def is_as(self, known: "ReadFile | None") -> bool:
        """Whether it is what is known of its name: the same rows would come of it."""
        return known is not None and replace(self, bars=known.bars, unreadable=known.unreadable) == known
