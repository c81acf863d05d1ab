"""One kind of damage at a time on real bars, and what must hold for any damage."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import DataError, InputError
from ibkr_assets.market.batch import PRICES
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.market.reasons import CODES, DESCRIPTIONS, Reason, words_of
from ibkr_assets.market.validation import Verdict, find_reasons, judge
from ibkr_assets_tests.fakes.tape import FIRST_DAY, INSTRUMENTS, LAST_DAY, real_bars

NYSE = exchange_calendar("XNYS")
FIRST, LAST = date(2012, 10, 1), date(2012, 12, 31)
SESSIONS = NYSE.sessions(FIRST, LAST)
INF, NAN = float("inf"), float("nan")


def good_bars(*symbols: str) -> pd.DataFrame:
    return real_bars(*(symbols or ("IBM",)), start=FIRST, end=LAST)


def verdict(bars: pd.DataFrame, *symbols: str) -> Verdict:
    instruments = [INSTRUMENTS[s] for s in (symbols or ("IBM",))]
    return judge(bars, calendar=NYSE, sessions=SESSIONS, instruments=instruments)


def reasons_of(bars: pd.DataFrame) -> list[str]:
    return verdict(bars).quarantined["reason"].tolist()


def test_a_quarter_of_real_bars_is_accepted_whole() -> None:
    bars = good_bars("AAPL", "FB", "GOOG", "IBM", "MSFT")
    got = verdict(bars, "AAPL", "FB", "GOOG", "IBM", "MSFT")
    pd.testing.assert_frame_equal(got.accepted, bars)
    assert got.quarantined.empty
    assert got.missing == []


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("open", NAN, "missing_field"),
        ("volume", NAN, "missing_field"),
        ("opened_at", pd.NaT, "missing_field"),
        ("high", INF, "not_finite"),
        ("low", -INF, "not_finite"),
        ("volume", INF, "not_finite"),
        ("low", 0.0, "not_positive"),
        ("close", -195.0, "not_positive"),
        ("volume", -1.0, "negative_volume"),
        ("high", 1.0, "ohlc_order"),
        ("low", 10_000.0, "ohlc_order"),
        ("close", 10_000.0, "ohlc_order"),
        ("volume", 0.0, "zero_volume_move"),
    ],
)
def test_a_damaged_field_sends_that_bar_alone_into_quarantine(column: str, value: object, reason: str) -> None:
    bars = good_bars()
    bars.loc[30, column] = value
    got = verdict(bars)
    assert got.quarantined["reason"].tolist() == [reason]
    pd.testing.assert_frame_equal(got.quarantined.drop(columns="reason"), bars.loc[[30]].reset_index(drop=True))
    pd.testing.assert_frame_equal(got.accepted, bars.drop(index=30).reset_index(drop=True))


@pytest.mark.parametrize(
    "moment",
    [
        "2012-11-14 14:31",  # a minute late
        "2012-11-14 13:30",  # summer time kept too long
        "2012-11-14 00:00",  # midnight
        "2012-11-17 14:30",  # a Saturday
        "2012-10-29 13:30",  # closed by the storm
    ],
)
def test_a_bar_that_starts_at_no_opening_is_outside_the_session(moment: str) -> None:
    bars = good_bars()
    stray = bars.tail(1).assign(opened_at=pd.Timestamp(moment, tz="UTC").as_unit("us"))
    bars = pd.concat([bars, stray]).sort_values("opened_at").reset_index(drop=True)
    got = verdict(bars)
    assert got.quarantined["reason"].tolist() == ["outside_session"]
    assert got.missing == []


def test_an_equal_copy_is_quarantined_and_the_first_stays() -> None:
    bars = good_bars()
    got = verdict(pd.concat([bars.head(11), bars.iloc[[10]], bars.iloc[11:]], ignore_index=True))
    assert got.quarantined["reason"].tolist() == ["duplicate_in_fetch"]
    pd.testing.assert_frame_equal(got.accepted, bars)


def test_copies_that_differ_are_all_quarantined() -> None:
    bars = good_bars()
    other = bars.iloc[[10]].assign(close=bars["low"][10])
    got = verdict(pd.concat([bars.head(11), other, bars.iloc[11:]], ignore_index=True))
    assert got.quarantined["reason"].tolist() == ["duplicate_in_fetch"] * 2
    assert len(got.accepted) == len(bars) - 1
    assert got.missing == []


def test_a_bar_that_came_after_a_later_one_is_out_of_order() -> None:
    bars = good_bars()
    swapped = bars.iloc[[*range(10), 11, 10, *range(12, len(bars))]].reset_index(drop=True)
    got = verdict(swapped)
    assert got.quarantined["reason"].tolist() == ["out_of_order"]
    assert got.quarantined["opened_at"].tolist() == [bars["opened_at"][10]]


def test_instruments_one_after_the_other_are_in_order() -> None:
    bars = pd.concat([good_bars("MSFT"), good_bars("IBM")], ignore_index=True)
    assert verdict(bars, "MSFT", "IBM").quarantined.empty


def test_a_bar_without_trades_whose_price_stands_still_is_fine() -> None:
    bars = good_bars()
    bars.loc[30, [*PRICES, "volume"]] = [bars["close"][29]] * 4 + [0.0]
    assert verdict(bars).quarantined.empty


def test_a_price_that_moves_from_bar_to_bar_without_trades_is_quarantined() -> None:
    bars = good_bars()
    bars.loc[30, [*PRICES, "volume"]] = [bars["close"][29] + 1] * 4 + [0.0]
    assert reasons_of(bars) == ["zero_volume_move"]


def test_a_bad_tick_is_a_jump_and_the_good_bar_after_it_is_not() -> None:
    bars = good_bars()
    bars.loc[30, ["open", "high", "low", "close"]] *= 1.4
    got = verdict(bars)
    assert got.quarantined["reason"].tolist() == ["too_big_jump"]
    assert got.quarantined["opened_at"].tolist() == [bars["opened_at"][30]]


def test_a_crash_is_held_once_and_confirmed_by_the_session_that_stays_there() -> None:
    bars = good_bars()
    bars.loc[30:, ["open", "high", "low", "close"]] *= 0.6
    got = verdict(bars)
    assert got.quarantined["opened_at"].tolist() == [bars["opened_at"][30]]
    assert got.quarantined["reason"].tolist() == ["too_big_jump"]


def test_a_big_move_of_an_instrument_that_always_moves_so_is_no_jump() -> None:
    bars = good_bars()
    wild = 100 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.3, len(bars))))
    for name in PRICES:
        bars[name] = wild
    assert (abs(wild[30:] / wild[29:-1] - 1) > 0.25).sum() > 5
    assert not (verdict(bars).quarantined["opened_at"] > bars["opened_at"][25]).any()


def test_a_big_move_without_history_cannot_be_called_usual() -> None:
    bars = good_bars()
    bars.loc[5:, ["open", "high", "low", "close"]] *= 1.3
    assert reasons_of(bars) == ["too_big_jump"]


@pytest.mark.parametrize(("factor", "name"), [(1 / 2, "2:1"), (1 / 3, "3:1"), (2 / 3, "3:2"), (10.0, "1:10")])
def test_a_made_up_split_is_suspected_on_its_day_only(factor: float, name: str) -> None:
    bars = good_bars()
    bars.loc[30:, ["open", "high", "low", "close"]] *= factor
    got = verdict(bars)
    assert got.quarantined["reason"].tolist() == ["split_suspect"], name
    assert got.quarantined["opened_at"].tolist() == [bars["opened_at"][30]]


def test_on_thirteen_years_of_tape_the_three_splits_are_suspected_and_the_crash_is_not() -> None:
    """AAPL 2:1 on 2000-06-21 and 2005-02-28, MSFT 2:1 on 2003-02-18; AAPL fell 52 % on its warning of 2000-09-28."""
    got = judge(
        real_bars(),
        calendar=NYSE,
        sessions=NYSE.sessions(FIRST_DAY, LAST_DAY),
        instruments=list(INSTRUMENTS.values()),
    )
    found = {(row.symbol, row.opened_at.date().isoformat(), row.reason) for row in got.quarantined.itertuples()}
    assert found == {
        ("AAPL", "2000-06-21", "split_suspect"),
        ("AAPL", "2005-02-28", "split_suspect"),
        ("MSFT", "2003-02-18", "split_suspect"),
        ("AAPL", "2000-09-29", "too_big_jump"),
    }
    assert min(day for symbol, day in got.missing if symbol == "FB") == FIRST_DAY
    assert max(day for symbol, day in got.missing) == date(2012, 5, 17)


def minutes(closes: list[float], volumes: list[float]) -> pd.DataFrame:
    """Bars of one session from its opening on, each of one price."""
    opens = pd.date_range(SESSIONS[0].opens_at, periods=len(closes), freq="1min", tz="UTC")
    prices = dict.fromkeys(PRICES, closes)
    return pd.DataFrame({"conid": 8314, "symbol": "IBM", "opened_at": opens, **prices, "volume": volumes})


def stuck_rows(bars: pd.DataFrame, size: BarSize = BarSize.MINUTE) -> list[int]:
    found = find_reasons(bars, is_judged=np.ones(len(bars), dtype=bool), calendar=NYSE, size=size)
    return np.flatnonzero(found == CODES[Reason.STUCK]).tolist()


MOVING = [200.0 + number % 3 for number in range(30)]


@pytest.mark.parametrize(
    ("repeats", "volume", "rows"),
    [(19, 100.0, []), (20, 100.0, [49]), (23, 100.0, [49, 50, 51, 52]), (20, 0.0, [49]), (19, 0.0, [])],
)
def test_from_the_twentieth_equal_bar_of_an_instrument_that_trades_on_a_feed_is_stuck(
    repeats: int, volume: float, rows: list[int]
) -> None:
    assert stuck_rows(minutes([*MOVING, *[210.0] * repeats], [50.0] * 29 + [51.0] + [volume] * repeats)) == rows


def test_bars_that_nobody_trades_may_stand_still_and_so_may_days_of_a_suspension() -> None:
    assert stuck_rows(minutes([200.0] * 60, [0.0] * 60)) == []
    days = real_bars("IBM", start=FIRST, end=LAST)
    days.loc[30:, list(PRICES)] = float(days.loc[29, "close"])
    days.loc[30:, "volume"] = 0.0
    assert stuck_rows(days, BarSize.DAY) == []
    days.loc[30:, "volume"] = 1e6
    assert stuck_rows(days, BarSize.DAY) == list(range(49, len(days)))


def test_equal_bars_of_two_instruments_are_not_one_run_and_another_high_breaks_one() -> None:
    one, other = minutes([200.0] * 15, [9.0] * 15), minutes([200.0] * 15, [9.0] * 15).assign(conid=9000)
    assert stuck_rows(pd.concat([one, other], ignore_index=True)) == []
    run = minutes([200.0] * 30, [9.0] * 30)
    run.loc[12, "high"] = 200.5
    assert stuck_rows(run) == []


def test_a_bar_that_has_not_begun_is_of_the_future_and_one_that_is_not_over_is_partial() -> None:
    bars = good_bars()
    now = SESSIONS[-2].closes_at - pd.Timedelta(seconds=1)
    got = judge(bars, calendar=NYSE, sessions=SESSIONS, instruments=[INSTRUMENTS["IBM"]], now=now)
    assert got.quarantined["reason"].tolist() == ["partial_bar", "future"]
    after = judge(bars, calendar=NYSE, sessions=SESSIONS, instruments=[INSTRUMENTS["IBM"]], now=SESSIONS[-1].closes_at)
    assert after.quarantined.empty


def test_what_is_known_of_a_bar_beside_its_values_goes_before_what_they_show_and_says_nothing_is_usual() -> None:
    bars = good_bars()
    bars.loc[30, "close"] = 10_000.0
    evidence = np.zeros(len(bars), dtype=np.int8)
    evidence[[30, 31]] = CODES[Reason.CHECKSUM]
    got = judge(bars, calendar=NYSE, sessions=SESSIONS, instruments=[INSTRUMENTS["IBM"]], evidence=evidence)
    assert got.quarantined["reason"].tolist() == ["checksum", "checksum"]
    assert words_of(evidence).count("checksum") == 2


def test_a_session_without_a_bar_is_missing_and_a_quarantined_bar_is_not() -> None:
    bars = good_bars("IBM", "MSFT")
    is_ibm = bars["symbol"] == "IBM"
    gone = bars[~(is_ibm & (bars["opened_at"].dt.date == date(2012, 11, 23)))].reset_index(drop=True)
    gone.loc[gone.index[-1], "high"] = 1.0
    got = verdict(gone, "IBM", "MSFT")
    assert got.missing == [("IBM", date(2012, 11, 23))]
    assert len(got.quarantined) == 1


def test_an_instrument_without_any_bar_misses_every_session() -> None:
    got = verdict(good_bars("IBM"), "IBM", "MSFT")
    assert got.missing == [("MSFT", s.day) for s in SESSIONS]


def test_bars_of_other_sessions_are_context_and_in_no_frame() -> None:
    bars = good_bars()
    broken = bars.copy()
    broken.loc[5, "high"] = 1.0
    got = judge(broken, calendar=NYSE, sessions=SESSIONS[30:31], instruments=[INSTRUMENTS["IBM"]])
    pd.testing.assert_frame_equal(got.accepted, bars.iloc[[30]].reset_index(drop=True))
    assert got.quarantined.empty


def test_the_columns_of_the_store_come_back_with_the_bars() -> None:
    bars = good_bars().assign(version=3, row_sha="ab")
    got = verdict(bars)
    assert list(got.accepted.columns) == list(bars.columns)
    assert list(got.quarantined.columns) == [*bars.columns, "reason"]


def test_no_bars_at_all_is_a_verdict_too() -> None:
    got = verdict(good_bars().head(0))
    assert got.accepted.empty
    assert len(got.missing) == len(SESSIONS)


@pytest.mark.parametrize("column", ["open", "volume", "symbol", "opened_at"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(DataError, match=f"'{column}': missing"):
        verdict(good_bars().drop(columns=column))


def test_text_for_a_price_a_naive_time_and_a_strange_conid_are_refused() -> None:
    bars = good_bars()
    with pytest.raises(DataError, match="'close': must be numeric"):
        verdict(bars.assign(close=bars["close"].astype(str)))
    with pytest.raises(DataError, match="'opened_at': must be aware"):
        verdict(bars.assign(opened_at=bars["opened_at"].dt.tz_localize(None)))
    with pytest.raises(DataError, match="272093"):
        verdict(good_bars("MSFT"), "IBM")


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(InputError, match="sessions"):
        judge(good_bars(), calendar=NYSE, sessions=[], instruments=[INSTRUMENTS["IBM"]])


#: The list as it was agreed on, and the one code for rows of files that it has not.
AGREED = """not_json missing_field not_finite not_positive ohlc_order negative_volume off_grid future before_listing
outside_session duplicate_in_fetch out_of_order too_big_jump zero_volume_move stuck split_suspect currency_changed
conid_mismatch symbol_mismatch partial_bar cut_at_1000 tz_ambiguous delayed_feed checksum unreadable"""


def test_the_list_of_reasons_is_closed_and_every_one_is_described() -> None:
    assert {reason.value for reason in Reason} == set(AGREED.split())
    assert set(DESCRIPTIONS) == set(Reason)
    assert words_of(np.array([0, *CODES.values()], dtype=np.int8)) == ["", *Reason]


DAMAGE = st.tuples(
    st.integers(0, 60),
    st.sampled_from([*PRICES, "volume"]),
    st.one_of(st.sampled_from([NAN, INF, -INF, 0.0, -1.0]), st.floats(0.01, 1e4)),
)


@given(st.lists(DAMAGE, max_size=6), st.lists(st.integers(0, 60), max_size=3), st.lists(st.integers(0, 60), max_size=3))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_and_nothing_wrong_is_accepted(
    damage: list[tuple[int, str, float]], repeated: list[int], dropped: list[int]
) -> None:
    bars = good_bars().drop(index=sorted(set(dropped)))
    for row, column, value in damage:
        if row in bars.index:
            bars.loc[row, column] = value
    bars = pd.concat([bars, bars.loc[[r for r in repeated if r in bars.index]]], ignore_index=True)
    got = verdict(bars)

    both = pd.concat([got.accepted, got.quarantined.drop(columns="reason")])
    key = ["opened_at", *PRICES, "volume"]
    pd.testing.assert_frame_equal(
        both.sort_values(key).reset_index(drop=True)[key], bars.sort_values(key).reset_index(drop=True)[key]
    )
    assert set(got.quarantined["reason"]) <= {str(r) for r in Reason}
    for bar in got.accepted.itertuples():
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high < INF
        assert 0 <= bar.volume < INF
    assert got.accepted["opened_at"].is_unique
    assert got.accepted["opened_at"].is_monotonic_increasing
    assert {day for _, day in got.missing} == {SESSIONS[r].day for r in set(dropped)}


@given(st.lists(DAMAGE, max_size=4), st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_a_verdict_does_not_look_ahead(damage: list[tuple[int, str, float]], cut: int) -> None:
    bars = good_bars()
    for row, column, value in damage:
        bars.loc[row, column] = value
    wanted = SESSIONS[:cut]
    whole = judge(bars, calendar=NYSE, sessions=wanted, instruments=[INSTRUMENTS["IBM"]])
    early = judge(bars.head(cut), calendar=NYSE, sessions=wanted, instruments=[INSTRUMENTS["IBM"]])
    pd.testing.assert_frame_equal(whole.quarantined, early.quarantined)
    pd.testing.assert_frame_equal(whole.accepted, early.accepted)
