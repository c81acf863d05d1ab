"""`bars impact` against the truth: everything computed from scratch before and after a bar was really changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.cli.impact import Impact, examine
from ibkr_assets.cli.main import app
from ibkr_assets.domain.bar import BAR_COLUMNS, BarSize
from ibkr_assets.domain.errors import InputError
from ibkr_assets.execution.decisions import decide_sessions
from ibkr_assets.ingest.backtests import find_backtests
from ibkr_assets.ingest.features import build_features
from ibkr_assets.ingest.impact import change_bar
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import StrategyRecord
from ibkr_assets.settings import Settings
from ibkr_assets.strategies.input_proof import input_digest
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.decided import DAY as DECIDED_DAY
from ibkr_assets_tests.execution.decided import decide
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

NYSE = exchange_calendar("XNYS")
SESSIONS = NYSE.sessions(date(2012, 6, 1), date(2012, 10, 31))
COMPUTED = SESSIONS[-24:]
SYMBOLS = ("IBM", "MSFT")
START, END = datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)


def strategy(name: str, kind: str, symbols: tuple[str, ...] = SYMBOLS, **params: Any) -> StrategyRecord:
    return StrategyRecord(name, 1, kind, params, symbols, "1d", "after_close", "percent:5", {}, None, is_enabled=True)


STRATEGIES = [
    strategy("cross", "sma_cross", fast=3, slow=8),
    strategy("channel", "donchian", ("IBM",), entry=10, exit=5),
    strategy("ranked", "momentum_rank", lookback=10, hold=1),
    strategy("reversion", "rsi_reversion", ("MSFT",), period=5, low=40, high=60),
]


@dataclass
class World:
    """A platform whose last sessions are computed whole; `recompute` does all of it again."""

    url: str
    database: Database
    moment: datetime = END
    signals: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = PostgresBars(self.database)
        self.store.save_instruments([INSTRUMENTS[symbol] for symbol in SYMBOLS])
        PostgresStrategies(self.database).save_strategies(STRATEGIES, actor="test")
        bars = real_bars(*SYMBOLS, start=SESSIONS[0].day, end=SESSIONS[-1].day)
        self.store.save_bars(bars, BarSize.DAY, source="test", known_from=self.moment)
        self.recompute()
        self.settings = Settings.model_validate({"database": {"url": self.url}})

    def recompute(self) -> None:
        instruments = [INSTRUMENTS[symbol] for symbol in SYMBOLS]
        validate_sessions(self.store, NYSE, instruments=instruments, sessions=SESSIONS)
        build_features(self.store, NYSE, instruments=instruments, sessions=COMPUTED)
        decided = decide_sessions(
            self.store, NYSE, strategies=STRATEGIES, instruments=instruments, sessions=COMPUTED, window_sessions=120
        )
        self.signals = {(s.session_date, s.strategy_id, s.symbol): s for s in decided.signals}
        PostgresStrategies(self.database).save_signals(decided.signals, dagster_run_id="r", mlflow_run_id=None)

    def change(self, symbol: str, day: date, **values: float) -> None:
        """Store a correction as the next version."""
        bars = self.store.load_bars([CONIDS[symbol]], BarSize.DAY, START, END)
        bar = bars[bars["opened_at"] == NYSE.session(day).opens_at][list(BAR_COLUMNS)].assign(**values)
        self.moment += timedelta(hours=1)
        assert self.store.save_bars(bar, BarSize.DAY, source="test", known_from=self.moment).unchanged == 0

    def value(self, symbol: str, day: date, name: str) -> float:
        bars = self.store.load_bars([CONIDS[symbol]], BarSize.DAY, START, END)
        return float(bars.loc[bars["opened_at"] == NYSE.session(day).opens_at, name].iloc[0])

    def snapshot(self) -> dict[str, dict[Any, Any]]:
        """Every row of every partition; features bit for bit."""
        with self.database.connect() as connection:
            raw = connection.execute(
                "select conid, opened_at::date, array[open, high, low, close, volume] from md.bar "
                "where known_to is null"
            ).fetchall()
            verdicts = connection.execute(
                "select conid, opened_at::date, verdict, reason, array[open, high, low, close, volume] from md.bar "
                "join md.bar_verdict using (conid, bar_size, opened_at, version) where known_to is null"
            ).fetchall()
            features = connection.execute(
                'select f.conid, f.opened_at::date, f."values" from research.feature f join md.bar b using (conid, '
                "bar_size, opened_at) join md.bar_verdict v using (conid, bar_size, opened_at, version) "
                "where b.known_to is null and v.verdict = 'accepted'"
            ).fetchall()
        return {
            "raw_bars": {row[:2]: row[2:] for row in raw},
            "validated_bars": {row[:2]: row[2:] for row in verdicts},
            "enriched_features": {row[:2]: row[2:] for row in features},
            "signals": dict(self.signals),
        }


@pytest.fixture(scope="module")
def world(postgres_server, _template) -> Iterator[World]:
    with fresh_database(postgres_server, _template) as name:
        url = postgres_server.url(name, "ibkr_platform")
        database = Database(url)
        yield World(url, database)
        database.close()


def touched(before: dict[str, dict], after: dict[str, dict]) -> dict[str, list[date]]:
    """The partitions in which any row differs, by asset."""
    days = {
        asset: {
            next(part for part in key if isinstance(part, date))
            for key in rows.keys() | after[asset].keys()
            if rows.get(key) != after[asset].get(key)
        }
        for asset, rows in before.items()
    }
    return {asset: sorted(found) for asset, found in days.items() if found}


@pytest.mark.slow
@hypothesis_settings(
    max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    symbol=st.sampled_from(SYMBOLS),
    place=st.integers(20, len(SESSIONS) - 1),
    name=st.sampled_from(["close", "volume", "high"]),
    factor=st.sampled_from([1.004, 1.02, 1.0001]),
)
@example(symbol="IBM", place=len(SESSIONS) - 20, name="close", factor=1.4)
@example(symbol="MSFT", place=len(SESSIONS) - 1, name="close", factor=1.01)
@example(symbol="MSFT", place=5, name="close", factor=0.999)
def test_the_list_is_what_computing_everything_from_scratch_changes(
    world: World, symbol: str, place: int, name: str, factor: float
) -> None:
    day = SESSIONS[place].day
    value = world.value(symbol, day, name) * factor
    values = {name: value}
    if name == "close":  # stay a possible bar, so that the others of the batch are judged by it
        values |= {
            "high": max(value, world.value(symbol, day, "high")),
            "low": min(value, world.value(symbol, day, "low")),
        }
    before = world.snapshot()
    asked = examine(world.settings, symbol, str(day), BarSize.DAY, values)
    assert world.snapshot() == before, "looking writes nothing"
    world.change(symbol, day, **values)
    found = examine(world.settings, symbol, str(day), BarSize.DAY, None)
    world.recompute()
    expected = touched(before, world.snapshot())
    assert asked.partitions == expected
    assert found.partitions == expected
    changed = {
        k for k in before["signals"].keys() | world.signals.keys() if before["signals"].get(k) != world.signals.get(k)
    }
    assert {(one.session_date, one.strategy_id, one.symbol) for one in asked.signals} == changed
    for one in asked.signals:
        old, new = before["signals"].get(_key(one)), world.signals.get(_key(one))
        same = old is not None and new is not None and all(
            getattr(old, part) == getattr(new, part) for part in ("direction", "strength", "reference_price")
        )  # fmt: skip
        assert (one.difference is None) == same, one


def _key(one: Any) -> tuple[date, str, str]:
    return one.session_date, one.strategy_id, one.symbol


def test_a_change_of_nothing_touches_nothing_and_what_was_never_corrected_is_said(world: World) -> None:
    day = SESSIONS[-40].day
    same = examine(world.settings, "IBM", str(day), BarSize.DAY, {"close": world.value("IBM", day, "close")})
    assert (same.partitions, same.signals, same.orders, same.recompute) == ({}, [], [], [])
    with pytest.raises(InputError, match="never corrected"):
        examine(world.settings, "IBM", str(SESSIONS[-41].day), BarSize.DAY, None)
    with pytest.raises(InputError, match="not stored"):
        examine(world.settings, "IBM", "2012-01-03", BarSize.DAY, {"close": 1.0})
    with pytest.raises(InputError, match="no value 'clse'"):
        examine(world.settings, "IBM", str(day), BarSize.DAY, {"clse": 1.0})


def test_the_backtests_that_read_the_bar_as_it_was_are_named_and_no_other(world: World) -> None:
    day, first, last = SESSIONS[-10].day, SESSIONS[-30].day, SESSIONS[-2].day
    end = NYSE.session(last).closes_at

    def run(name: str, of: list[str], since: date = first, **params: str) -> dict[str, Any]:
        conids = [CONIDS[symbol] for symbol in of]
        start = NYSE.session(since).opens_at
        sha = input_digest(world.store.load_bars(conids, BarSize.DAY, start, end, is_validated=True))
        params = {"symbols": ", ".join(of), "from": str(since), "to": str(last), "source_sha256": sha} | params
        return {"run_id": name, "name": name, "url": None, "params": params}

    runs = [
        run("own", ["IBM"]), run("both", ["IBM", "MSFT"]), run("other", ["MSFT"]),
        run("stale", ["IBM"], source_sha256="x"),
        run("after", ["IBM"], SESSIONS[-9].day), run("many", ["IBM", "MSFT"], symbols="A, B and 500 more"),
        run("unnamed", ["IBM"], source_sha256=""),
    ]  # fmt: skip
    close = world.value("IBM", day, "close") * 1.001
    bar = change_bar(
        world.store, NYSE, INSTRUMENTS["IBM"], BarSize.DAY, NYSE.session(day).opens_at, values={"close": close}
    )
    found = find_backtests(world.store, bar, runs)
    assert [(one["name"], one["is_proven"]) for one in found] == [
        ("own", True), ("both", True), ("many", False), ("unnamed", False)
    ]  # fmt: skip


def test_the_commands_name_exactly_the_partitions_and_symbols(world: World) -> None:
    day = SESSIONS[-12].day
    close = world.value("MSFT", day, "close")
    found: Impact = examine(world.settings, "MSFT", str(day), BarSize.DAY, {"close": close - 0.01})
    named: dict[str, list[date]] = {}
    for line in (step.command for step in found.recompute):
        words = line.split()
        asset = words[words.index("--select") + 1]
        first, _, last = words[words.index("--select") + 3].partition("...")
        days = [s.day for s in NYSE.sessions(date.fromisoformat(first), date.fromisoformat(last or first))]
        named.setdefault(asset, []).extend(days)
        config = json.loads(line.split("--config-json ")[1].strip("'"))
        assert config["ops"][asset]["config"]["symbols"] == sorted({"MSFT", *(one.symbol for one in found.signals)})
    assert named == {asset: days for asset, days in found.partitions.items() if asset != "raw_bars"}


def test_a_past_order_is_planned_again_with_the_bar_as_it_might_be(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    decided = decide(database, tmp_path)
    runner = CliRunner(env={"IBKR_ASSETS_DATABASE_URL": database_url, "IBKR_ASSETS_DATA_DIR": str(tmp_path)})
    close = str(decided.document()["signal"]["reference_price"])

    def ask(value: str) -> dict[str, Any]:
        asked = runner.invoke(
            app, ["bars", "impact", "FB", str(DECIDED_DAY), "--set", value, "--json"], catch_exceptions=False
        )
        return json.loads(asked.stdout)

    slightly = ask("volume=1000000")
    (order,) = slightly["orders"]
    assert (order["client_order_id"], order["difference"]) == (decided.record.client_order_id, None)
    assert [one["difference"] for one in slightly["signals"]] == [None]
    lower = ask(f"close={float(close) * 0.99}")
    assert lower["signals"][0]["difference"]["field"] == "reference_price"
    assert lower["orders"][0]["difference"]["stage"] == "order"
    asked = runner.invoke(app, ["bars", "impact", "FB", "2012-08-15", "--set", "high=40", "--json"])
    earlier = json.loads(asked.stdout)
    assert earlier["signals"] == [], "the average of twenty bars has forgotten it, and the range that sizes has not"
    assert earlier["orders"][0]["difference"]["field"] == "quantity"
    shown = runner.invoke(app, ["bars", "impact", "FB", str(DECIDED_DAY), "--set", "volume=1000000"])
    assert shown.exit_code == 0
    assert "identical" in shown.stdout
    assert "0 of 1 signals and 0 of 1 orders would differ; nothing was written" in shown.stderr
