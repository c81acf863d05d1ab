"""The five assets: what they store, what they show, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import numpy as np
import pytest

from ibkr_assets.adapters.postgres.lineage import PostgresLineage
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.order import OrderState
from ibkr_assets.execution.proposals import BACKFILL
from ibkr_assets.execution.replay import replay
from ibkr_assets.features.definition import feature_digest
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.defs.chain import FIVE, STRATEGY, Chain, checks_of, metadata_of
from ibkr_assets_tests.execution.desk import Desk
from ibkr_assets_tests.fakes.tape import CONIDS, real_bars
from ibkr_assets_tests.strategies.test_own_files import FILE

DAY = date(2012, 11, 21)


@pytest.fixture
def make_chain(database, database_url) -> Iterator[Callable[..., Chain]]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield lambda **options: Chain(database, database_url, instance, **options)


@pytest.fixture
def chain(make_chain: Callable[..., Chain]) -> Chain:
    return make_chain()


def test_a_session_flows_from_bars_to_intents(chain: Chain) -> None:
    result = chain.run(DAY)
    assert result.success
    assert checks_of(result) == {
        "bars_are_complete": True,
        "bars_are_sound": True,
        "features_are_numbers": True,
        "signals_are_whole": True,
        "run_is_tracked": False,  # no tracking server is named: a warning
        "ledger_is_consistent": True,
    }
    assert {s.symbol for s in chain.strategy_store.signals(DAY)} == set(CONIDS)
    states = {record.state for record in chain.book.intents(session_date=DAY)}
    assert states == {OrderState.APPROVED}
    raw, orders = metadata_of(result, "raw_bars"), metadata_of(result, "orders")
    assert raw["symbols"] == "AAPL, FB, GOOG, IBM, MSFT"
    assert raw["sessions"] == "2012-11-21"
    assert orders["approved"] == len(chain.book.intents(session_date=DAY)) > 0
    assert (orders["denied"], orders["expired"], orders["existing"]) == (0, 0, 0)


def test_what_a_run_shows_is_json_without_nan(chain: Chain) -> None:
    result = chain.run(DAY)
    for asset in FIVE:
        json.dumps(metadata_of(result, asset), allow_nan=False)
    assert metadata_of(result, "signals")["chart"].startswith("![chart](data:image/png;base64,iVBOR")
    assert "no tracking server is named" in metadata_of(result, "signals")["mlflow"]


def test_the_same_session_again_stores_nothing_new(chain: Chain) -> None:
    chain.run(DAY)
    before = chain.book.intents()
    again = chain.run(DAY)
    assert metadata_of(again, "raw_bars")["inserted"] == metadata_of(again, "raw_bars")["revised"] == 0
    assert metadata_of(again, "signals")["written"] == 0
    assert metadata_of(again, "orders")["existing"] == len(before)
    assert chain.book.intents() == before


def test_orders_five_times_two_at_once_and_re_executed_give_each_intent_once(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:4])
    runs = [chain.run(DAY, select=("orders",)) for _ in range(3)]
    with ThreadPoolExecutor(2) as pool:
        runs += [f.result() for f in [pool.submit(chain.run_elsewhere, DAY, ("orders",)) for _ in range(2)]]
    runs.append(chain.run(DAY, select=("orders",), tags={"dagster/parent_run_id": runs[0].run_id}))
    assert all(run.success for run in runs)
    intents = chain.book.intents()
    assert len({record.intent.decision_key for record in intents}) == len(intents) > 0
    assert sum(metadata_of(run, "orders")["approved"] for run in runs) == len(intents)


def test_two_first_runs_at_once_give_each_intent_once(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:4])
    with ThreadPoolExecutor(2) as pool:
        runs = [f.result() for f in [pool.submit(chain.run_elsewhere, DAY, ("orders",)) for _ in range(2)]]
    intents = chain.book.intents()
    assert sum(metadata_of(run, "orders")["approved"] for run in runs) == len(intents) > 0


def test_a_year_is_one_run_and_approves_nothing(
    make_chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "100")  # as the launcher sets it for every run
    chain = make_chain(first_session="2012-01-03")
    chain.move_after_close(date(2013, 1, 31))
    result = chain.run((date(2012, 1, 3), date(2012, 12, 31)), symbols=["IBM", "MSFT"])
    shown = metadata_of(result, "orders")
    assert result.success
    assert len(chain.instance.get_runs()) == 1
    assert shown["approved"] == 0
    assert shown["expired"] > 0
    assert {record.state for record in chain.book.intents()} == {OrderState.EXPIRED_UNSENT}
    assert shown["sessions"] == "2012-01-03 to 2012-12-31 (250 sessions)"
    assert nothing_left(chain)


def nothing_left(chain: Chain) -> bool:
    """A submitter that works through the ledger finds nothing to send, and none of its rows says that anything was."""
    with TemporaryDirectory() as folder:
        desk = Desk(chain.database, Path(folder), market=chain.clock).start()
        desk.turn(5)
        desk.stop()
    with chain.database.connect() as connection:
        rows = connection.execute(
            "select (select count(*) from oms.wire_call), (select count(*) from oms.reservation)"
        ).fetchone()
    return not desk.broker.rows and rows == (0, 0)


@pytest.mark.parametrize("after_close", [timedelta(minutes=20), timedelta(hours=19)])
def test_a_backfill_up_to_now_orders_nothing_and_leaves_the_newest_session_to_a_run_of_its_own(
    chain: Chain, after_close: timedelta
) -> None:
    chain.clock.moment = exchange_calendar("XNYS").session(DAY).closes_at + after_close
    result = chain.run((date(2012, 11, 14), DAY))
    shown = metadata_of(result, "orders")
    assert shown["approved"] == shown["denied"] == 0 < shown["expired"]
    assert f"| 2012-11-21 | cross | IBM | {BACKFILL} |" in shown["held_back"]
    assert chain.book.intents(session_date=DAY) == []
    part = chain.run(DAY, select=("orders",), tags={"dagster/backfill": "b1"})
    assert metadata_of(part, "orders")["approved"] == 0
    assert nothing_left(chain)
    alone = chain.run(DAY, select=("orders",))
    assert metadata_of(alone, "orders")["held_back"].count(BACKFILL) == 0
    assert {r.state for r in chain.book.intents(session_date=DAY)} <= {OrderState.APPROVED, OrderState.DENIED}
    assert len(chain.book.intents(session_date=DAY)) > 0


def test_a_backfill_rehearses_the_newest_session_too(chain: Chain) -> None:
    result = chain.run((date(2012, 11, 20), DAY), dry_run=True)
    assert BACKFILL not in metadata_of(result, "orders")["held_back"]
    assert {record.intent.mode.value for record in chain.book.intents(session_date=DAY)} == {"dry_run"}


def test_a_session_alone_decides_as_it_does_in_a_backfill(chain: Chain, database_url_of) -> None:
    days = (date(2012, 11, 14), DAY)
    chain.run(days, select=FIVE[:4])
    in_backfill = chain.strategy_store.signals(DAY)
    chain.run(DAY, select=FIVE[:4])
    assert chain.strategy_store.signals(DAY) == in_backfill


def test_a_rehearsal_stands_in_nobodys_way(chain: Chain) -> None:
    rehearsal = chain.run(DAY, dry_run=True)
    real = chain.run(DAY)
    assert metadata_of(rehearsal, "orders")["mode"] == "dry_run"
    assert metadata_of(real, "orders")["approved"] == metadata_of(rehearsal, "orders")["approved"] > 0
    assert {r.intent.mode.value for r in chain.book.intents()} == {"dry_run", "sim"}


def test_a_run_can_be_narrowed_to_symbols(chain: Chain) -> None:
    chain.run(DAY, symbols=["IBM", "MSFT"])
    assert {s.symbol for s in chain.strategy_store.signals(DAY)} == {"IBM", "MSFT"}


def test_one_strategy_can_be_asked_for_and_a_disabled_one_only_rehearsed(make_chain: Callable[..., Chain]) -> None:
    resting = replace(STRATEGY, id="resting", is_enabled=False)
    chain = make_chain(strategies=(STRATEGY, resting))
    chain.run(DAY)
    assert {s.strategy_id for s in chain.strategy_store.signals(DAY)} == {"cross"}
    chain.run(DAY, strategy_id="resting", dry_run=True)
    assert {s.strategy_id for s in chain.strategy_store.signals(DAY)} == {"cross", "resting"}
    refused = chain.run(DAY, strategy_id="resting", is_raising=False)
    assert "is disabled, and can only be rehearsed" in str(refused.all_events)


def test_a_quarantined_bar_stops_the_run_before_the_features(make_chain: Callable[..., Chain]) -> None:
    bars = real_bars(start=date(2011, 6, 1))
    is_bad = (bars["symbol"] == "IBM") & (bars["opened_at"].dt.date == DAY)
    bars.loc[is_bad, ["high", "close"]] = bars.loc[is_bad, "low"].to_numpy()[:, None] * [0.5, 0.4]
    chain = make_chain(bars=bars)
    result = chain.run(DAY, is_raising=False)
    assert not result.success
    assert checks_of(result)["bars_are_sound"] is False
    assert result.asset_materializations_for_node("validated_bars")
    assert not result.get_step_skipped_events() or "enriched_features" in str(result.get_step_skipped_events())
    assert chain.strategy_store.signals(DAY) == []


def test_a_bar_with_nan_is_shown_as_missing_and_goes_no_further(make_chain: Callable[..., Chain]) -> None:
    bars = real_bars(start=date(2011, 6, 1))
    is_bad = (bars["symbol"] == "IBM") & (bars["opened_at"].dt.date == DAY)
    bars.loc[is_bad, "volume"] = np.nan
    chain = make_chain(bars=bars)
    result = chain.run(DAY, is_raising=False)
    assert not result.success
    assert "missing_field" in metadata_of(result, "validated_bars")["in_quarantine"]
    assert "nan" not in metadata_of(result, "validated_bars")["in_quarantine"].lower()


def test_a_symbol_without_a_bar_is_reported_and_stops_the_run(make_chain: Callable[..., Chain]) -> None:
    bars = real_bars(start=date(2011, 6, 1))
    is_gone = (bars["symbol"] == "FB") & (bars["opened_at"].dt.date == DAY)
    chain = make_chain(bars=bars.loc[~is_gone])
    result = chain.run(DAY, is_raising=False)
    checks = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert not checks["bars_are_complete"].passed
    assert checks["bars_are_complete"].severity is dg.AssetCheckSeverity.WARN
    assert "| FB | 2012-11-21 |" in checks["bars_are_complete"].metadata["missing_bars"].value
    assert not checks["bars_are_sound"].passed
    assert not result.success


def test_an_instrument_without_its_measure_gets_no_order_and_the_others_keep_theirs(
    make_chain: Callable[..., Chain],
) -> None:
    shorts = {"fast": 10, "slow": 30, "short": True}
    chain = make_chain(strategies=(replace(STRATEGY, params=shorts, sizing="atr:0.2@2"),))
    chain.run(DAY, select=FIVE[:4])
    features = chain.bar_store.load_features(
        list(CONIDS.values()), BarSize.DAY, *_span(), feature_digest=feature_digest()
    )
    lost = min(set(CONIDS) - _flat(chain))
    of_lost = features.loc[features["conid"] == CONIDS[lost]].assign(atr_14=float("nan"))
    chain.bar_store.save_features(of_lost, BarSize.DAY, feature_digest=feature_digest())
    result = chain.run(DAY, select=("orders",))
    held_back = metadata_of(result, "orders")["held_back"]
    assert f"| {lost} | atr_14 of {lost} at 2012-11-21: must be a positive number, got NaN |" in held_back
    ranges = dict(zip(features["conid"].tolist(), features["atr_14"].tolist(), strict=True))
    intents = [record.intent for record in chain.book.intents()]
    assert {i.symbol for i in intents} == set(CONIDS) - {lost} - _flat(chain)
    assert {i.conid: i.quantity for i in intents} == {
        i.conid: min(200 / (2 * ranges[i.conid]), 100_000 / float(i.reference_price)) // 1 for i in intents
    }
    with chain.database.connect() as connection:
        stored = dict(connection.execute("select conid, sizing from oms.plan").fetchall())
    sized_by = stored[intents[0].conid]
    assert (sized_by["spec"], sized_by["measures"]) == ("atr:0.2@2", {"atr_14": str(ranges[intents[0].conid])})
    assert CONIDS[lost] not in stored


def test_no_order_without_an_accepted_bar_of_the_session(chain: Chain) -> None:
    chain.run(DAY, select=FIVE[:4])
    with chain.database.connect() as connection:  # the bar is corrected after the decision, and not judged again
        session = chain.bar_store.load_bars([8314], BarSize.DAY, *_span())
        session["close"] += 0.01
    chain.bar_store.save_bars(
        session.drop(columns=["version", "row_sha"]), BarSize.DAY, source="test", known_from=chain.clock.now()
    )
    del connection
    result = chain.run(DAY, select=("orders",))
    fault = "bar 8314-1d-20121121T143000Z-1 of 2012-11-21 was corrected after the signal"
    assert f"| 2012-11-21 | cross | IBM | {fault} |" in metadata_of(result, "orders")["held_back"]
    assert {r.intent.symbol for r in chain.book.intents()} == set(CONIDS) - {"IBM"} - _flat(chain)


def _span():
    from ibkr_assets.market.calendar import exchange_calendar

    session = exchange_calendar("XNYS").session(DAY)
    return session.opens_at, session.closes_at


def _flat(chain: Chain) -> set[str]:
    return {s.symbol for s in chain.strategy_store.signals(DAY) if s.direction.value == "flat"}


def test_a_kind_of_the_users_own_decides_and_its_decision_is_computed_again(
    make_chain: Callable[..., Chain], tmp_path: Path
) -> None:
    (tmp_path / "up_days.py").write_text(FILE)
    own = replace(STRATEGY, id="own", kind="up_days", params={"bars": 2})
    chain = make_chain(strategies=(own,), own_kinds=tmp_path)
    chain.run(DAY)
    close = {s: real_bars(s, end=DAY)["close"].tolist()[-3:] for s in CONIDS}
    expected = {s: "long" if c[0] < c[1] < c[2] else "flat" for s, c in close.items()}
    assert set(expected.values()) == {"long", "flat"}
    assert {s.symbol: s.direction.value for s in chain.strategy_store.signals(DAY)} == expected
    records = chain.book.intents(session_date=DAY)
    assert {record.intent.symbol for record in records} == {s for s, said in expected.items() if said == "long"}
    lineage = PostgresLineage(chain.database)
    document = lineage.document(records[0].client_order_id)
    bars = lineage.feature_bars(document)
    assert replay(document, bars, directory=tmp_path).is_identical
    without = replay(document, bars).difference
    assert without is not None
    assert (without.stage, "'up_days': no such kind" in str(without.computed)) == ("signal", True)
