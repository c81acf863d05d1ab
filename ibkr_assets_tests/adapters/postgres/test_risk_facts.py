"""What the rules are told of an account: each figure against rows made by hand, and no limit passed by two at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.adapters.postgres.views.condition import free_cash
from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.ledger import Blocks, Break, Holding
from ibkr_assets.domain.order import Mode, OrderIntent, Side, TimeInForce
from ibkr_assets.execution.propose import review_with
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.ports import IntentRecord
from ibkr_assets.risk.engine import Decision, Exposure
from ibkr_assets.risk.facts import Circumstances
from ibkr_assets.risk.limits import Limits
from ibkr_assets_tests.execution.desk import EVENING, REF, an_intent
from ibkr_assets_tests.execution.furnished import furnish, furnished_book, store_nav
from ibkr_assets_tests.risk.orders import CLOSE

IBM, MSFT, AAPL = 8314, 272093, 265598
CONIDS = {"IBM": IBM, "MSFT": MSFT, "AAPL": AAPL}
LIMITS = Limits(allowed_symbols=frozenset({"IBM", "MSFT", "AAPL"}), max_order_nav_fraction=Decimal("0.10"))
WIDE = replace(
    LIMITS, max_order_nav_fraction=Decimal(1), max_position_nav_fraction=Decimal(1), max_sector_nav_fraction=Decimal(4),
    max_gross_nav_fraction=Decimal(4), max_net_nav_fraction=Decimal(4), max_daily_notional_nav_fraction=Decimal(100),
    max_orders_per_day=10_000, max_orders_per_day_and_instrument=10_000, max_working_orders=10_000,
    look_alike_minutes=0, max_order_value_usd=Decimal(10**9),
)  # fmt: skip


class Book:
    """Proposals through the real review, and what it was told."""

    def __init__(self, database: Database, **furniture: Any) -> None:
        self.database = database
        self.ledger = furnish(database, **furniture)
        self.intents = furnished_book(database)

    def propose(self, intent: OrderIntent, limits: Limits = LIMITS, **times: Any) -> IntentRecord:
        now = times.get("now", EVENING)
        review = review_with(
            self.intents, intent, limits=limits, platform_mode=Mode.SIM, now=now, calendar=exchange_calendar("XNYS")
        )
        return self.intents.propose(
            intent, review, now=now, dagster_run_id="run", created_by="test", limits=limits
        )  # fmt: skip

    def exposure(self, intent: OrderIntent, limits: Limits = LIMITS, now: datetime = EVENING) -> Exposure:
        """What a further order would be told, without keeping it approved."""
        seen: list[Exposure] = []

        def look(proposed: OrderIntent, exposure: Exposure) -> Decision:
            seen.append(exposure)
            raise StopIteration

        with pytest.raises(StopIteration):
            self.intents.propose(intent, look, now=now, dagster_run_id=None, created_by="test", limits=limits)
        return seen[0]

    def circumstances(self, intent: OrderIntent) -> Circumstances:
        return self.intents.circumstances(intent)

    def fill(self, record: IntentRecord, quantity: int, price: str = "200") -> None:
        """An execution of the order, as the submitter books it."""
        of_account = self.ledger.of_account(REF)
        epoch = of_account.lease.acquire("filler", 20.0)
        assert epoch is not None
        of_account.sends.begin_send(record, epoch=epoch, request={}, market_at=EVENING)
        fill = Fill(
            f"0000e0d5.{abs(hash(record.intent_id)) % 16**8:08x}.01.01", record.client_order_id,
            str(abs(hash(record.intent_id)) % 10**9), record.intent.conid, record.intent.symbol, record.intent.side,
            Decimal(quantity), Decimal(price), Decimal(1), EVENING,
        )  # fmt: skip
        of_account.executions.save_fills([fill], epoch=epoch)
        of_account.lease.release()

    def trade(self, symbol: str, side: Side, quantity: int, price: int) -> None:
        """An execution of somebody else's order, on the evening of every test."""
        name = f"{symbol}{side}"
        self.sql(
            "insert into oms.execution (account_ref, execution_root, revision, execution_id, broker_order_id, conid, "
            "symbol, side, quantity, price, commission, executed_at) values (%s, %s, 1, %s, '7', %s, %s, %s, %s, %s, "
            "1, %s)", REF, name, name, CONIDS[symbol], symbol, side, quantity, price, EVENING,
        )  # fmt: skip

    def sql(self, statement: str, *values: Any) -> None:
        with self.database.connect() as connection:
            connection.execute(statement, values)


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    yield Book(database)
    assert [found for found in check_invariants(database) if found["violations"]] == []


def of(symbol: str, number: int = 1, **changes: Any) -> OrderIntent:
    return an_intent(number, symbol=symbol, conid=CONIDS[symbol], **changes)


def test_an_ordinary_order_is_approved_by_every_rule_of_the_real_review(book: Book) -> None:
    record = book.propose(of("IBM"))
    assert (str(record.state), record.reason) == ("APPROVED", "")


def test_an_empty_account_is_exposed_to_nothing(book: Book) -> None:
    seen = book.exposure(of("IBM"))
    assert (seen.held, seen.open_buys, seen.open_sells) == (0, 0, 0)
    assert (seen.others_gross_usd, seen.others_net_high_usd, seen.others_sector_usd) == (0, 0, 0)
    assert (seen.cash_usd, seen.open_buy_cost_usd, seen.approved_today_usd) == (100_000, 0, 0)
    assert (seen.orders_today, seen.working_orders, seen.messages_today, seen.repeats_today) == (0, 0, 0, 0)
    assert (seen.look_alike, seen.difference, seen.day_loss_fraction, seen.drawdown_fraction) == ("", "", 0, 0)
    assert seen.reconciled_age_s is not None
    assert 0 <= seen.reconciled_age_s < 60


def test_what_is_open_counts_at_its_worst_for_every_other_order(book: Book) -> None:
    book.propose(of("IBM"))  # 10 x 206
    book.propose(of("MSFT", 2, limit_price=Decimal(199)))  # 10 x 200, the higher of limit and reference
    limits = replace(LIMITS, sectors={"IBM": "iron", "AAPL": "iron"})
    seen = book.exposure(of("AAPL", 3), limits)
    assert (seen.others_gross_usd, seen.others_net_high_usd, seen.others_net_low_usd) == (4060, 4060, 0)
    assert seen.others_sector_usd == 2060
    assert (seen.open_buy_cost_usd, seen.approved_today_usd, seen.orders_today) == (4060, 4060, 2)
    again = book.exposure(of("IBM", 4), limits)
    assert (again.open_buys, again.others_gross_usd, again.orders_today_of_instrument) == (10, 2000, 1)
    assert again.working_orders == 1


def test_what_is_held_counts_at_the_newest_look(database: Database) -> None:
    book = Book(database, holdings={MSFT: 30, AAPL: -5})
    seen = book.exposure(of("IBM"))
    assert (seen.others_gross_usd, seen.others_net_high_usd, seen.others_net_low_usd) == (7000, 5000, 5000)
    assert book.exposure(of("MSFT")).held == 30


def test_a_holding_without_a_price_is_not_judged(database: Database) -> None:
    book = Book(database, holdings={MSFT: 30})
    store_nav(book.ledger, REF, Decimal(100_000), EVENING)
    assert book.exposure(of("IBM")).others_gross_usd is None
    record = book.propose(of("IBM"))
    assert record.reason.startswith("gross: cannot be judged")


def test_a_fill_moves_from_open_to_held_and_cash_and_counts_once(book: Book) -> None:
    record = book.propose(of("IBM"))
    book.fill(record, 4)
    seen = book.exposure(of("IBM", 2))
    assert (seen.held, seen.open_buys) == (4, 6)
    assert seen.cash_usd == 100_000 - 4 * 200 - 1
    assert seen.messages_today == 1
    assert book.exposure(of("IBM", 1, leg=1)).repeats_today == 1
    assert book.exposure(of("IBM", 2)).repeats_today == 0
    book.sql(
        "insert into oms.control (scope, action, actor, reason, session) "
        "values ('strategy:s1', 'resume', 'someone', 'looked at it', 'here')"
    )
    assert book.exposure(of("IBM", 1, leg=1)).repeats_today == 0


def test_the_same_trade_of_another_decision_looks_alike_until_ten_minutes_have_passed(book: Book) -> None:
    first = book.propose(of("IBM"))
    assert book.exposure(of("IBM", 2)).look_alike == first.client_order_id
    assert book.exposure(of("IBM", 2, limit_price=Decimal("206.20"))).look_alike == first.client_order_id
    for other in ({"limit_price": Decimal("205.70")}, {"quantity": Decimal(11)}, {"side": Side.SELL}):
        assert book.exposure(of("IBM", 2, **other)).look_alike == ""
    record = book.propose(of("IBM", 2), now=EVENING + timedelta(minutes=9, seconds=59))
    assert record.reason.startswith("look_alike: looks like q1-")
    assert book.propose(of("IBM", 3), now=EVENING + timedelta(minutes=10)).reason == ""


def test_a_person_releases_what_only_looked_alike_and_then_the_next_generation_may_come(book: Book) -> None:
    book.propose(of("IBM"))
    denied = book.propose(of("IBM", 2))
    assert denied.reason.startswith("look_alike")
    assert book.propose(of("IBM", 2, generation=1)).reason.startswith("look_alike")
    book.intents.release(denied.intent.decision_key, code="look_alike", actor="someone", reason="meant it")
    assert str(book.propose(of("IBM", 2, generation=2)).state) == "DENIED"  # it is generation 0 that was released
    other = book.propose(of("IBM", 3))
    book.intents.release(other.intent.decision_key, code="look_alike", actor="someone", reason="meant it")
    assert str(book.propose(of("IBM", 3, generation=1)).state) == "APPROVED"


def test_the_orders_of_one_decision_are_no_more_than_it_decided(book: Book) -> None:
    first = book.propose(of("IBM"))
    book.fill(first, 4)
    seen = book.exposure(of("IBM", generation=1, quantity=Decimal(1)))
    assert (seen.decided_quantity, seen.taken_quantity) == (10, 10)  # 4 filled, 6 may still fill
    again = book.propose(of("IBM", generation=1, quantity=Decimal(1)), replace(WIDE, max_repeats_per_day=9))
    assert again.reason.startswith("decision_sum: 1 shares on top of 10")


def test_an_open_difference_or_a_comparison_of_long_ago_is_told(book: Book) -> None:
    differences = book.ledger.of_account(REF).differences
    differences.save_break(Break("position", "8314", Blocks.CONID, {}, conid=IBM))
    assert book.exposure(of("IBM")).difference == "position 8314"
    assert book.exposure(of("MSFT")).difference == ""
    differences.resolve("position", keep=[], resolved_by="agree")
    differences.save_break(Break("cash", "USD", Blocks.NOTHING, {}))
    assert book.exposure(of("IBM")).difference == ""
    differences.save_break(Break("positions", "many", Blocks.ACCOUNT, {}))
    assert book.propose(of("MSFT")).reason.startswith("reconciled: open difference: positions many")


def test_losses_are_of_the_day_and_from_the_highest_point_and_payments_are_none(book: Book) -> None:
    def nav(usd: int, hours: int) -> None:
        store_nav(book.ledger, REF, Decimal(usd), CLOSE + timedelta(hours=hours))

    nav(125_000, -47)  # the day before, 17:00 in New York
    nav(100_000, -25)
    nav(98_000, 1)
    seen = book.exposure(of("IBM"))
    assert (seen.day_loss_fraction, seen.drawdown_fraction) == (Decimal("0.02"), Decimal("0.02"))
    assert book.propose(of("IBM")).reason.startswith("loss: the day's loss is 2.00%")
    nav(101_000, 2)
    assert book.exposure(of("IBM", 2)).day_loss_fraction == 0


def test_proceeds_of_a_sale_are_no_settled_cash_until_their_day_and_purchases_count_at_once(database: Database) -> None:
    book = Book(database, holdings={IBM: 30})
    book.trade("MSFT", Side.BUY, 10, 200)
    seen = book.exposure(of("AAPL", 3))
    assert (seen.cash_usd, seen.settled_cash_usd) == (97_999, 97_999)
    assert seen.broker_settled_cash_usd == 100_000 - 2_001, "bought since the broker's figure was read"
    book.trade("IBM", Side.SELL, 10, 201)  # on Monday, 2012-10-01: cash three days later, in those years
    seen = book.exposure(of("AAPL", 3))
    assert (seen.cash_usd, seen.settled_cash_usd) == (97_999 + 2_009, 97_999 - 1)
    settles = datetime(2012, 10, 4, 4, tzinfo=EVENING.tzinfo)
    late = {"signal_bar_end": settles - timedelta(hours=8), "valid_until": settles + timedelta(hours=9)}
    before = book.exposure(of("AAPL", 4, **late), now=settles - timedelta(seconds=1))
    assert before.settled_cash_usd == 97_998
    assert book.exposure(of("AAPL", 4, **late), now=settles).settled_cash_usd == 100_008
    store_nav(book.ledger, REF, Decimal(100_000), EVENING, settled=Decimal(1_234),
              held=[Holding(IBM, "IBM", Decimal(20)), Holding(MSFT, "MSFT", Decimal(10))])  # fmt: skip
    assert book.exposure(of("AAPL", 5)).broker_settled_cash_usd == 1_234
    assert book.propose(of("AAPL", 5)).reason == (
        "settled_cash: 2101.2000 USD are needed with the reserve; 1234.000000 USD of settled cash are free"
    )
    assert free_cash(database, REF, Mode.SIM, EVENING) == 1_234, "the page says what the rule hears"


def test_free_cash_is_less_by_what_open_purchases_may_cost_and_unknown_before_the_first_comparison(
    database: Database,
) -> None:
    assert free_cash(database, REF, Mode.SIM, EVENING) is None
    book = Book(database)
    assert free_cash(database, REF, Mode.SIM, EVENING) == 100_000
    order = of("IBM", quantity=Decimal(40), limit_price=Decimal(206))
    assert str(book.propose(order).state) == "APPROVED"
    assert free_cash(database, REF, Mode.SIM, EVENING) == 100_000 - 40 * 206


def test_what_traded_lately_counts_for_strategies_of_minute_bars_and_for_no_other(book: Book) -> None:
    def strategy(bar_size: str) -> None:
        book.sql(
            "insert into research.strategy (id, version, kind, params, symbols, bar_size, schedule, sizing, risk, "
            "is_enabled, actor) select 's1', coalesce(max(version), 0) + 1, 'sma_cross', '{}', '{IBM}', %s, '', "
            "'fixed:10', '{}', true, 'test' from research.strategy", bar_size,
        )  # fmt: skip

    def minute(minutes_before: int, volume: int | None, verdict: str = "accepted") -> None:
        at = CLOSE - timedelta(minutes=minutes_before)
        book.sql(
            "insert into md.bar (conid, bar_size, opened_at, version, known_from, open, high, low, close, volume, "
            "source, row_sha) values (8314, '1min', %s, 1, %s, 200, 204, 196, 200, %s, 'test', sha256('x'))",
            at, at, volume,
        )  # fmt: skip
        book.sql(
            "insert into md.bar_verdict (conid, bar_size, opened_at, version, verdict, reason) "
            "values (8314, '1min', %s, 1, %s, %s)", at, verdict, "" if verdict == "accepted" else "jump",
        )  # fmt: skip

    def told(intent: OrderIntent) -> tuple[Decimal | None, str]:
        known = book.circumstances(intent).instrument
        return known.recent_volume, known.without_recent_volume

    running = of("IBM", 1, time_in_force=TimeInForce.DAY)
    assert told(running) == (None, "it was decided on daily bars")  # from outside: no strategy of this name
    strategy("1d")
    assert told(running) == (None, "it was decided on daily bars")
    strategy("1min")
    assert told(running) == (None, "")
    denied = book.propose(running, WIDE)
    assert denied.reason.startswith("recent_volume: cannot be judged: quantity 10, recent_volume None")
    for before, volume in ((31, 5000), (30, 70), (1, 129)):
        minute(before, volume)
    minute(2, 10**6, "quarantined")
    assert told(running) == (199, "")
    again = of("IBM", 1, time_in_force=TimeInForce.DAY, leg=1)
    assert book.propose(again, WIDE).reason.startswith("recent_volume: 10 shares exceed 9.950, 5% of the 199.0")
    minute(3, 1)
    assert told(running) == (200, "")
    assert book.propose(of("IBM", 1, time_in_force=TimeInForce.DAY, leg=2), WIDE).reason == ""
    assert told(of("IBM", 1)) == (None, "it is for the opening auction")
    minute(4, None)
    assert told(running) == (None, "")


def test_bars_give_volume_and_range_and_what_is_not_proven(book: Book) -> None:
    known = book.circumstances(of("IBM"))
    assert (known.instrument.currency, known.instrument.average_volume) == ("USD", 1_000_000)
    assert known.instrument.average_true_range == 8
    assert (known.data.bars, known.data.unproven_bars, known.data.revised_bars) == (20, 0, 0)
    assert known.data.has_signal is False
    book.sql("update md.bar_verdict set verdict = 'quarantined', reason = 'jump' where conid = 8314 and opened_at > %s",
             CLOSE - timedelta(days=1))  # fmt: skip
    assert book.circumstances(of("IBM")).data.unproven_bars == 1
    assert book.propose(of("IBM")).reason.startswith("data: IBM: of 20 bars")


def test_fewer_bars_than_a_window_give_no_average_and_deny(book: Book) -> None:
    early = of("IBM", signal_bar_end=CLOSE - timedelta(days=5))
    known = book.circumstances(early)
    assert known.instrument.average_true_range is None
    assert known.instrument.average_volume is None


def test_a_submitter_of_other_code_or_of_none_is_told(book: Book) -> None:
    assert book.circumstances(of("IBM")).platform.submitter is not None
    book.sql("update oms.running set code = 'older'")
    assert book.propose(of("IBM")).reason == "version: the submitter runs another code"
    book.sql("delete from oms.running")
    assert book.propose(of("IBM", 2)).reason.startswith("version: what the submitter runs is not known")


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (replace(WIDE, max_gross_nav_fraction=Decimal("0.10")), "gross"),
        (replace(WIDE, max_net_nav_fraction=Decimal("0.10")), "net"),
        (replace(WIDE, max_sector_nav_fraction=Decimal("0.10")), "sector"),
        (replace(WIDE, max_daily_notional_nav_fraction=Decimal("0.10")), "daily_notional"),
        (replace(WIDE, max_orders_per_day=4), "order_count"),
    ],
)
def test_no_shared_limit_is_passed_by_orders_that_come_at_once(book: Book, limits: Limits, code: str) -> None:
    """Orders of 2,060 USD of three instruments against 10,000 USD, or against four orders: four fit."""
    symbols = ["IBM", "MSFT", "AAPL"]

    def go(number: int) -> tuple[str, str]:
        record = book.propose(of(symbols[number % 3], number), limits)
        return str(record.state), record.reason.partition(":")[0]

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(go, range(12)))
    assert outcomes.count(("APPROVED", "")) == 4
    assert outcomes.count(("DENIED", code)) == 8


def test_cash_is_not_spent_twice_by_orders_that_come_at_once(database: Database) -> None:
    book = Book(database, nav=Decimal(9_000))  # four of 2,060 and the reserve of one: 8,281.20; five are 10,341.20
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda n: book.propose(of(["IBM", "MSFT", "AAPL"][n % 3], n), WIDE), range(9)))
    assert sorted(record.reason.partition(":")[0] for record in records) == [""] * 4 + ["cash"] * 5


def test_what_a_decision_was_made_on_is_kept_with_it(book: Book) -> None:
    record = book.propose(of("IBM"))
    with book.database.connect() as connection:
        row = connection.execute(
            "select findings, facts, exposure from oms.risk_decision where intent_id = %s", (record.intent_id,)
        ).fetchone()
    assert row is not None
    findings, facts, exposure = row
    assert {f["code"]: f["numbers"] for f in findings}["gross"]["allowed_usd"] == "100000.000000"
    assert facts["data"]["bars"] in (20, "20")
    assert exposure["cash_usd"] in ("100000", "100000.000000")


def test_an_approval_lets_go_of_what_it_reserved_when_its_order_ends(book: Book) -> None:
    record = book.propose(of("IBM"))
    of_account = book.ledger.of_account(REF)
    epoch = of_account.lease.acquire("writer", 20.0)
    assert epoch is not None
    of_account.sends.deny(record, "changed our mind", epoch=epoch)
    of_account.lease.release()
    seen = book.exposure(of("MSFT", 2))
    assert (seen.others_gross_usd, seen.open_buy_cost_usd) == (0, 0)
    assert seen.approved_today_usd == 2060  # what was approved today stays approved today


def test_the_approval_of_an_order_in_doubt_keeps_what_it_reserved(book: Book) -> None:
    record = book.propose(of("IBM"))
    of_account = book.ledger.of_account(REF)
    epoch = of_account.lease.acquire("writer", 20.0)
    assert epoch is not None
    of_account.sends.begin_send(record, epoch=epoch, request={}, market_at=EVENING)
    of_account.doubts.doubt_in_flight(epoch=epoch)
    of_account.lease.release()
    assert book.exposure(of("MSFT", 2)).others_gross_usd == 2060


def test_a_review_that_is_not_given_the_machine_denies(database: Database) -> None:
    from ibkr_assets.adapters.postgres.intents import PostgresIntents

    furnish(database)
    book = PostgresIntents(database, "salt")
    review = review_with(
        book, of("IBM"), limits=LIMITS, platform_mode=Mode.SIM, now=EVENING, calendar=exchange_calendar("XNYS")
    )
    record = book.propose(of("IBM"), review, now=EVENING, dagster_run_id=None, created_by="test", limits=LIMITS)
    assert record.reason.startswith("version: ")
