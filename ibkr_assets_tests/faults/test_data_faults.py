"""Market data that lies: bars in quarantine, gaps, holds, versions; quotes that no order leaves on; texts as data."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from ibkr_assets.adapters.clock import MarketClock
from ibkr_assets.adapters.ibkr.client import market_data
from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.adapters.postgres.ledger import PostgresLedger
from ibkr_assets.cli.output import emit, emit_json, table
from ibkr_assets.defs.checks import judge_soundness
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import UnreadableAnswer
from ibkr_assets.domain.order import OrderState, TimeInForce
from ibkr_assets.ingest.bars import ingest_sessions
from ibkr_assets.ingest.validation import validate_sessions
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.faults.registry import end_state_of
from ibkr_assets_tests.faults.trading import flat_gateway, trading
from ibkr_assets_tests.gateway import start_gateway

__all__ = ["flat_gateway", "trading"]

S = OrderState
ALWAYS = 1_000_000
NYSE = exchange_calendar("XNYS")
#: Three sessions that are wanted, and enough before them to know what is usual.
DAYS = (date(2012, 11, 28), date(2012, 11, 29), date(2012, 11, 30))
EVENING = "2012-11-30T22:00:00+00:00"
WARM_UP = 60
IBM = 8314


@pytest.fixture(scope="module")
def bar_gateway():
    """Real bars, on a Friday evening."""
    with start_gateway(clock_start=EVENING) as running:
        yield running


class Bars:
    """The platform's way of bars, from the wire to the verdict."""

    def __init__(self, gateway, database):
        self.gateway = gateway
        self.database = database
        self.store = PostgresBars(database)
        self.clock = MarketClock(gateway.clock_url)
        self.source = market_data(
            gateway.api_url, ca=None, clock=self.clock, calendar=NYSE, connect_timeout_s=2.0, read_timeout_s=5.0,
            pace=1000.0,
        )  # fmt: skip

    def run(self, *days):
        """Fetch and store the sessions, judge them, and give what storing did and the verdict."""
        sessions = [NYSE.session(day) for day in days or DAYS]
        report = ingest_sessions(
            self.source, self.store, NYSE, symbols=["IBM"], sessions=sessions, warm_up_sessions=WARM_UP,
            clock=self.clock, progress=lambda _: None,
        )  # fmt: skip
        verdict = validate_sessions(self.store, NYSE, instruments=report.instruments, sessions=sessions)
        return report.saved, verdict

    def stored(self, **options):
        start, end = datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)
        return self.store.load_bars([IBM], BarSize.DAY, start, end, **options)

    def rows(self, query):
        with self.database.connect() as connection:
            return connection.execute(query).fetchall()

    def gaps(self):
        return [row[0] for row in self.rows("select session_date from md.gap where closed_at is null order by 1")]

    def held_by(self):
        return PostgresIntents(self.database, "salt").killed_by("acct-1", "any", IBM)


@pytest.fixture
def bars(bar_gateway, database):
    made = Bars(bar_gateway, database)
    yield made
    made.source.close()
    for fault in bar_gateway.admin("GET", "/admin/fault"):
        bar_gateway.disarm_fault(fault["id"])


# ---- numbers


@end_state_of("F44")
@pytest.mark.parametrize("shape", ["commas", "text", "thousands", "conid_text"])
def test_f44_numbers_in_other_shapes_are_the_same_numbers(trading, shape):
    trading.start()
    trading.gateway.arm_fault("F44", shape=shape, times=ALWAYS)
    record = trading.propose()
    trading.wait_for(record, S.WORKING)
    trading.open_market()
    filled = trading.wait_for(record, S.FILLED, filled=10)
    assert filled.average_price == 100
    trading.gateway.disarm_fault("F44")
    assert trading.breaks() == {}
    trading.agree()


@end_state_of("F44")
@pytest.mark.parametrize("shape", ["huge", "huge_text", "garbled", "previous_close", "halted", "minus_zero"])
def test_f44_executions_that_cannot_be_read_are_not_booked_and_not_lost(trading, shape):
    trading.start()
    record = trading.propose()
    trading.wait_for(record, S.WORKING)
    trading.gateway.arm_fault("F44", shape=shape, times=ALWAYS, routes=["trades"], fields=["size", "price"])
    trading.open_market()
    trading.wait("the answer is not understood", lambda: trading.status() == "away")
    assert trading.record(record).filled == 0
    trading.gateway.disarm_fault("F44")
    trading.wait_for(record, S.FILLED, filled=10)
    trading.agree()


# ---- quotes


def are_denied(trading, fault_id, variants, **order):
    """An order for each variant: denied for the reason that is given, and nothing was sent."""
    trading.start()
    for number, (variant, reason) in enumerate(variants):
        trading.gateway.arm_fault(fault_id, **variant)
        record = trading.propose(strategy_id=f"s{number}", **order)
        assert reason in trading.wait_for(record, S.DENIED).reason, variant
    assert trading.accepted() == []
    assert "submit" not in {row["route"] for row in trading.wirelog()}
    trading.agree()


@end_state_of("F45")
def test_f45_a_quote_that_is_stale_frozen_or_bare_denies(trading):
    variants = [
        ({"how": "bare"}, "no price of IBM"),
        ({"how": "old", "age_s": 7200}, "quote: the quote of IBM is 7200"),
    ]
    variants += [
        ({"how": "unavailable", "availability": letter}, f"quote: no live data of IBM: '{letter}'") for letter in "ZDNY"
    ]
    are_denied(trading, "F45", variants)


@end_state_of("F46")
def test_f46_a_price_that_is_halted_or_makes_no_sense_denies(trading):
    are_denied(
        trading,
        "F46",
        [
            ({"how": "halted"}, "quote: IBM is halted"),
            ({"how": "zero"}, "quote: last of IBM is 0"),
            ({"how": "negative"}, "quote: last of IBM is -37.6"),
            ({"how": "crossed"}, "quote: bid 100.01 of IBM is above its ask 99.99"),
        ],
    )


@end_state_of("F51")
def test_f51_after_an_early_close_that_no_calendar_knew_nothing_leaves(trading):
    closes_at = trading.next_open + timedelta(hours=3, minutes=30)
    trading.gateway.set_clock(closes_at + timedelta(minutes=5))
    order = {"time_in_force": TimeInForce.DAY, "valid_until": closes_at + timedelta(hours=3)}
    are_denied(
        trading, "F51", [({"closes_at": closes_at.isoformat()}, "quote: the quote of IBM is 300 s old")], **order
    )


@end_state_of("F51")
def test_f51_after_an_early_close_that_the_calendar_knows_an_order_has_expired():
    from ibkr_assets.portfolio.rebalance import time_orders

    for day in (date(2012, 11, 23), date(2012, 12, 24)):
        session = NYSE.session(day)
        assert session.closes_at.hour == 18
        before, after = session.opens_at.replace(hour=16), session.closes_at
        assert time_orders(session, before).valid_until < session.closes_at
        assert time_orders(session, after).valid_until <= after


# ---- bars


@end_state_of("F47")
@pytest.mark.parametrize(("how", "gap"), [("missing", DAYS[1]), ("cut_front", None)])
def test_f47_bars_that_are_missing_are_gaps_until_they_come(bars, how, gap):
    bars.gateway.arm_fault("F47", how=how, back=2)
    _, verdict = bars.run()
    expected = [DAYS[1], DAYS[2]] if gap is None else [gap]
    assert bars.gaps() == expected
    assert verdict.missing == [("IBM", day) for day in expected]
    assert not judge_soundness(verdict).passed
    _, verdict = bars.run()
    assert bars.gaps() == []
    assert judge_soundness(verdict).passed


@end_state_of("F47")
@pytest.mark.parametrize("how", ["duplicate", "out_of_order", "off_grid", "partial", "cut"])
def test_f47_bars_twice_out_of_order_oddly_stamped_unfinished_or_cut_are_stored_as_if_nothing_had_been(bars, how):
    bars.gateway.arm_fault("F47", how=how, back=2)
    saved, verdict = bars.run()
    assert bars.gateway.admin("GET", "/admin/fault")[0]["struck"] == 1
    assert (saved.inserted, saved.revised) == (WARM_UP + len(DAYS), 0)
    assert judge_soundness(verdict).passed
    again, _ = bars.run()
    assert (again.inserted, again.revised) == (0, 0)


@end_state_of("F47")
@pytest.mark.parametrize(("how", "said"), [("contradicting", "two different bars"), ("future", "of the future")])
def test_f47_bars_that_contradict_each_other_or_are_of_the_future_are_refused_and_nothing_is_stored(bars, how, said):
    bars.gateway.arm_fault("F47", how=how, back=2)
    with pytest.raises(UnreadableAnswer, match=said):
        bars.run()
    assert bars.rows("select count(*) from md.bar") == [(0,)]


@end_state_of("F47")
def test_f47_a_bar_of_a_day_without_a_session_is_in_quarantine_and_its_day_is_a_gap(bars):
    bars.gateway.arm_fault("F47", how="no_session", back=2)
    days = (date(2012, 11, 23), date(2012, 11, 26), *DAYS)
    _, verdict = bars.run(*days)
    assert verdict.quarantined["reason"].tolist() == ["outside_session"]
    assert bars.rows("select reason from md.bar_verdict where verdict = 'quarantined'") == [("outside_session",)]
    assert bars.gaps() == [DAYS[1]]
    assert not judge_soundness(verdict).passed


@end_state_of("F48")
@pytest.mark.parametrize("factor", [0.5, 2, 10, 0.1])
def test_f48_another_level_of_prices_holds_the_instrument_until_an_operator_resumes_it(bars, factor):
    bars.gateway.arm_fault("F48", factor=factor, day=DAYS[-1].isoformat())
    quarter = [session.day for session in NYSE.sessions(date(2012, 8, 31), DAYS[-1])]
    _, verdict = bars.run(*quarter)  # long enough that one bar alone is no reason to stop
    assert verdict.quarantined[["opened_at", "reason"]].to_dict("list") == {
        "opened_at": [NYSE.session(DAYS[-1]).opens_at], "reason": ["split_suspect"]
    }  # fmt: skip
    assert not judge_soundness(verdict).passed
    assert "split_suspect: IBM of 2012-11-30" in bars.held_by()
    ledger = PostgresLedger(bars.database)
    ledger.control("resume", scope=f"conid:{IBM}", actor="operator", reason="looked at it")
    bars.run()
    assert bars.held_by() is None
    assert bars.rows("select count(*) from oms.control where action = 'disarm'") == [(1,)]


@end_state_of("F49")
def test_f49_a_revised_bar_is_a_new_version_and_the_old_one_stays_what_was_known(bars):
    bars.run()
    known_at = bars.gateway.now()
    before = bars.stored(is_validated=True)
    later = bars.gateway.step_clock(3600)
    bars.gateway.arm_fault("F49", factor=1.001)
    saved, verdict = bars.run(DAYS[-1])
    assert (saved.inserted, saved.revised) == (0, 1)
    now = bars.stored(is_validated=True)
    assert now["close"].iloc[-1] == pytest.approx(before["close"].iloc[-1] * 1.001, abs=1e-3)
    assert now["version"].iloc[-1] == 2
    assert bars.stored(as_of=known_at)["close"].tolist() == before["close"].tolist()
    versions = "select version, known_from, known_to from md.bar where opened_at = (select max(opened_at) from md.bar)"
    assert bars.rows(versions + " order by 1") == [(1, known_at, later), (2, later, None)]
    assert judge_soundness(verdict).passed


# ---- texts

_TEXTS_WITH_CONTROLS = """
select c.table_schema || '.' || c.table_name || '.' || c.column_name
from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
where c.table_schema = 'oms' and c.data_type in ('text', 'jsonb') and t.table_type = 'BASE TABLE'
"""


@end_state_of("F54")
@pytest.mark.parametrize("text", ["sql", "html", "ansi", "rtl", "null", "long", "prompt"])
def test_f54_hostile_texts_are_data_wherever_they_come(trading, text, caplog, capsys):
    trading.start()
    trading.gateway.arm_fault("F54", text=text, times=ALWAYS)
    good = trading.propose(strategy_id="s\x1b[2J1")
    asked = trading.propose("AAPL", 600, strategy_id="s2")
    trading.wait_for(good, S.WORKING)
    trading.wait_for(asked, S.REJECTED)
    trading.open_market()
    trading.wait_for(good, S.FILLED, filled=10)
    trading.gateway.disarm_fault("F54")
    assert trading.accepted() == [good.client_order_id]
    with trading.database.connect() as connection:
        for (column,) in connection.execute(_TEXTS_WITH_CONTROLS).fetchall():
            schema, name, field = column.split(".")
            query = f"select {field}::text from {schema}.{name} where {field}::text <> ''"
            stored = [value for (value,) in connection.execute(query).fetchall()]
            assert not [v for v in stored if not v.replace("\x1b[2J", "").isprintable()], column
            assert max(map(len, stored), default=0) < 10_000, column
    rows = PostgresLedger(trading.database).export()
    emit(table(rows, ["client_order_id", "state", "strategy_id", "reason"]))
    emit_json(rows)
    shown = capsys.readouterr().out
    assert shown.replace("\n", "").isprintable()
    start = shown.index("[\n")
    assert {row["strategy_id"] for row in json.loads(shown[start:])} == {"s\x1b[2J1", "s2"}
    assert all(record.getMessage().isprintable() for record in caplog.records)
    trading.agree()
