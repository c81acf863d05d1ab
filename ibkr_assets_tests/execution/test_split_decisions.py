"""Decisions over a split: prices are compared in the shares of the session, and none from after it is known."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.signal import Direction
from ibkr_assets.execution.decisions import SessionDecisions, decide_sessions
from ibkr_assets.market.adjustment import ActionKind, CorporateAction
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import StrategyRecord
from ibkr_assets_tests.fakes.bars import MemoryBars
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
AAPL = INSTRUMENTS["AAPL"]
SPLIT = CorporateAction(CONIDS["AAPL"], date(2005, 2, 28), ActionKind.SPLIT, Decimal(2))
RECORD = StrategyRecord(
    "cross", 1, "sma_cross", {"fast": 5, "slow": 30}, ("AAPL",), "1d", "after_close", "percent:95", {}, None,
    is_enabled=True,
)  # fmt: skip


@pytest.fixture
def store() -> MemoryBars:
    store = MemoryBars()
    store.save_instruments([AAPL])
    bars = real_bars("AAPL", start=date(2004, 9, 1), end=date(2005, 3, 31))
    store.save_bars(bars, BarSize.DAY, source="tape", known_from=datetime(2005, 4, 1, tzinfo=UTC))
    start, end = bars["opened_at"].min(), bars["opened_at"].max()
    stored = store.load_bars([AAPL.conid], BarSize.DAY, start, end + (end - start))
    store.save_verdicts(BarSize.DAY, stored, stored.head(0).assign(reason=""))
    return store


def decide(store: MemoryBars, first: date, last: date) -> SessionDecisions:
    return decide_sessions(
        store, NYSE, strategies=[RECORD], instruments=[AAPL], sessions=NYSE.sessions(first, last), window_sessions=90
    )


def test_a_rising_share_stays_long_over_its_split(store: MemoryBars) -> None:
    fell = decide(store, SPLIT.day, date(2005, 3, 4)).signals
    assert fell[-1].direction is Direction.FLAT  # as if it had lost half of its worth
    store.actions.append(SPLIT)
    kept = decide(store, SPLIT.day, date(2005, 3, 4))
    assert {signal.direction for signal in kept.signals} == {Direction.LONG}
    prices = real_bars("AAPL", start=SPLIT.day, end=date(2005, 3, 4))["close"]
    assert [float(signal.reference_price) for signal in kept.signals] == prices.tolist()
    assert {basis.actions for basis in kept.bases.values()} == {(("2005-02-28", "split", "2"),)}
    assert {s.input_digest for s in kept.signals}.isdisjoint(s.input_digest for s in fell)


def test_before_its_day_a_split_is_not_known(store: MemoryBars) -> None:
    before = decide(store, date(2005, 2, 22), date(2005, 2, 25))
    store.actions.append(SPLIT)
    assert decide(store, date(2005, 2, 22), date(2005, 2, 25)) == before
    assert {basis.actions for basis in before.bases.values()} == {()}


def test_long_after_a_split_the_digest_is_that_of_the_bars_alone(store: MemoryBars) -> None:
    late = decide(store, date(2005, 1, 14), date(2005, 1, 14))
    store.actions.append(CorporateAction(AAPL.conid, date(2004, 9, 8), ActionKind.SPLIT, Decimal(3)))
    again = decide(store, date(2005, 1, 14), date(2005, 1, 14))
    assert again.signals == late.signals
