"""Handlers of what the account is worth: the ledger by currency, the portfolio's summary, the account's summaries.

The sums are `simulator.account`'s. The account is in USD; cash in other currencies (an option) never moves and counts
at a fixed rate. Positions and their profits are `portfolio`'s work, past values are `performance`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ibkr_assets.simulator.account import ZERO
from ibkr_assets.simulator.face.accounts import check_account
from ibkr_assets.simulator.face.exchange import Answer, Call
from ibkr_assets.simulator.face.formats import grouped, millis, money, seconds, usd_text
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.settlement import unsettled_proceeds

_TOTAL = "Total (in USD)"
#: Values that IBKR's ledger names and that a stock account never has.
_NEVER = (
    "commoditymarketvalue", "futuremarketvalue", "corporatebondsmarketvalue", "warrantsmarketvalue", "interest",
    "moneyfunds", "funds", "issueroptionsmarketvalue", "stockoptionmarketvalue", "futuresonlypnl",
    "tbondsmarketvalue", "futureoptionmarketvalue", "cashbalancefxsegment", "tbillsmarketvalue",
    "cryptocurrencyvalue",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Worth:
    """The account now, in USD. `cash` is of all currencies, `usd_cash` of USD alone; `unsettled` of both came of sales
    that have not settled.
    """

    usd_cash: Decimal
    cash: Decimal
    unsettled: Decimal
    dividends: Decimal
    stock: Decimal
    gross: Decimal
    nav: Decimal
    funds: Decimal
    margin: Decimal
    unrealized: Decimal
    realized: Decimal

    @property
    def excess(self) -> Decimal:
        """What is left above the margin."""
        return self.nav - self.margin


def _worth(gateway: Gateway) -> _Worth:
    venue = gateway.venue
    account = venue.book.account
    abroad = foreign_cash_value(gateway)
    gross = account.gross_value(venue.last_price)
    return _Worth(
        usd_cash=account.cash,
        cash=account.cash + abroad,
        unsettled=unsettled_proceeds(venue.book.executions, venue.now, gateway.tape),
        dividends=account.accrued_dividends,
        stock=account.stock_value(venue.last_price),
        gross=gross,
        nav=venue.net_liquidation() + abroad,
        funds=venue.available_funds(),
        margin=gateway.options.initial_margin * gross,
        unrealized=account.unrealized(venue.last_price),
        realized=sum((holding.realized for holding in account.holdings.values()), ZERO),
    )


def foreign_cash_value(gateway: Gateway) -> Decimal:
    """Cash in other currencies, in USD."""
    return sum((cash.amount * cash.rate for cash in gateway.options.foreign_cash), ZERO)


def ledger(call: Call) -> Answer:
    """One entry a currency, and `BASE`: everything in the account's own currency."""
    check_account(call)
    gateway = call.gateway
    worth = _worth(gateway)
    stocks = {
        "dividends": money(worth.dividends), "stockmarketvalue": money(worth.stock),
        "unrealizedpnl": money(worth.unrealized), "realizedpnl": money(worth.realized),
    }  # fmt: skip
    usd = worth.usd_cash + worth.dividends + worth.stock
    answer = {
        cash.currency: _entry(gateway, cash.currency, cash.amount, cash.amount, ZERO)
        | {"exchangerate": money(cash.rate)}
        for cash in gateway.options.foreign_cash
    }
    answer["USD"] = _entry(gateway, "USD", worth.usd_cash, usd, worth.unsettled) | stocks | {"endofbundle": 1}
    answer["BASE"] = _entry(gateway, "BASE", worth.cash, worth.nav, worth.unsettled) | stocks
    return Answer(answer)


def _entry(gateway: Gateway, currency: str, cash: Decimal, nav: Decimal, unsettled: Decimal) -> dict[str, Any]:
    return dict.fromkeys((*_NEVER, "dividends", "stockmarketvalue", "unrealizedpnl", "realizedpnl"), 0.0) | {
        "cashbalance": money(cash), "settledcash": money(cash - unsettled), "netliquidationvalue": money(nav),
        "exchangerate": 1,
        "sessionid": 1, "acctcode": gateway.options.account, "key": "LedgerList", "severity": 0,
        "timestamp": seconds(gateway.venue.now), "currency": currency, "secondkey": currency,
    }  # fmt: skip


def summary(call: Call) -> Answer:
    """The portfolio's summary: money in `amount`, everything else as text in `value`. The commodities are empty."""
    check_account(call)
    gateway = call.gateway
    worth = _worth(gateway)
    stamp = millis(gateway.venue.now)
    answer: dict[str, Any] = {}
    for key, amount, has_commodities in _amounts(gateway, worth):
        for suffix, value in (("", amount), ("-s", amount), ("-c", ZERO)):
            if suffix != "-c" or has_commodities:
                answer[key + suffix] = _value(stamp, amount=value)
    for key, amount in (("buyingpower", worth.funds), ("netliquidationuncertainty", ZERO)):
        answer[key] = _value(stamp, amount=amount)
    for key, text in _texts(gateway, worth).items():
        answer[key] = _value(stamp, text=text)
    return Answer(dict(sorted(answer.items())))


def _value(stamp: int, *, amount: Decimal | None = None, text: str | None = None) -> dict[str, Any]:
    return {
        "amount": 0.0 if amount is None else money(amount), "currency": None if amount is None else "USD",
        "isNull": False, "timestamp": stamp, "value": text, "severity": 0,
    }  # fmt: skip


def _amounts(gateway: Gateway, worth: _Worth) -> Iterator[tuple[str, Decimal, bool]]:
    """Key, USD, and whether there is a commodities part. What has not settled may be traded with, not withdrawn."""
    equity = worth.cash + worth.stock
    for key in ("availablefunds", "availabletotrade", "fullavailablefunds"):
        yield key, worth.funds, True
    yield "availabletowithdraw", max(min(worth.funds, worth.cash - worth.unsettled), ZERO), True
    yield "lookaheadavailablefunds", worth.funds, True
    for key in ("excessliquidity", "fullexcessliquidity", "lookaheadexcessliquidity"):
        yield key, worth.excess, True
    for key in ("initmarginreq", "maintmarginreq"):
        for head in ("", "full", "lookahead"):
            yield head + key, worth.margin, True
    yield "accrueddividend", worth.dividends, True
    yield "equitywithloanvalue", equity, True
    yield "netliquidation", worth.nav, True
    yield "totalcashvalue", worth.cash, True
    for key in (
        "accruedcash", "billable", "guarantee", "indianstockhaircut", "pasharesvalue", "physicalcertificatevalue",
        "postexpirationexcess", "postexpirationmargin", "totaldebitcardpendingcharges",
    ):  # fmt: skip
        yield key, ZERO, True
    yield "grosspositionvalue", worth.gross, False
    yield "previousdayequitywithloanvalue", _yesterday(gateway), False
    yield "regtequity", equity, False
    yield "regtmargin", worth.margin, False
    yield "sma", worth.funds, False


def _texts(gateway: Gateway, worth: _Worth) -> dict[str, str]:
    cushion = worth.excess / worth.nav if worth.nav else ZERO
    leverage = worth.gross / worth.nav if worth.nav else ZERO
    coming = gateway.tape.next_session(gateway.venue.now)
    unlimited = {f"daytradesremaining{day}": "-1" for day in ("", "t+1", "t+2", "t+3", "t+4")}
    return unlimited | {
        "accountcode": gateway.options.account, "accountready": "true", "accounttype": "INDIVIDUAL",
        "columnprio-s": "1", "columnprio-c": "2", "cushion": f"{cushion:.6f}",
        "daytradingstatus-s": f": : false: {worth.nav:.2f}: :false", "depositoncredithold": "null",
        "highestseverity": "null", "leverage-s": f"{leverage:.2f}",
        "lookaheadnextchange": str(seconds(coming.opens_at)) if coming is not None else "0",
        "nlvandmargininreview": "false", "segmenttitle-s": "US Securities", "segmenttitle-c": "US Commodities",
        "tradingtype-s": "STKNOPT", "whatifpmenabled": "true",
    }  # fmt: skip


def _yesterday(gateway: Gateway) -> Decimal:
    """The value at the last close, or what the account began with."""
    history = gateway.nav_history
    history.read(gateway.ledger.all_rows(), gateway.venue.now)
    last = history.days[-1].value if history.days else history.opening_cash
    return last + foreign_cash_value(gateway)


def account_summary(call: Call) -> Answer:
    """The brokerage side's summary, in numbers."""
    check_account(call)
    gateway = call.gateway
    worth = _worth(gateway)
    balances = [
        ("USD", worth.usd_cash, worth.unsettled),
        *((cash.currency, cash.amount, ZERO) for cash in gateway.options.foreign_cash),
        (_TOTAL, worth.cash, worth.unsettled),
    ]
    return Answer(
        {
            "accountType": "", "status": "", "balance": money(worth.cash), "SMA": money(worth.funds),
            "buyingPower": money(worth.funds), "availableFunds": money(worth.funds),
            "excessLiquidity": money(worth.excess), "netLiquidationValue": money(worth.nav),
            "equityWithLoanValue": money(worth.cash + worth.stock), "regTLoan": 0.0,
            "securitiesGVP": money(worth.gross), "totalCashValue": money(worth.cash), "accruedInterest": 0.0,
            "regTMargin": money(worth.margin), "initialMargin": money(worth.margin),
            "maintenanceMargin": money(worth.margin),
            "cashBalances": [
                {"currency": currency, "balance": money(cash), "settledCash": money(cash - unsettled)}
                for currency, cash, unsettled in balances
            ],
        }
    )  # fmt: skip


def available_funds(call: Call) -> Answer:
    """The same part by part, as text."""
    check_account(call)
    worth = _worth(call.gateway)
    funds, excess, nothing = usd_text(worth.funds), usd_text(worth.excess), usd_text(ZERO)
    part = {
        "current_available": funds, "current_excess": excess, "Prdctd Pst-xpry Excss": nothing, "SMA": funds,
        "Lk Ahd Avlbl Fnds": funds, "Lk Ahd Excss Lqdty": excess, "overnight_available": funds,
        "overnight_excess": excess, "leverage": f"{worth.gross / worth.nav:.2f}" if worth.nav else "n/a",
    }  # fmt: skip
    whole = part | {
        "buying_power": funds, "leverage": "n/a", "Lk Ahd Nxt Chng": "@ 16:00:00", "day_trades_left": "Unlimited",
    }  # fmt: skip
    return Answer({"total": whole, "securities": part})


def balances(call: Call) -> Answer:
    """What the account consists of, as text."""
    check_account(call)
    worth = _worth(call.gateway)
    equity = usd_text(worth.cash + worth.stock)
    part = {
        "net_liquidation": usd_text(worth.nav), "equity_with_loan": equity,
        "Prvs Dy Eqty Wth Ln Vl": usd_text(_yesterday(call.gateway)), "Rg T Eqty Wth Ln Vl": equity,
        "sec_gross_pos_val": usd_text(worth.gross), "cash": usd_text(worth.cash), "MTD Interest": usd_text(ZERO),
        "Pndng Dbt Crd Chrgs": usd_text(ZERO),
    }  # fmt: skip
    return Answer({"total": part | {"Nt Lqdtn Uncrtnty": usd_text(ZERO)}, "securities": part})


def margins(call: Call) -> Answer:
    """What the positions bind, as text."""
    check_account(call)
    margin = usd_text(_worth(call.gateway).margin)
    bound = (
        "RegT Margin", "current_initial", "current_maint", "projected_liquidity_inital_margin",
        "Prjctd Lk Ahd Mntnnc Mrgn", "projected_overnight_initial_margin", "Prjctd Ovrnght Mntnnc Mrgn",
    )  # fmt: skip
    part = dict.fromkeys(bound, margin) | {"Prdctd Pst-xpry Mrgn @ Opn": usd_text(ZERO)}
    return Answer({"total": part, "securities": part})


def market_value(call: Call) -> Answer:
    """What is held in each currency, as text without the currency."""
    check_account(call)
    gateway = call.gateway
    worth = _worth(gateway)
    usd = worth.usd_cash + worth.dividends + worth.stock
    answer = {
        cash.currency: _held_in(cash.amount, cash.amount, None, rate=cash.rate) for cash in gateway.options.foreign_cash
    }
    answer["USD"] = _held_in(worth.usd_cash, usd, worth)
    answer[_TOTAL] = _held_in(worth.cash, worth.nav, worth)
    return Answer(answer)


def _held_in(cash: Decimal, nav: Decimal, worth: _Worth | None, rate: Decimal = Decimal("1.00")) -> dict[str, str]:
    never = (
        "MTD Interest", "options", "futures", "future_options", "funds", "mutual_funds", "money_market", "bonds",
        "Govt Bonds", "t_bills", "warrants", "issuer_option", "commodity", "Notional CFD", "cfd", "Cryptocurrency",
    )  # fmt: skip
    return dict.fromkeys(never, "0") | {
        "total_cash": grouped(cash), "settled_cash": grouped(cash - worth.unsettled if worth else cash),
        "stock": grouped(worth.stock if worth else ZERO),
        "dividends_receivable": grouped(worth.dividends if worth else ZERO), "net_liquidation": grouped(nav),
        "unrealized_pnl": grouped(worth.unrealized if worth else ZERO),
        "realized_pnl": grouped(worth.realized if worth else ZERO), "Exchange Rate": str(rate),
    }  # fmt: skip
