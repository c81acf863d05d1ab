"""What `spl`, `ssd` and `sld` tell: profit and loss, the account's summary, and its cash by currency.

The figures are those of the REST calls (`portfolio`, `balances`), in the websocket's spellings. None of these needs
the brokerage session.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from ibkr_assets.simulator.face import balances
from ibkr_assets.simulator.face.exchange import Call
from ibkr_assets.simulator.face.formats import seconds
from ibkr_assets.simulator.face.portfolio import pnl_row
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.stream_hub import Feed, Frame

_PNL_S, _BUNDLE_S = 1.0, 10.0
#: At a fast pace bundles, which are long, do not come more often than this.
_SHORTEST_BUNDLE_S = 0.5
#: The summary's keys as the websocket writes them; the REST call has them in small letters.
_SUMMARY_KEYS = {
    name.lower(): name
    for name in (
        "AccountCode", "AccountReady", "AccountType", "AccruedCash", "AccruedDividend", "AvailableFunds",
        "AvailableToTrade", "AvailableToWithdraw", "Billable", "BuyingPower", "ColumnPrio", "Cushion",
        "DayTradesRemaining", "DepositOnCreditHold", "EquityWithLoanValue", "ExcessLiquidity", "FullAvailableFunds",
        "FullExcessLiquidity", "FullInitMarginReq", "FullMaintMarginReq", "GrossPositionValue", "Guarantee",
        "HighestSeverity", "IndianStockHaircut", "InitMarginReq", "Leverage", "LookAheadAvailableFunds",
        "LookAheadExcessLiquidity", "LookAheadInitMarginReq", "LookAheadMaintMarginReq", "LookAheadNextChange",
        "MaintMarginReq", "NetLiquidation", "NetLiquidationUncertainty", "NLVAndMarginInReview", "PASharesValue",
        "PhysicalCertificateValue", "PostExpirationExcess", "PostExpirationMargin", "PreviousDayEquityWithLoanValue",
        "RegTEquity", "RegTMargin", "SegmentTitle", "SMA", "TotalCashValue", "TotalDebitCardPendingCharges",
        "TradingType", "WhatIfPMEnabled",
    )
}  # fmt: skip
#: The ledger's fields as the websocket writes them.
_LEDGER_FIELDS = {
    "acctcode": "acctCode", "cashbalance": "cashbalance", "cashbalancefxsegment": "cashBalanceFXSegment",
    "commoditymarketvalue": "commodityMarketValue", "corporatebondsmarketvalue": "corporateBondsMarketValue",
    "dividends": "dividends", "exchangerate": "exchangeRate", "funds": "funds", "interest": "interest",
    "issueroptionsmarketvalue": "issueOptionsMarketValue", "moneyfunds": "moneyFunds",
    "netliquidationvalue": "netLiquidationValue", "realizedpnl": "realizedPnl", "unrealizedpnl": "unrealizedPnl",
    "secondkey": "secondKey", "settledcash": "settledCash", "severity": "severity",
    "stockmarketvalue": "stockMarketValue", "stockoptionmarketvalue": "optionMarketValue",
    "tbillsmarketvalue": "tBillsMarketValue", "tbondsmarketvalue": "tBondsMarketValue",
    "warrantsmarketvalue": "warrantsMarketValue",
}  # fmt: skip

Rows = dict[str, dict[str, Any]]


class PnlFeed(Feed):
    """The account's profit and loss, when it changed and at most once a second."""

    needs_brokerage = False

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._next_at = 0.0
        self._told: dict[str, Any] | None = None

    def look(self, mono: float) -> Iterator[Frame]:
        """The whole row."""
        if mono < self._next_at:
            return
        self._next_at = mono + _PNL_S / self._gateway.options.pace
        row = pnl_row(self._gateway)
        row["uel"] = row.pop("el")
        if row != self._told:
            self._told = row
            yield {"topic": "spl", "args": {f"{self._gateway.options.account}.Core": row}}


class BundleFeed(Feed):
    """Rows by key, every ten seconds; one that did not change holds its key and time alone."""

    needs_brokerage = False

    def __init__(self, gateway: Gateway, topic: str, rows: Callable[[], Rows]) -> None:
        self._gateway = gateway
        self._topic = topic
        self._rows = rows
        self._next_at = 0.0
        self._told: Rows = {}

    def look(self, mono: float) -> Iterator[Frame]:
        """One frame with every row."""
        if mono < self._next_at:
            return
        self._next_at = mono + max(_BUNDLE_S / self._gateway.options.pace, min(_BUNDLE_S, _SHORTEST_BUNDLE_S))
        rows = self._rows()
        stamp = seconds(self._gateway.venue.now)
        result = [
            {"key": key, "timestamp": stamp, **({} if self._told.get(key) == row else row)} for key, row in rows.items()
        ]
        self._told = rows
        yield {"result": result, "topic": self._topic}


def summary_rows(gateway: Gateway, keys: Collection[str], fields: Collection[str]) -> Rows:
    """The summary by key: money in `monetaryValue`, everything else as text in `value`. Empty selections are all."""
    answer = balances.summary(_call(gateway, "summary")).body
    rows = {}
    for name, entry in answer.items():
        head, suffix = re.fullmatch(r"(.*?)(-[a-z])?", name, re.DOTALL).groups()  # type: ignore[union-attr]
        key = _SUMMARY_KEYS.get(head, head) + (suffix or "").upper()
        is_money = entry["currency"] is not None
        money = {"currency": entry["currency"], "monetaryValue": entry["amount"]}
        rows[key] = (money if is_money else {"value": entry["value"]}) | {"severity": entry["severity"]}
    return _selected(rows, keys, fields)


def ledger_rows(gateway: Gateway, keys: Collection[str], fields: Collection[str]) -> Rows:
    """The ledger by `LedgerList` and currency. Empty selections are all."""
    answer = balances.ledger(_call(gateway, "ledger")).body
    rows = {
        f"LedgerList{currency}": {_LEDGER_FIELDS[n]: value for n, value in entry.items() if n in _LEDGER_FIELDS}
        | {"marketValue": 0.0}
        for currency, entry in answer.items()
    }
    return _selected(rows, keys, fields)


def _selected(rows: Rows, keys: Collection[str], fields: Collection[str]) -> Rows:
    return {
        key: {name: value for name, value in row.items() if not fields or name in fields}
        for key, row in rows.items()
        if not keys or key in keys
    }


def _call(gateway: Gateway, route: str) -> Call:
    return Call(gateway, route, {"account": gateway.options.account}, {}, b"", 0)
