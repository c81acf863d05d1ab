"""Handlers of live quotes: the first call for a contract opens its stream and carries no field, later ones do.

A daily tape knows one price at a time; bid and ask stand a tick around it.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from ibkr_assets.simulator.admission import TICK
from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call
from ibkr_assets.simulator.face.formats import millis, price_text, short_volume
from ibkr_assets.simulator.gateway import Gateway

_MOST_CONIDS = 100
_MOST_FIELDS = 50
_EASTERN = ZoneInfo("America/New_York")
_SERVER_ID = "q0"


def snapshot(call: Call) -> Answer:
    """Fields by id for each contract. Unknown contracts are left out."""
    conids = [call.conid(text) for text in call.query.get("conids", "").split(",")]
    if len(conids) > _MOST_CONIDS:
        raise BadRequest(f"Bad Request: too many conids: {len(conids)}")
    fields = [text for text in call.query.get("fields", "").split(",") if text]
    if len(fields) > _MOST_FIELDS:
        raise BadRequest(f"Bad Request: too many fields: {len(fields)}")
    streams = call.gateway.session.memory.streams
    rows = []
    for conid in conids:
        if conid not in call.gateway.tape.contracts:
            continue
        row: dict[str, Any] = {"conidEx": str(conid), "conid": conid}
        if conid in streams:
            known = _fields(call.gateway, conid)
            row |= {
                "_updated": millis(call.gateway.venue.now), "server_id": _SERVER_ID, "6119": _SERVER_ID,
                **{name: known[name] for name in fields if name in known},
            }  # fmt: skip
            if "87" in row:
                row["87_raw"] = float(known["7762"])
        streams.add(conid)
        rows.append(row)
    return Answer(rows)


def _fields(gateway: Gateway, conid: int) -> dict[str, str]:
    tape, now = gateway.tape, gateway.venue.now
    contract = tape.contracts[conid]
    known = {
        "55": contract.symbol, "58": contract.company, "6004": contract.exchange, "6008": str(conid), "6070": "STK",
        "7051": contract.company, "7221": contract.exchange, "6509": "RpB",
    }  # fmt: skip
    last = tape.last_price(conid, now)
    if last is None:
        return known | {"6509": "N"}
    bar = tape.bar(conid, last.session.day)
    assert bar is not None
    before = tape.previous_close(conid, now)
    is_today = last.session.day == now.astimezone(_EASTERN).date()
    high, low, volume = (bar.high, bar.low, bar.volume) if last.is_close else (last.price, last.price, 0)
    known |= {
        "31": ("" if is_today else "C") + price_text(last.price), "84": price_text(last.price - TICK),
        "86": price_text(last.price + TICK), "85": "1,300", "88": "1,100", "7059": "100", "7057": "K", "7058": "K",
        "7068": "K", "70": price_text(high), "71": price_text(low), "7295": price_text(bar.open),
        "87": short_volume(volume), "7762": str(volume),
    }  # fmt: skip
    if last.is_close:
        known["7296"] = price_text(last.price)
    if before is not None:
        change = last.price - before
        percent = change / before * 100
        known |= {"7741": price_text(before), "82": price_text(change), "83": f"{percent:.2f}%"}
    return known


def unsubscribe(call: Call) -> Answer:
    """Closes one stream; closing one that is not open is an error."""
    conid = call.conid(str(call.json_object().get("conid")))
    streams = call.gateway.session.memory.streams
    if conid not in streams:
        return Answer({"error": "unknown"}, 500)
    streams.discard(conid)
    return Answer({"success": True})


def unsubscribe_all(call: Call) -> Answer:
    """Closes every stream."""
    call.gateway.session.memory.streams.clear()
    return Answer({"unsubscribed": True})
