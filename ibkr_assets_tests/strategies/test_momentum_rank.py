"""The ranking over a universe: its rule written out, no look-ahead, and the same today as over the past."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest

from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest, directions_of
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.signal import Direction
from ibkr_assets.features.compute import compute_features
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.strategies.decide import Decisions, decide_signals
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
BARS = real_bars(*SYMBOLS, start=date(2012, 1, 3), end=date(2012, 12, 31))
SIGNS = {Direction.LONG: 1, Direction.FLAT: 0, Direction.SHORT: -1}
CASES: list[dict[str, Any]] = [
    {"lookback": 20, "hold": 1},
    {"lookback": 10, "skip": 5, "hold": 2},
    {"lookback": 5, "hold": 1, "short": True},
]


def rule(lookback: int, hold: int, skip: int = 0, short: bool = False) -> dict[str, list[int]]:
    """By symbol, bar by bar, with plain lists."""
    closes = {symbol: own["close"].tolist() for symbol, own in BARS.groupby("symbol")}
    conids = {symbol: INSTRUMENTS[symbol].conid for symbol in closes}
    wanted: dict[str, list[int]] = {symbol: [] for symbol in closes}
    for t in range(len(closes["IBM"])):
        first = t - skip - lookback
        if first < 0:
            for stands in wanted.values():
                stands.append(0)
            continue
        rises = {symbol: close[t - skip] / close[first] - 1 for symbol, close in closes.items()}
        best = sorted(rises, key=lambda symbol: (-rises[symbol], conids[symbol]))
        for symbol, stands in wanted.items():
            is_last = best.index(symbol) >= len(best) - hold
            stands.append(1 if best.index(symbol) < hold else -1 if short and is_last else 0)
    return wanted


def directions(bars: pd.DataFrame, params: dict[str, Any]) -> dict[str, list[int]]:
    tapes = tapes_of(bars)
    found = directions_of(build_strategy("momentum_rank", params), tapes)
    return {tape.symbol: wanted.tolist() for tape, wanted in zip(tapes, found, strict=True)}


def decide(
    params: dict[str, Any], bars: pd.DataFrame, day: date, *symbols: str, absent: tuple[str, ...] = ()
) -> Decisions:
    return decide_signals(
        "rank", 1, build_strategy("momentum_rank", params), bars=bars.assign(version=1, row_sha="x"),
        features=compute_features(bars), session=NYSE.session(day), instruments=[INSTRUMENTS[s] for s in symbols],
        absent=absent,
    )  # fmt: skip


@pytest.mark.parametrize("params", CASES)
def test_it_is_its_rule_written_out(params: dict[str, Any]) -> None:
    got = directions(BARS, params)
    assert got == rule(**params)
    assert len({tuple(stands) for stands in zip(*got.values(), strict=True)}) > 3, "too few rankings to prove anything"


@pytest.mark.parametrize("params", CASES)
def test_no_direction_depends_on_a_later_bar_of_any_symbol(params: dict[str, Any]) -> None:
    whole = directions(BARS, params)
    days = sorted(set(BARS["opened_at"]))
    for end in range(5, len(days), 37):
        known = BARS[BARS["opened_at"] <= days[end]].reset_index(drop=True)
        assert directions(known, params) == {symbol: stands[: end + 1] for symbol, stands in whole.items()}


@pytest.mark.parametrize("params", CASES)
def test_today_is_decided_as_the_past_was(params: dict[str, Any]) -> None:
    whole = directions(BARS, params)
    days = [opened_at.date() for opened_at in sorted(set(BARS["opened_at"]))]
    for place in range(40, len(days), 29):
        decided = decide(params, BARS, days[place], *SYMBOLS)
        got = {signal.symbol: SIGNS[signal.direction] for signal in decided}
        assert got == {symbol: stands[place] for symbol, stands in whole.items()}
        assert decided.signals[0].reason.startswith("rank ")


def test_without_one_of_the_universe_nothing_is_decided() -> None:
    day = date(2012, 11, 23)
    lost = BARS[~((BARS["symbol"] == "IBM") & (BARS["opened_at"].dt.date == day))].reset_index(drop=True)
    decided = decide(CASES[0], lost, day, *SYMBOLS)
    assert len(decided) == 0
    assert {skipped.reason for skipped in decided.skipped} == {
        "compares its whole universe, and IBM cannot be compared",
        "no validated bar of session 2012-11-23",
    }
    narrowed = decide(CASES[0], BARS, day, "AAPL", "GOOG", absent=("IBM", "MSFT"))
    assert [s.reason for s in narrowed.skipped] == ["compares its whole universe, and IBM, MSFT cannot be compared"] * 2


def test_a_day_without_one_symbol_changes_nothing_that_is_held() -> None:
    day = date(2012, 11, 23)
    lost = BARS[~((BARS["symbol"] == "IBM") & (BARS["opened_at"].dt.date == day))].reset_index(drop=True)
    params = {"lookback": 1, "hold": 1}
    place = sorted(set(BARS["opened_at"])).index(pd.Timestamp(NYSE.session(day).opens_at))
    assert directions(lost, params)["AAPL"][place] == directions(BARS, params)["AAPL"][place - 1]


def test_a_decision_computed_again_from_its_record_needs_no_other_symbol() -> None:
    day = date(2012, 11, 23)
    decided = decide(CASES[0], BARS, day, *SYMBOLS)
    signal, basis = decided.signals[2], decided.bases[2]
    own = BARS[BARS["conid"] == signal.conid]
    shown = own[own["opened_at"].dt.date <= day].tail(len(basis.bars)).reset_index(drop=True)
    again = decide_signals(
        "rank", 1, build_strategy("momentum_rank", CASES[0]), bars=shown.assign(version=1, row_sha="x"),
        features=shown[["conid", "opened_at"]].assign(
            **{name: pd.Series(values, dtype="float64") for name, values in basis.shown.items()}
        ),
        session=NYSE.session(day), instruments=[INSTRUMENTS[signal.symbol]],
    )  # fmt: skip
    assert again.signals == (replace(signal, input_digest=again.signals[0].input_digest),)
    assert again.bases[0].numbers == basis.numbers


def test_every_signal_names_the_bars_of_the_whole_universe_and_changes_with_each_of_them() -> None:
    day = date(2012, 11, 23)
    decided = decide(CASES[0], BARS, day, *SYMBOLS)
    shown = {
        symbol: own[own["opened_at"].dt.date <= day].tail(CASES[0]["lookback"] + 1)
        for symbol, own in BARS.groupby("symbol")
    }
    lines = [
        f"{bar.conid}|{bar.opened_at.isoformat()}|1|x"
        for symbol in sorted(SYMBOLS, key=lambda symbol: INSTRUMENTS[symbol].conid)
        for bar in shown[symbol].itertuples()
    ]
    name = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    for signal, basis in zip(decided.signals, decided.bases, strict=True):
        assert basis.comparison is not None
        assert basis.comparison.sha256 == name
        assert basis.comparison.columns == ("momentum_rank", "momentum_below")
        assert basis.comparison.bars[signal.conid] == basis.bars
        own = [line for line in lines if line.startswith(f"{signal.conid}|")]
        text = "\n".join([*own, f"comparison|{name}"])
        assert signal.input_digest == hashlib.sha256(text.encode()).hexdigest()

    first = BARS.index[(BARS["symbol"] == "MSFT") & (BARS["opened_at"] == shown["MSFT"]["opened_at"].iloc[0])]
    for rows, is_other in ((first, True), (first - 1, False)):
        changed = BARS.assign(volume=BARS["volume"].where(~BARS.index.isin(rows), 1.0))
        versions = pd.Series(1, index=BARS.index).where(~BARS.index.isin(rows), 2)
        again = decide_signals(
            "rank", 1, build_strategy("momentum_rank", CASES[0]), bars=changed.assign(version=versions, row_sha="x"),
            features=compute_features(BARS), session=NYSE.session(day), instruments=[INSTRUMENTS[s] for s in SYMBOLS],
        )  # fmt: skip
        digests = [signal.input_digest for signal in decided]
        assert ([signal.input_digest for signal in again] != digests) is is_other
        assert [signal.direction for signal in again] == [signal.direction for signal in decided]


def test_a_universe_that_leaves_no_choice_is_refused() -> None:
    for params in ({"hold": 4}, {"hold": 3, "short": True}):
        with pytest.raises(ConfigurationError, match=r"hold \d: the universe has 4 symbols"):
            directions(BARS, params)


def test_a_backtest_holds_as_many_as_it_should(make_terms: Callable[[], Terms]) -> None:
    result = backtest(build_strategy("momentum_rank", {"lookback": 10, "hold": 2}), tapes_of(BARS), make_terms())
    assert len(result.open_positions) == 2
    assert len(result.trades) > 10


@pytest.fixture
def make_terms() -> Callable[[], Terms]:
    return lambda: Terms(
        100_000, parse_size("fixed:10"), parse_commission("none"), parse_slippage("none"), may_borrow=True
    )
