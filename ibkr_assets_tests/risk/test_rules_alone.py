"""What holds of every rule: it cites its source, denies what it is not told, and a wider limit denies nothing more."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.domain.broker import MarginMove, OrderPreview
from ibkr_assets.domain.order import Mode, OrderIntent, Side, TimeInForce
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.engine import Approved, Denied, Finding, hear, review, review_departure
from ibkr_assets.risk.facts import DataFacts, Exposure, Facts, InstrumentFacts, Limits, PlatformFacts
from ibkr_assets.risk.loss import LossConsequence, loss_consequence
from ibkr_assets.risk.rules import APPROVAL, DEPARTURE, RULES, UNASKED, Heard
from ibkr_assets_tests.risk.orders import FACTS, INTENT, LIMITS, NOTHING, NOW, exposure, facts, intent, limits

CODE = DenialCode
NAN = Decimal("NaN")
SOURCES = re.compile(r"15c3-5|RTS 6|RTS 25|FIA|IBKR|Knight|OWASP")
#: Limits that are wider the lower they are.
FLOORS = {"cash_reserve_fraction", "min_disk_free_fraction", "min_disk_free_bytes", "session_edge_minutes"}
#: Those that say what looks alike, or group instruments, are no amounts.
NO_AMOUNTS = {"allowed_symbols", "sectors", "may_short", "look_alike_minutes", "look_alike_price_fraction"}


def test_the_24_rules_are_all_there_and_each_says_what_it_is_held_against_and_where_it_comes_from() -> None:
    assert {rule.id for rule in RULES.values()} == {f"R{number}" for number in range(1, 25)}
    names = {field.name for field in fields(Limits)}
    for rule in RULES.values():
        assert set(rule.limits) <= names, rule.code
        assert SOURCES.search(inspect.getdoc(rule.check) or ""), f"{rule.code} cites nothing"
    unused = names - {name for rule in RULES.values() for name in rule.limits}
    assert unused == set()


def test_what_is_heard_when_is_in_the_order_of_the_registry() -> None:
    order = list(RULES.values())
    assert list(APPROVAL) == [rule for rule in order if rule.heard is not Heard.DEPARTURE]
    assert list(DEPARTURE) == [rule for rule in order if rule.heard is not Heard.APPROVAL]


def test_only_what_passes_by_itself_may_wait_at_departure() -> None:
    decision = review_departure(INTENT, FACTS, replace(NOTHING, messages_last_second=1), LIMITS)
    assert isinstance(decision, Denied)
    assert (decision.code, decision.is_patient) == ("throttle", True)
    late = facts(departure={"gateway_skew_s": 5.0})
    decision = review_departure(INTENT, late, replace(NOTHING, messages_last_second=1), LIMITS)
    assert isinstance(decision, Denied)
    assert (decision.code, decision.is_patient) == ("clock", False)


#: Every figure that a rule must be told, and the rule that asks for it.
ASKED_OF_EXPOSURE = {
    "held": CODE.POSITION, "open_buys": CODE.POSITION, "open_sells": CODE.POSITION, "others_gross_usd": CODE.GROSS,
    "others_net_high_usd": CODE.NET, "others_net_low_usd": CODE.NET, "others_sector_usd": CODE.SECTOR,
    "cash_usd": CODE.CASH, "open_buy_cost_usd": CODE.CASH, "approved_today_usd": CODE.DAILY_NOTIONAL,
    "orders_today": CODE.ORDER_COUNT, "orders_today_of_instrument": CODE.ORDER_COUNT, "working_orders": CODE.MESSAGES,
    "messages_last_second": CODE.THROTTLE, "messages_last_minute": CODE.THROTTLE, "messages_today": CODE.MESSAGES,
    "repeats_today": CODE.REPEATED, "look_alike": CODE.LOOK_ALIKE, "decided_quantity": CODE.DECISION_SUM,
    "taken_quantity": CODE.DECISION_SUM, "reconciled_age_s": CODE.RECONCILED, "difference": CODE.RECONCILED,
    "day_loss_fraction": CODE.LOSS, "drawdown_fraction": CODE.LOSS,
}  # fmt: skip
ASKED_OF_FACTS = {
    ("instrument", "currency"): CODE.CONTRACT, ("instrument", "contract_age_s"): CODE.CONTRACT,
    ("instrument", "average_volume"): CODE.ORDER_SIZE, ("instrument", "average_true_range"): CODE.PRICE_COLLAR,
    ("instrument", "recent_volume"): CODE.RECENT_VOLUME,
    ("data", "has_signal"): CODE.DATA, ("data", "signal_age_bars"): CODE.SIGNAL_AGE, ("data", "bars"): CODE.DATA,
    ("data", "unproven_bars"): CODE.DATA, ("data", "revised_bars"): CODE.DATA, ("data", "features"): CODE.DATA,
    ("data", "infinite_features"): CODE.DATA, ("data", "score"): CODE.MODEL, ("data", "model"): CODE.MODEL,
    ("data", "llm_weight"): CODE.MODEL, ("platform", "own"): CODE.VERSION, ("platform", "submitter"): CODE.VERSION,
    ("platform", "clock_skew_s"): CODE.PLATFORM, ("platform", "disk_free_bytes"): CODE.PLATFORM,
    ("platform", "disk_size_bytes"): CODE.PLATFORM, ("departure", "quote"): CODE.QUOTE,
    ("departure", "quoted_at"): CODE.QUOTE, ("departure", "gateway_skew_s"): CODE.CLOCK,
    ("departure", "is_calendar_known"): CODE.MARKET_HOURS, ("departure", "reset_zone"): CODE.NIGHTLY_RESET,
    ("departure", "preview"): CODE.MARGIN,
}  # fmt: skip


def denials(
    order: OrderIntent = INTENT, known: Facts = FACTS, exposed: Exposure = NOTHING, in_force: Limits = LIMITS
) -> set[str]:
    findings: tuple[Finding, ...] = hear(tuple(RULES.values()), order, known, exposed, in_force)
    return {finding.code for finding in findings if not finding.is_passed}


def test_an_ordinary_order_passes_every_rule_at_both_times() -> None:
    assert denials() == set()


@pytest.mark.parametrize(("name", "code"), ASKED_OF_EXPOSURE.items())
def test_a_shared_figure_that_is_missing_or_no_number_denies(name: str, code: DenialCode) -> None:
    assert str(code) in denials(exposed=replace(NOTHING, **{name: None}))  # type: ignore[arg-type]
    if isinstance(getattr(NOTHING, name), Decimal):
        assert str(code) in denials(exposed=replace(NOTHING, **{name: NAN}))


def test_every_shared_figure_is_asked_for() -> None:
    one_is_enough = {"settled_cash_usd", "broker_settled_cash_usd"}
    assert set(ASKED_OF_EXPOSURE) | one_is_enough == {field.name for field in fields(Exposure)}


def settled(own: Decimal | str | None, brokers: Decimal | str | None, **changes: Any) -> set[str]:
    own, brokers = (None if figure is None else Decimal(figure) for figure in (own, brokers))
    exposed = replace(NOTHING, settled_cash_usd=own, broker_settled_cash_usd=brokers, **changes)
    return denials(exposed=exposed)


def test_settled_cash_is_the_lower_figure_and_one_of_both_is_enough() -> None:
    # 40 x 206 USD and two hundredths of it are 8,404.80 USD
    assert settled("8404.80", None) == settled(None, "8404.80") == settled("8404.80", "9000") == set()
    short = {"settled_cash"}
    assert settled("8404.79", None) == settled(None, "8404.79") == short
    assert settled("100000", "8404.79") == settled("8404.79", "100000") == short
    assert settled(None, None) == settled(NAN, "100000") == settled("100000", NAN) == short
    assert settled("10404.80", None, open_buy_cost_usd=Decimal(2000)) == set()
    assert settled("10404.79", None, open_buy_cost_usd=Decimal(2000)) == short
    sale = intent(side=Side.SELL, limit_price=Decimal("199.00"))
    held = exposure(40, settled_cash_usd=Decimal(0), broker_settled_cash_usd=Decimal(-5))
    assert denials(sale, exposed=held) == set()


def test_an_order_is_a_twentieth_of_the_half_hour_before_at_most_where_there_is_one() -> None:
    def volume(shares: str | None, without: str = "") -> set[str]:
        recent = None if shares is None else Decimal(shares)
        return denials(known=facts(instrument={"recent_volume": recent, "without_recent_volume": without}))

    assert volume("800") == set()
    assert volume("799") == volume("0") == volume(None) == volume("NaN") == {"recent_volume"}
    assert volume(None, "it was decided on daily bars") == set()
    (found,) = hear(
        [RULES[CODE.RECENT_VOLUME]], INTENT, facts(instrument={"without_recent_volume": "daily bars"}), NOTHING, LIMITS
    )
    assert (found.is_passed, found.numbers) == (True, {"quantity": "40", "not_applicable": "daily bars"})
    reducing = intent(side=Side.SELL, quantity=Decimal(40))
    thin = facts(instrument={"recent_volume": Decimal(1)})
    assert "recent_volume" not in denials(reducing, thin, exposure(40))
    assert "recent_volume" in denials(reducing, thin, exposure(39))


@pytest.mark.parametrize(("where", "code"), ASKED_OF_FACTS.items())
def test_a_fact_that_is_missing_or_no_number_denies(where: tuple[str, str], code: DenialCode) -> None:
    group, name = where
    assert str(code) in denials(known=facts(**{group: {name: None}}))
    if isinstance(getattr(getattr(FACTS, group), name), Decimal | float):
        assert str(code) in denials(known=facts(**{group: {name: NAN}}))


def test_every_fact_is_asked_for() -> None:
    names = {("instrument", f.name) for f in fields(InstrumentFacts)} | {("data", f.name) for f in fields(DataFacts)}
    names |= {("platform", f.name) for f in fields(PlatformFacts)}
    only_for_some = {
        ("data", "is_model_approved"), ("platform", "alert_age_s"), ("instrument", "without_recent_volume"),
    }  # fmt: skip
    assert names - only_for_some == {where for where in ASKED_OF_FACTS if where[0] != "departure"}


@pytest.mark.parametrize(
    "name", sorted(f.name for f in fields(Limits) if isinstance(getattr(LIMITS, f.name), Decimal))
)  # fmt: skip
def test_a_limit_that_is_no_number_denies(name: str) -> None:
    live = replace(FACTS, mode=Mode.LIVE, platform=replace(FACTS.platform, alert_age_s=Decimal(1)))
    order = intent(mode=Mode.LIVE)
    assert denials(order, live) == set()
    assert denials(order, live, in_force=limits(**{name: NAN}))


_USD = st.integers(0, 200_000).map(Decimal)
_FRACTION = st.integers(0, 400).map(lambda n: Decimal(n) / 1000)
EXPOSURES = st.builds(
    Exposure,
    held=st.integers(-400, 400).map(Decimal), open_buys=st.integers(0, 100).map(Decimal),
    open_sells=st.integers(0, 100).map(Decimal), others_gross_usd=_USD, others_net_high_usd=_USD,
    others_net_low_usd=_USD, others_sector_usd=_USD, cash_usd=_USD, settled_cash_usd=_USD,
    broker_settled_cash_usd=st.none() | _USD, open_buy_cost_usd=_USD, approved_today_usd=_USD,
    orders_today=st.integers(0, 60), orders_today_of_instrument=st.integers(0, 8), working_orders=st.integers(0, 8),
    messages_last_second=st.integers(0, 3), messages_last_minute=st.integers(0, 9), messages_today=st.integers(0, 120),
    repeats_today=st.integers(0, 5), look_alike=st.just(""), decided_quantity=st.just(Decimal(10**6)),
    taken_quantity=st.just(Decimal(0)), reconciled_age_s=st.integers(0, 400).map(Decimal), difference=st.just(""),
    day_loss_fraction=_FRACTION, drawdown_fraction=_FRACTION,
)  # fmt: skip
ORDERS = st.builds(
    lambda side, quantity, limit: intent(side=side, quantity=Decimal(quantity), limit_price=Decimal(limit)),
    st.sampled_from(Side), st.integers(1, 500), st.integers(180, 220),
)  # fmt: skip
AMOUNTS = sorted(field.name for field in fields(Limits) if field.name not in NO_AMOUNTS)


def widen(in_force: Limits, name: str, by: int) -> Limits:
    """One limit `by` times as wide."""
    value = getattr(in_force, name)
    return replace(in_force, **{name: value // by if name in FLOORS and isinstance(value, int) else
                                value / by if name in FLOORS else value * by})  # fmt: skip


@given(ORDERS, EXPOSURES, st.sampled_from(AMOUNTS), st.integers(2, 50))
@settings(max_examples=400, deadline=None)
def test_a_wider_limit_never_turns_an_approval_into_a_denial(
    order: OrderIntent, exposed: Exposure, name: str, by: int
) -> None:
    assert denials(order, FACTS, exposed, widen(LIMITS, name, by)) <= denials(order, FACTS, exposed)


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.sampled_from(Side), st.integers(1, 10**7))
@settings(max_examples=200, deadline=None)
def test_what_only_makes_a_position_smaller_passes_every_limit_of_size(
    held: int, other: int, side: Side, nav: int
) -> None:
    quantity = min(held, other + 1)
    signed = held if side is Side.SELL else -held
    order = intent(side=side, quantity=Decimal(quantity))
    exposed = exposure(signed, others_gross_usd=Decimal(10**12), others_net_high_usd=Decimal(10**12),
                       others_sector_usd=Decimal(10**12), approved_today_usd=Decimal(10**12))  # fmt: skip
    sizes = {
        "order_value",
        "order_size",
        "recent_volume",
        "position",
        "gross",
        "net",
        "sector",
        "daily_notional",
        "loss",
        "no_short",
    }
    assert not denials(order, facts(nav_usd=Decimal(nav)), replace(exposed, day_loss_fraction=Decimal(1))) & sizes


@given(st.lists(ORDERS, max_size=12))
@settings(max_examples=60, deadline=None)
def test_no_sequence_of_approvals_leads_outside_a_limit(orders: list[OrderIntent]) -> None:
    """Each order sees those approved before it; at the end everything that is open is held against the limits."""
    wide = limits(max_order_value_usd=Decimal(10**6), max_order_nav_fraction=Decimal(1), max_orders_per_day=7,
                  max_position_nav_fraction=Decimal("0.5"), may_short=True, price_collar_atr=Decimal(10),
                  price_collar_fraction=Decimal("0.2"), max_daily_notional_nav_fraction=Decimal("0.6"))  # fmt: skip
    buys = sells = spent = Decimal(0)
    approved = 0
    for order in orders:
        told = exposure(0, str(buys), str(sells), approved_today_usd=spent, orders_today=approved)
        if isinstance(review(order, FACTS, told, wide), Approved):
            price = max(order.limit_price or Decimal(0), order.reference_price)
            buys, sells = (buys + order.quantity, sells) if order.side is Side.BUY else (buys, sells + order.quantity)
            spent, approved = spent + order.quantity * price, approved + 1
    assert approved <= 7
    assert spent <= 60_000
    assert max(buys, sells) * 200 <= 50_000


SESSION = TradingSession(
    "XNYS", NOW.date(), datetime(2012, 10, 2, 13, 30, tzinfo=UTC), datetime(2012, 10, 2, 20, tzinfo=UTC)
)


@pytest.mark.parametrize(
    ("minutes", "is_passed"), [(-1, False), (0, False), (4, False), (5, True), (384, True), (385, False), (390, False)]
)
def test_an_order_of_the_day_leaves_within_the_session_but_for_its_edges(minutes: int, is_passed: bool) -> None:
    now = SESSION.opens_at + timedelta(minutes=minutes)
    order = intent(time_in_force=TimeInForce.DAY)
    at = replace(facts(departure={"session": SESSION if SESSION.is_open_at(now) else None}), now=now)
    assert RULES[CODE.MARKET_HOURS](order, at, NOTHING, LIMITS).is_passed is is_passed
    on_open = RULES[CODE.MARKET_HOURS](INTENT, at, NOTHING, LIMITS)
    assert on_open.is_passed is not SESSION.is_open_at(now)


@pytest.mark.parametrize(
    ("day", "fall", "action"),
    [
        ("0", "0", None), ("0.0199", "0.0999", None), ("0.02", "0", "disarm"), ("0.0299", "0.05", "disarm"),
        ("0.03", "0", "kill_cancel"), ("0.5", "0.5", "kill_cancel"), ("0", "0.10", "disarm"), (None, "0", "disarm"),
        ("0", "NaN", "disarm"),
    ],
)  # fmt: skip
def test_what_a_loss_does_to_the_permission_to_trade(day: str | None, fall: str, action: str | None) -> None:
    found = loss_consequence(None if day is None else Decimal(day), Decimal(fall), LIMITS)
    assert (found.action if isinstance(found, LossConsequence) else None) == action


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"score": Decimal("1.01")}, "model"), ({"model": "m1"}, "model"), ({"llm_weight": Decimal("0.21")}, "model"),
        ({"llm_weight": Decimal("-0.01")}, "model"), ({"revised_bars": 1}, "data"), ({"bars": 0}, "data"),
        ({"infinite_features": 1}, "data"), ({"features": 0}, "data"),
        ({"signal_age_bars": Decimal("1.51")}, "signal_age"),
    ],
)  # fmt: skip
def test_data_and_models_that_may_not_be_relied_on_deny(changes: dict[str, Any], code: str) -> None:
    assert denials(known=facts(data=changes)) == {code}


def test_a_model_that_is_approved_passes_and_an_order_from_outside_needs_none() -> None:
    assert denials(known=facts(data={"model": "m1", "is_model_approved": True})) == set()
    outside = DataFacts(
        has_signal=False, signal_age_bars=Decimal(0), bars=20, unproven_bars=0, revised_bars=0
    )  # fmt: skip
    assert denials(known=replace(FACTS, data=outside)) == set()


@pytest.mark.parametrize("age", [None, NAN, Decimal(601), Decimal(-1)])
def test_live_wants_somebody_who_hears_an_alarm(age: Decimal | None) -> None:
    live, order = facts(mode=Mode.LIVE, platform={"alert_age_s": age}), intent(mode=Mode.LIVE)
    assert denials(order, live) == {"platform"}
    assert denials(INTENT, facts(platform={"alert_age_s": age})) == set()


@pytest.mark.parametrize(
    ("quote", "is_passed"),
    [
        ({"bid": Decimal(199), "ask": Decimal(201)}, True),  # 206 is 3 % above 200
        ({"bid": Decimal(198), "ask": Decimal(200)}, False),
        ({"bid": None, "ask": Decimal(150), "last": Decimal(200)}, True),
        ({"bid": None, "ask": None, "last": Decimal(199)}, False),
    ],
)
def test_the_newest_price_is_the_middle_of_bid_and_ask_or_else_the_last(quote: dict[str, Any], is_passed: bool) -> None:
    assert FACTS.departure.quote is not None
    newest = facts(departure={"quote": replace(FACTS.departure.quote, **quote)})
    assert RULES[CODE.COLLAR](INTENT, newest, NOTHING, LIMITS).is_passed is is_passed


PREVIEW = OrderPreview(Decimal(99_999), MarginMove(Decimal(4_000), Decimal(60_000)), MarginMove(NAN, NAN), None)


@pytest.mark.parametrize(
    ("equity", "margin", "is_passed"),
    [
        ("60000", "60000", True), ("59999.99", "60000", False), ("60000", "60000.01", False), ("0", "0", True),
        ("-1", "0", False), ("NaN", "1", False), ("1", "NaN", False), ("Infinity", "1", False),
    ],
)  # fmt: skip
def test_equity_after_the_order_covers_its_initial_margin(equity: str, margin: str, is_passed: bool) -> None:
    said = replace(PREVIEW, equity_after=Decimal(equity), initial_margin=MarginMove(Decimal(1), Decimal(margin)))
    assert denials(known=facts(departure={"preview": said})) == (set() if is_passed else {"margin"})


def test_a_broker_that_does_not_say_what_an_order_would_do_denies_for_good() -> None:
    silent = facts(departure={"preview": None, "preview_failure": "no whole answer"})
    decision = review_departure(INTENT, silent, NOTHING, LIMITS)
    assert isinstance(decision, Denied)
    assert (decision.code, decision.is_patient) == ("margin", False)
    assert decision.text == "the broker did not say what the order would do: no whole answer"
    assert isinstance(review_departure(INTENT, silent, NOTHING, LIMITS, rules=UNASKED), Approved)


def test_where_a_preview_may_be_missing_one_that_is_there_is_heard_all_the_same() -> None:
    lenient = replace(LIMITS, may_lack_preview=True)
    silent = facts(departure={"preview": None, "preview_failure": "404"})
    short = replace(PREVIEW, equity_after=Decimal(1), initial_margin=MarginMove(Decimal(1), Decimal(2)))
    assert denials(known=silent, in_force=lenient) == set()
    assert denials(known=facts(departure={"preview": short}), in_force=lenient) == {"margin"}


@pytest.mark.parametrize(
    ("order", "exposed", "why"),
    [
        (intent(mode=Mode.DRY_RUN), NOTHING, "nothing is asked in dry_run"),
        (intent(side=Side.SELL), exposure(40), "the order only reduces a position"),
        (intent(side=Side.BUY), exposure(-40), "the order only reduces a position"),
    ],
)
def test_a_rehearsal_and_what_only_reduces_need_no_preview(order: OrderIntent, exposed: Exposure, why: str) -> None:
    finding = RULES[CODE.MARGIN](order, facts(departure={"preview": None}), exposed, LIMITS)
    assert (finding.is_passed, finding.numbers) == (True, {"preview": why})
    more = replace(order, mode=Mode.SIM, quantity=Decimal(41))
    assert not RULES[CODE.MARGIN](more, facts(departure={"preview": None}), exposed, LIMITS).is_passed
