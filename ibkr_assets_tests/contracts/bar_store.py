"""What every bar store keeps, whatever it is made of.

Derive a test class from `BarStoreContract` and give it a fixture `store` that returns an empty one.
"""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.ports import BarsSaved, BarStore
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

DAY = BarSize.DAY
START, END = datetime(2012, 10, 1, tzinfo=UTC), datetime(2012, 10, 13, tzinfo=UTC)
EVENING = datetime(2012, 10, 13, 1, tzinfo=UTC)
PRICES = ["open", "high", "low", "close", "volume"]


def bars_of(*symbols: str) -> pd.DataFrame:
    """Two weeks of real bars."""
    return real_bars(*symbols, start=date(2012, 10, 1), end=date(2012, 10, 12))


def load(store: BarStore, *symbols: str, is_validated: bool = False) -> pd.DataFrame:
    """All that is stored of the two weeks."""
    return store.load_bars([CONIDS[s] for s in symbols], DAY, START, END, is_validated=is_validated)


def with_reason(bars: pd.DataFrame, reason: str) -> pd.DataFrame:
    """The same bars with a column `reason`."""
    return bars.assign(reason=reason)


class BarStoreContract:
    """The tests. `store` must be empty and is used by one test only."""

    @pytest.fixture
    def store(self) -> BarStore:
        """Override me."""
        raise NotImplementedError

    @pytest.fixture
    def filled(self, store: BarStore) -> BarStore:
        """A store with two weeks of IBM and MSFT."""
        store.save_instruments([INSTRUMENTS["IBM"], INSTRUMENTS["MSFT"]])
        saved = store.save_bars(bars_of("IBM", "MSFT"), DAY, source="tape", known_from=EVENING)
        assert saved == BarsSaved(inserted=20, revised=0, unchanged=0)
        return store

    def test_instruments_come_back_by_symbol_and_equal(self, store: BarStore) -> None:
        store.save_instruments([INSTRUMENTS["MSFT"], INSTRUMENTS["AAPL"]])
        store.save_instruments([INSTRUMENTS["AAPL"]])
        assert store.instruments() == [INSTRUMENTS["AAPL"], INSTRUMENTS["MSFT"]]
        assert store.instruments(["MSFT"]) == [INSTRUMENTS["MSFT"]]
        assert store.instruments(["MSFT", "AAPL"]) == [INSTRUMENTS["AAPL"], INSTRUMENTS["MSFT"]]

    def test_an_instrument_is_replaced_by_its_newer_description(self, store: BarStore) -> None:
        store.save_instruments([INSTRUMENTS["IBM"]])
        moved = Instrument(CONIDS["IBM"], "IBM", "NYSE")
        store.save_instruments([moved])
        assert store.instruments() == [moved]

    def test_an_unknown_symbol_is_refused_by_name(self, store: BarStore) -> None:
        store.save_instruments([INSTRUMENTS["IBM"]])
        with pytest.raises(InputError, match="XYZ"):
            store.instruments(["IBM", "XYZ"])

    def test_an_empty_store_gives_an_empty_frame_with_all_columns(self, store: BarStore) -> None:
        frame = load(store, "IBM")
        assert frame.empty
        assert list(frame.columns) == [*BAR_COLUMNS, "version", "row_sha"]

    def test_bars_come_back_bit_for_bit_ordered_by_conid_and_time(self, filled: BarStore) -> None:
        frame = load(filled, "MSFT", "IBM")
        pd.testing.assert_frame_equal(frame[list(BAR_COLUMNS)], bars_of("IBM", "MSFT"), check_dtype=False)
        assert list(frame["conid"]) == sorted(frame["conid"])
        assert isinstance(frame["opened_at"].dtype, pd.DatetimeTZDtype)
        assert str(frame["opened_at"].dt.tz) == "UTC"
        assert all(frame[name].dtype == "float64" for name in PRICES)
        assert all(frame["version"] == 1)

    def test_without_versions_the_same_bars_come_as_values_alone(self, filled: BarStore) -> None:
        whole = load(filled, "IBM", "MSFT")
        bare = filled.load_bars([CONIDS["IBM"], CONIDS["MSFT"]], DAY, START, END, has_versions=False)
        pd.testing.assert_frame_equal(bare, whole[list(BAR_COLUMNS)])

    def test_a_row_sha_is_hex_and_differs_where_the_values_differ(self, filled: BarStore) -> None:
        shas = load(filled, "IBM", "MSFT")["row_sha"]
        assert shas.is_unique
        assert all(len(bytes.fromhex(sha)) >= 16 for sha in shas)

    def test_the_end_of_a_range_is_not_part_of_it(self, filled: BarStore) -> None:
        bars = bars_of("IBM")
        first, last = (t.to_pydatetime() for t in (bars["opened_at"].iloc[0], bars["opened_at"].iloc[-1]))
        assert len(filled.load_bars([CONIDS["IBM"]], DAY, first, last)) == 9
        assert len(filled.load_bars([CONIDS["IBM"]], DAY, first, last + timedelta(microseconds=1))) == 10

    def test_only_the_conids_asked_for_come_back(self, filled: BarStore) -> None:
        assert set(load(filled, "IBM")["symbol"]) == {"IBM"}
        assert filled.load_bars([], DAY, START, END).empty

    def test_daily_bars_are_not_minute_bars(self, filled: BarStore) -> None:
        assert filled.load_bars([CONIDS["IBM"]], BarSize.MINUTE, START, END).empty

    def test_the_same_bars_again_write_nothing(self, filled: BarStore) -> None:
        before = load(filled, "IBM", "MSFT")
        again = filled.save_bars(bars_of("IBM", "MSFT"), DAY, source="tape", known_from=EVENING + timedelta(days=1))
        assert again == BarsSaved(inserted=0, revised=0, unchanged=20)
        pd.testing.assert_frame_equal(load(filled, "IBM", "MSFT"), before)

    def test_saving_no_bars_is_no_error(self, store: BarStore) -> None:
        assert store.save_bars(bars_of("IBM").head(0), DAY, source="tape", known_from=EVENING) == BarsSaved(0, 0, 0)

    def test_other_values_open_the_next_version_and_only_it_is_read(self, filled: BarStore) -> None:
        changed = bars_of("IBM")
        changed.loc[3, "close"] += 0.01
        saved = filled.save_bars(changed, DAY, source="tape", known_from=EVENING + timedelta(days=1))
        assert saved == BarsSaved(inserted=0, revised=1, unchanged=9)
        after = load(filled, "IBM")
        assert list(after["version"]) == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1]
        assert after.loc[3, "close"] == changed.loc[3, "close"]

    def test_going_back_to_old_values_is_a_third_version_with_the_first_sha(self, filled: BarStore) -> None:
        first = load(filled, "IBM")["row_sha"][3]
        changed = bars_of("IBM")
        changed.loc[3, "volume"] += 1
        filled.save_bars(changed, DAY, source="tape", known_from=EVENING + timedelta(days=1))
        filled.save_bars(bars_of("IBM"), DAY, source="tape", known_from=EVENING + timedelta(days=2))
        after = load(filled, "IBM").iloc[3]
        assert (after["version"], after["row_sha"]) == (3, first)

    @pytest.mark.parametrize(
        ("column", "value"), [("close", -1.0), ("high", 0.01), ("volume", -5.0), ("open", float("nan"))]
    )
    def test_a_bar_that_validation_will_refuse_can_be_stored_and_read(
        self, filled: BarStore, column: str, value: float
    ) -> None:
        broken = bars_of("IBM")
        broken.loc[5, column] = value
        saved = filled.save_bars(broken, DAY, source="tape", known_from=EVENING + timedelta(days=1))
        assert saved.revised == 1
        assert filled.save_bars(broken, DAY, source="tape", known_from=EVENING + timedelta(days=2)).unchanged == 10
        read = load(filled, "IBM")
        pd.testing.assert_frame_equal(read[PRICES], broken[PRICES])

    def test_a_bar_without_verdict_is_not_validated(self, filled: BarStore) -> None:
        assert load(filled, "IBM", "MSFT", is_validated=True).empty

    def test_accepted_bars_are_validated_and_quarantined_ones_are_not(self, filled: BarStore) -> None:
        raw = load(filled, "IBM")
        filled.save_verdicts(DAY, raw.drop(index=[2, 4]), with_reason(raw.loc[[2, 4]], "ohlc_order"))
        validated = load(filled, "IBM", "MSFT", is_validated=True)
        pd.testing.assert_frame_equal(validated, raw.drop(index=[2, 4]).reset_index(drop=True))
        assert len(load(filled, "IBM")) == 10

    def test_bars_can_be_read_with_whether_they_were_accepted(self, filled: BarStore) -> None:
        raw = load(filled, "IBM", "MSFT")
        judged = raw[raw["symbol"] == "IBM"]
        filled.save_verdicts(DAY, judged.drop(index=[2, 4]), with_reason(judged.loc[[2, 4]], "ohlc_order"))
        read = filled.load_bars([CONIDS["IBM"], CONIDS["MSFT"]], DAY, START, END, has_verdicts=True)
        pd.testing.assert_frame_equal(read.drop(columns="is_accepted"), raw)
        is_accepted = (raw["symbol"] == "IBM") & ~raw.index.isin([2, 4])
        assert read["is_accepted"].tolist() == is_accepted.tolist()

    def test_the_same_verdicts_again_change_nothing(self, filled: BarStore) -> None:
        raw = load(filled, "IBM")
        for _ in range(2):
            filled.save_verdicts(DAY, raw.drop(index=[2]), with_reason(raw.loc[[2]], "ohlc_order"))
        assert len(load(filled, "IBM", is_validated=True)) == 9

    def test_a_later_verdict_replaces_the_earlier_one(self, filled: BarStore) -> None:
        raw = load(filled, "IBM")
        nothing = with_reason(raw.head(0), "")
        filled.save_verdicts(DAY, raw.drop(index=[2]), with_reason(raw.loc[[2]], "too_big_jump"))
        filled.save_verdicts(DAY, raw, nothing)
        assert len(load(filled, "IBM", is_validated=True)) == 10
        filled.save_verdicts(DAY, raw.head(0), with_reason(raw.loc[[7]], "split_suspect"))
        assert len(load(filled, "IBM", is_validated=True)) == 9

    def test_a_revised_bar_waits_for_its_own_verdict(self, filled: BarStore) -> None:
        raw = load(filled, "IBM")
        filled.save_verdicts(DAY, raw, with_reason(raw.head(0), ""))
        changed = bars_of("IBM")
        changed.loc[3, "close"] += 0.01
        filled.save_bars(changed, DAY, source="tape", known_from=EVENING + timedelta(days=1))
        assert len(load(filled, "IBM", is_validated=True)) == 9
        filled.save_verdicts(DAY, load(filled, "IBM"), with_reason(raw.head(0), ""))
        assert len(load(filled, "IBM", is_validated=True)) == 10

    def test_a_verdict_on_an_old_version_says_nothing_of_the_new_one(self, filled: BarStore) -> None:
        old = load(filled, "IBM")
        changed = bars_of("IBM")
        changed.loc[3, "close"] += 0.01
        filled.save_bars(changed, DAY, source="tape", known_from=EVENING + timedelta(days=1))
        filled.save_verdicts(DAY, old, with_reason(old.head(0), ""))
        assert len(load(filled, "IBM", is_validated=True)) == 9

    def test_features_come_back_with_nan_where_there_was_none(self, filled: BarStore) -> None:
        features = load(filled, "IBM")[["conid", "opened_at"]].assign(sma_10=float("nan"), rsi_14=50.125)
        features.loc[9, "sma_10"] = 1 / 3
        assert filled.save_features(features, DAY, feature_digest="d1") == 10
        read = filled.load_features([CONIDS["IBM"]], DAY, START, END, feature_digest="d1")
        assert set(read.columns) >= set(features.columns)
        pd.testing.assert_frame_equal(read[list(features.columns)], features, check_dtype=False)

    def test_features_of_another_digest_are_other_features(self, filled: BarStore) -> None:
        features = load(filled, "IBM")[["conid", "opened_at"]].assign(sma_10=1.0, rsi_14=2.0)
        filled.save_features(features, DAY, feature_digest="d1")
        assert filled.load_features([CONIDS["IBM"]], DAY, START, END, feature_digest="d2").empty

    def test_features_that_come_again_replace_the_earlier_ones(self, filled: BarStore) -> None:
        features = load(filled, "IBM")[["conid", "opened_at"]].assign(sma_10=1.0, rsi_14=2.0)
        filled.save_features(features, DAY, feature_digest="d1")
        filled.save_features(features.tail(1).assign(sma_10=3.0), DAY, feature_digest="d1")
        read = filled.load_features([CONIDS["IBM"]], DAY, START, END, feature_digest="d1")
        assert list(read["sma_10"]) == [1.0] * 9 + [3.0]
