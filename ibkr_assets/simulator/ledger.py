"""The append-only file of what happened, written and fsynced before any answer leaves.

One JSON object a line, of the market alone: the same seed, tape and requests give the same file, byte for byte. When
each row came in real time, and from which connection, is in a file beside it. What a row means is in `records`; who
writes when is `gateway`'s work. Without a directory the rows are kept in memory only.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.records import ENDS_A_MOMENT, LEDGER_EVENTS, Record, record_of, row_of

LEDGER_FILE = "ledger.ndjson"
#: A line `[t_mono, peer_port]` for each line of the ledger.
ARRIVALS_FILE = "arrivals.ndjson"
_UNKNOWN_ARRIVAL = (0.0, None)


class Ledger:
    """Rows in memory, and in `directory/ledger.ndjson` where a directory is given.

    A line that was cut by a crash is dropped when the file is opened, and so is half a moment of the market: its
    answer never left, and the moment happens again. Raises ConfigurationError when the directory cannot be written
    or an earlier line cannot be read.
    """

    def __init__(self, directory: Path | None) -> None:
        self._rows: list[dict[str, Any]] = []
        self._pending: list[str] = []
        self._pending_arrivals: list[str] = []
        self._seq = 0
        self._file: int | None = None
        self._arrivals: int | None = None
        if directory is not None:
            self._open(directory)

    def _open(self, directory: Path) -> None:
        path, beside = directory / LEDGER_FILE, directory / ARRIVALS_FILE
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._arrivals = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ConfigurationError(f"state_dir: cannot write {directory}: {error.strerror}") from None
        lines, rows = _read_lines(path)
        count = _count_whole_moments(rows)
        os.ftruncate(self._file, sum(len(line) + 1 for line in lines[:count]))
        arrivals, known = _read_lines(beside)
        os.ftruncate(self._arrivals, sum(len(line) + 1 for line in arrivals[:count]))
        for number, row in enumerate(rows[:count]):
            t_mono, peer_port = known[number] if number < len(known) else _UNKNOWN_ARRIVAL
            self._rows.append(_joined(row, t_mono, peer_port))
            self._seq = row["seq"] or self._seq
        # A crash of the machine may have kept fewer arrivals than rows; a line stays the arrival of its own row.
        missing = max(count - len(arrivals), 0)
        self._pending_arrivals = [_line(_UNKNOWN_ARRIVAL)] * missing

    def append(self, record: Record, *, t_mono: float, peer_port: int | None) -> None:
        """Add a record. It is not on disk before `flush`."""
        seq = None
        if record.event in LEDGER_EVENTS:
            self._seq += 1
            seq = self._seq
        row = row_of(record, seq=seq)
        arrival = round(t_mono, 6), peer_port
        self._rows.append(_joined(row, *arrival))
        if self._file is not None:
            self._pending.append(_line(row))
            self._pending_arrivals.append(_line(arrival))

    def flush(self) -> None:
        """Write what is pending in one piece and wait for the disk."""
        if not self._pending or self._file is None or self._arrivals is None:
            return
        _write(self._arrivals, self._pending_arrivals)
        _write(self._file, self._pending)
        os.fsync(self._file)

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
        for file in (self._file, self._arrivals):
            if file is not None:
                os.close(file)
        self._file = self._arrivals = None


def _read_lines(path: Path) -> tuple[list[bytes], list[Any]]:
    """The whole lines of a file, and what they say; a last one that was cut is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError:
            raise ConfigurationError(f"state_dir: {path} line {number} is not JSON") from None
    return lines, values


def _count_whole_moments(rows: list[dict[str, Any]]) -> int:
    """How many rows belong to moments of the market that were written down to their end."""
    ends = next((i for i in range(len(rows) - 1, -1, -1) if rows[i]["event"] in ENDS_A_MOMENT), None)
    if ends is None:
        return 0
    until = datetime.fromisoformat(rows[ends]["t_virtual"])
    for i in range(ends + 1, len(rows)):
        if datetime.fromisoformat(rows[i]["t_virtual"]) > until:
            return i
    return len(rows)


def _joined(row: dict[str, Any], t_mono: float, peer_port: int | None) -> dict[str, Any]:
    """The row as the admin port shows it: with its arrival."""
    return {"seq": row["seq"], "t_virtual": row["t_virtual"], "t_mono": t_mono, **row, "peer_port": peer_port}


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def _write(file: int, lines: list[str]) -> None:
    data = "".join(lines).encode()
    while data:
        data = data[os.write(file, data) :]
    lines.clear()
