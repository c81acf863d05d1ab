"""The append-only file of what happened, written and fsynced before any answer leaves.

One JSON object a line. What a row means is in `records`; who writes when is `gateway`'s work. Without a directory
the rows are kept in memory only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.records import LEDGER_EVENTS, Record, record_of, row_of

LEDGER_FILE = "ledger.ndjson"


class Ledger:
    """Rows in memory, and in `directory/ledger.ndjson` where a directory is given.

    A line that was cut by a crash is dropped when the file is opened: its answer never left. Raises
    ConfigurationError when the directory cannot be written or an earlier line cannot be read.
    """

    def __init__(self, directory: Path | None) -> None:
        self._rows: list[dict[str, Any]] = []
        self._pending: list[str] = []
        self._seq = 0
        self._file: int | None = None
        if directory is not None:
            self._open(directory)

    def _open(self, directory: Path) -> None:
        path = directory / LEDGER_FILE
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ConfigurationError(f"state_dir: cannot write {path}: {error.strerror}") from None
        whole, _, cut = path.read_bytes().rpartition(b"\n")
        if cut:
            os.ftruncate(self._file, len(whole) + 1 if whole else 0)
        for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                raise ConfigurationError(f"state_dir: {path} line {number} is not JSON") from None
            self._rows.append(row)
            self._seq = row["seq"] or self._seq

    def append(self, record: Record, *, t_mono: float, peer_port: int | None) -> None:
        """Add a record. It is not on disk before `flush`."""
        seq = None
        if record.event in LEDGER_EVENTS:
            self._seq += 1
            seq = self._seq
        row = row_of(record, seq=seq, t_mono=t_mono, peer_port=peer_port)
        self._rows.append(row)
        self._pending.append(json.dumps(row, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        """Write what is pending in one piece and wait for the disk."""
        if not self._pending:
            return
        if self._file is not None:
            data = "".join(self._pending).encode()
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        self._pending.clear()

    def records(self) -> list[Record]:
        """Everything so far, to rebuild the state from."""
        return [record_of(row) for row in self._rows]

    def public_rows(self) -> list[dict[str, Any]]:
        """The public ledger: its thirteen fields and no others."""
        return [
            {key: value for key, value in row.items() if key != "detail"}
            for row in self._rows
            if row["seq"] is not None
        ]

    def all_rows(self) -> list[dict[str, Any]]:
        """Every row with its detail, the state's own rows included."""
        return list(self._rows)

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None
