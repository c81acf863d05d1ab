"""A past decision judged again by other limits, and never where what it was made on is not known."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.domain.plain import to_plain
from ibkr_assets.risk.engine import Approved, Denied, review
from ibkr_assets.risk.facts import Exposure, Facts, Limits
from ibkr_assets.risk.what_if import Answer, PastDecision, parse_changes, review_again, sum_up
from ibkr_assets_tests.risk.orders import FACTS, INTENT, LIMITS, NOTHING, facts, intent, limits


def past(
    order: OrderIntent = INTENT, seen: Facts = FACTS, exposed: Exposure = NOTHING, held_to: Limits = LIMITS
) -> PastDecision:
    decision = review(order, seen, exposed, held_to)
    return PastDecision(
        intent=order, client_order_id="q1-x", is_approved=isinstance(decision, Approved), findings=decision.findings,
        limits=held_to.as_text(), facts=to_plain(seen), exposure=to_plain(exposed),
    )  # fmt: skip


def what_if(decision: PastDecision, *changes: str) -> tuple[Answer, str]:
    found = review_again(decision, parse_changes(changes))
    return found.answer, found.code


def test_by_the_same_limits_everything_is_as_it_was() -> None:
    denied = past(intent(symbol="AAPL"))
    assert what_if(past(), "max_order_value_usd=10000") == (Answer.SAME, "")
    assert what_if(denied, "max_order_value_usd=10000") == (Answer.SAME, "allow_list")


def test_a_tighter_limit_denies_and_says_by_which_rule_with_the_numbers() -> None:
    found = review_again(past(), parse_changes(["max_order_value_usd=5000"]))
    assert (found.answer, found.code) == (Answer.DENIED, "order_value")
    assert "8240.00 USD exceeds 5000 USD" in found.text
    assert found.notional_usd == 8240


def test_a_looser_limit_approves_what_it_alone_had_denied() -> None:
    decision = past(intent(quantity=Decimal(60)))  # 12,360 USD, beyond a tenth of NAV as an order and as a position
    assert what_if(decision, "max_order_value_usd=20000") == (Answer.SAME, "order_value")
    wider = ("max_order_value_usd=20000", "max_order_nav_fraction=0.2", "max_position_nav_fraction=0.2")
    assert what_if(decision, *wider) == (Answer.APPROVED, "order_value")


def test_a_decision_keeps_its_own_limits_but_for_those_that_are_set() -> None:
    decision = past(held_to=limits(max_order_value_usd=Decimal(20_000), max_order_nav_fraction=Decimal("0.9")))
    assert what_if(decision, "max_order_nav_fraction=0.5") == (Answer.SAME, "")
    assert what_if(decision, "max_order_nav_fraction=0.05") == (Answer.DENIED, "order_value")


@pytest.mark.parametrize("missing", ["limits", "facts", "exposure"])
def test_what_was_not_stored_cannot_be_told(missing: str) -> None:
    decision = replace(past(), **{missing: None})
    assert what_if(decision, "max_order_value_usd=1") == (Answer.UNKNOWN, "not_stored")


@pytest.mark.parametrize(
    ("name", "value"),
    [("facts", {}), ("facts", {"now": "noon"}), ("exposure", {"held": "None"}), ("limits", {"may_short": 3})],
)
def test_what_cannot_be_read_cannot_be_told(name: str, value: Any) -> None:
    assert what_if(replace(past(), **{name: value}), "max_order_value_usd=1") == (Answer.UNKNOWN, "not_stored")


def test_a_number_that_is_missing_among_the_stored_facts_is_not_made_up() -> None:
    decision = past()
    for group, name, code in (("facts", "nav_usd", "order_value"), ("exposure", "orders_today", "order_count")):
        stored = {**getattr(decision, group), name: None}
        found = review_again(replace(decision, **{group: stored}), parse_changes(["max_order_value_usd=1"]))
        assert (found.answer, found.code) == (Answer.UNKNOWN, "other_rules")
        assert code in found.text


def test_only_rules_that_were_heard_then_are_heard_again() -> None:
    before_there_were_counts = replace(past(), findings=tuple(f for f in past().findings if f.code != "order_count"))
    assert what_if(before_there_were_counts, "max_orders_per_day=0") == (Answer.SAME, "")
    assert what_if(past(), "max_orders_per_day=0") == (Answer.DENIED, "order_count")


def test_a_rule_that_is_gone_cannot_be_told() -> None:
    renamed = tuple(replace(f, code="moon_phase") if f.code == "gross" else f for f in past().findings)
    found = review_again(replace(past(), findings=renamed), parse_changes(["max_order_value_usd=1"]))
    assert (found.answer, found.code) == (Answer.UNKNOWN, "other_rules")
    assert "moon_phase" in found.text


def test_an_order_that_was_denied_without_a_net_asset_value_stays_denied() -> None:
    denied = past(seen=facts(nav_usd=None))
    assert isinstance(review(INTENT, facts(nav_usd=None), NOTHING, LIMITS), Denied)
    assert what_if(denied, "max_order_value_usd=99999") == (Answer.SAME, "order_value")


def test_sums_are_by_answer_and_code() -> None:
    change = parse_changes(["max_order_value_usd=5000"])
    some = [past(), past(), past(intent(quantity=Decimal(10))), replace(past(), facts=None)]
    found = sum_up(review_again(decision, change) for decision in some)
    assert [(s.answer, s.code, s.decisions, s.notional_usd) for s in found] == [
        (Answer.SAME, "", 1, 2060),
        (Answer.DENIED, "order_value", 2, 16480),
        (Answer.UNKNOWN, "not_stored", 1, 8240),
    ]


def test_symbols_sectors_and_shorts_can_be_set() -> None:
    change = parse_changes(["allowed_symbols=ibm, aapl", "sectors=IBM:tech,GE:industry", "may_short=true"])
    found = change(LIMITS)
    assert (found.allowed_symbols, found.may_short) == (frozenset({"IBM", "AAPL"}), True)
    assert dict(found.sectors) == {"IBM": "tech", "GE": "industry"}
    assert found.max_order_value_usd == LIMITS.max_order_value_usd


@pytest.mark.parametrize(
    "text",
    ["max_order_value", "max_moon_phase=1", "max_order_value_usd=much", "max_order_value_usd=-1",
     "max_order_value_usd=NaN", "may_short=maybe"],
)  # fmt: skip
def test_a_change_that_is_none_is_named(text: str) -> None:
    with pytest.raises(InputError, match=r"^set"):
        parse_changes([text])
