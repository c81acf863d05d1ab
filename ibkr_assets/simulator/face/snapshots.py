"""Handlers of market data lines: snapshots, which open them, and what closes them again.

The first call for a contract opens its line and carries no field, the second those that come quickly, later ones all.
What the fields say is `quotes`' work.
"""

from __future__ import annotations

from typing import Any

from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call
from ibkr_assets.simulator.face.formats import millis
from ibkr_assets.simulator.face.quotes import fields_of
from ibkr_assets.simulator.session_memory import MarketDataLine, SessionMemory

_MOST_CONIDS = 100
_MOST_FIELDS = 50
#: Market data lines of an account.
MOST_LINES = 100
SERVER_ID = "q0"
#: What a contract's second snapshot has already.
_EARLY = frozenset({"31", "84", "55", "58", "6004", "6008", "6070", "7051", "7221", "6509"})


def open_line(memory: SessionMemory, conid: int) -> MarketDataLine | None:
    """The contract's line, opened where it was not; None when the account has no more."""
    if conid not in memory.streams and len(memory.streams) >= MOST_LINES:
        return None
    return memory.streams.setdefault(conid, MarketDataLine())


def snapshot(call: Call) -> Answer:
    """Fields by id for each contract on the tape; what was asked for once need not be asked for again."""
    conids = [call.conid(text) for text in call.query.get("conids", "").split(",")]
    if len(conids) > _MOST_CONIDS:
        raise BadRequest(f"Bad Request: too many conids: {len(conids)}")
    fields = tuple(text for text in call.query.get("fields", "").split(",") if text)
    if len(fields) > _MOST_FIELDS:
        raise BadRequest(f"Bad Request: too many fields: {len(fields)}")
    return Answer([_row(call, conid, fields) for conid in conids if conid in call.gateway.tape.contracts])


def _row(call: Call, conid: int, fields: tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {"conidEx": str(conid), "conid": conid}
    line = open_line(call.gateway.session.memory, conid)
    if line is None:
        return row | {"6509": "N"}
    line.fields = fields or line.fields
    line.read_count += 1
    if line.read_count == 1:
        return row
    wanted = [name for name in line.fields if line.read_count > 2 or name in _EARLY]
    known = fields_of(call.gateway, conid, wanted)
    row |= {"_updated": millis(call.gateway.venue.now), "server_id": SERVER_ID, "6119": SERVER_ID, **known}
    if "87" in row:
        row["87_raw"] = float(fields_of(call.gateway, conid, ["7762"])["7762"])
    return row


def unsubscribe(call: Call) -> Answer:
    """Closes one line; closing one that is not open is an error."""
    conid = call.conid(str(call.json_object().get("conid")))
    streams = call.gateway.session.memory.streams
    if conid not in streams:
        return Answer({"error": "unknown"}, 500)
    del streams[conid]
    return Answer({"success": True})


def unsubscribe_all(call: Call) -> Answer:
    """Closes every line."""
    call.gateway.session.memory.streams.clear()
    return Answer({"unsubscribed": True})
