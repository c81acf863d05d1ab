"""Handlers of the market scanner: three scans over the stocks of the tape, and of the notices, of which there are none.

What a scan knows is what a snapshot knows: the newest price and the close before it, and the volume of a day that is
over.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call
from ibkr_assets.simulator.face.formats import short_volume
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.listings import Contract

_MOST_ROWS = 50
_SCANS = {"TOP_PERC_GAIN": "Top % Gainers", "TOP_PERC_LOSE": "Top % Losers", "MOST_ACTIVE": "Most Active"}


def unread(_call: Call) -> Answer:
    """Unread notices: none."""
    return Answer({"BN": 0})


def params(_call: Call) -> Answer:
    """What can be asked of `run`."""
    scans = [{"display_name": name, "code": code, "instruments": ["STK"]} for code, name in _SCANS.items()]
    major = {"display_name": "Listed/NASDAQ", "type": "STK.US.MAJOR", "locations": []}
    place = {"display_name": "US Stocks", "type": "STK", "locations": [major]}
    return Answer(
        {
            "scan_type_list": scans, "filter_list": [], "location_tree": [place],
            "instrument_list": [{"display_name": "US Stocks", "type": "STK", "filters": []}],
        }
    )  # fmt: skip


def run(call: Call) -> Answer:
    """The stocks of a scan, best first."""
    body = call.json_object()
    scan = body.get("type")
    if body.get("instrument") != "STK" or not isinstance(scan, str) or scan not in _SCANS:
        raise BadRequest(f"Bad Request: instrument must be STK and type one of {', '.join(_SCANS)}")
    rows = [(contract, *_figures(call.gateway, contract)) for contract in call.gateway.tape.contracts.values()]
    traded = [(contract, change, volume) for contract, change, volume in rows if change is not None]
    if scan == "MOST_ACTIVE":
        ranked = sorted(traded, key=lambda row: -row[2])
        shown = [(contract, short_volume(volume)) for contract, _, volume in ranked]
    else:
        sign = -1 if scan == "TOP_PERC_GAIN" else 1
        ranked = sorted(traded, key=lambda row: sign * row[1])
        shown = [(contract, f"{change:+.2f}%") for contract, change, _ in ranked]
    return Answer(
        {
            "contracts": [_row(number, *one) for number, one in enumerate(shown[:_MOST_ROWS])],
            "scan_data_column_name": "Volume" if scan == "MOST_ACTIVE" else "Chg%",
        }
    )


def _figures(gateway: Gateway, contract: Contract) -> tuple[Decimal | None, int]:
    """Change since the previous close in percent, and the volume in shares as far as it is known."""
    tape, now = gateway.tape, gateway.venue.now
    last, before = tape.last_price(contract.conid, now), tape.previous_close(contract.conid, now)
    if last is None or before is None:
        return None, 0
    bar = tape.bar(contract.conid, last.session.day) if last.is_close else None
    return (last.price / before - 1) * 100, bar.volume if bar is not None else 0


def _row(number: int, contract: Contract, data: str) -> dict[str, Any]:
    return {
        "server_id": str(number), "symbol": contract.symbol, "conidex": str(contract.conid),
        "con_id": contract.conid, "available_chart_periods": "#R|1", "company_name": contract.company,
        "scan_data": data, "contract_description_1": contract.symbol, "listing_exchange": contract.order_exchange,
        "sec_type": "STK",
    }  # fmt: skip
