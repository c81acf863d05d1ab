"""No is the default answer; yes needs a policy, our own limits, and a text about this very order."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibkr_assets.domain.broker import Question, Quote
from ibkr_assets.execution.questions import MAX_CHAIN, Standards, judge
from ibkr_assets_tests.risk.orders import intent

AT = datetime(2012, 10, 1, 21, tzinfo=UTC)
#: IBKR's own words, as recorded by users.
PRICE = 'The following order "BUY 40 IBM NYSE @ 206.0" price exceeds \nthe Percentage constraint of 3%.\nAre you sure?'
SIZE = 'The following order "BUY 40 IBM NYSE @ 206.0" size exceeds the Size Limit of 30.\nAre you sure?'
VALUE = (
    'The following order "BUY 40 IBM NYSE @ 206.0" value estimate of 8,240.00 USD exceeds \n'
    "the Total Value Limit of 5,000 USD.\nAre you sure?"
)


def quote(last="200", is_halted=False):
    price = None if last is None else Decimal(last)
    return Quote(8314, price, None, None, is_halted=is_halted, availability="R", updated_at=AT)


def standards(last="200", most=10_000, is_halted=False):
    return Standards(quote(last, is_halted), Decimal(most), Decimal("0.03"))


def verdict(ids, text, *, held_against=None, depth=1, **changes):
    question = Question("reply-1", tuple(ids), (text,))
    return judge(question, intent(**changes), held_against or standards(), depth=depth)


@pytest.mark.parametrize(("message_id", "text"), [("o163", PRICE), ("o383", SIZE), ("o451", VALUE), ("o10153", "cap")])
def test_what_our_own_limits_allow_is_confirmed(message_id, text):
    assert verdict([message_id], text).is_confirmed


def test_o163_is_declined_when_our_own_collar_does_not_pass_or_cannot_be_checked():
    for held_against in (standards("150"), standards(None), standards(is_halted=True)):
        assert not verdict(["o163"], PRICE, held_against=held_against).is_confirmed


def test_o451_is_declined_when_the_text_names_another_value_or_our_limit_is_lower():
    assert not verdict(["o451"], VALUE.replace("8,240.00", "9,999.00")).is_confirmed
    assert not verdict(["o451"], VALUE, held_against=standards(most=8_000)).is_confirmed


def test_o383_is_declined_when_the_text_names_another_size():
    assert not verdict(["o383"], "size exceeds the Size Limit of 30, yours is 400").is_confirmed


@pytest.mark.parametrize(
    "text",
    [PRICE.replace("BUY", "SELL"), PRICE.replace("40", "400"), PRICE.replace("IBM", "MSFT")],
)
def test_a_text_about_another_order_is_declined(text):
    found = verdict(["o163"], text)
    assert not found.is_confirmed
    assert "the question is about" in found.reason


@pytest.mark.parametrize("message_id", ["o354", "o382", "o10164", "o10223", "o10331", "p6", "p12", "", "O163"])
def test_every_id_without_a_policy_is_declined(message_id):
    assert not verdict([message_id], PRICE).is_confirmed


def test_one_unknown_id_among_known_ones_declines():
    assert not verdict(["o163", "o354"], PRICE).is_confirmed


def test_a_question_without_ids_is_declined():
    assert not verdict([], PRICE).is_confirmed


def test_a_chain_is_bounded():
    assert verdict(["o163"], PRICE, depth=MAX_CHAIN).is_confirmed
    assert not verdict(["o163"], PRICE, depth=MAX_CHAIN + 1).is_confirmed


@given(st.text(), st.lists(st.sampled_from(["o163", "o383", "o451", "o403", "o10153", "x"]), max_size=4))
def test_no_text_makes_the_judge_fail_and_no_foreign_id_is_ever_confirmed(text, ids):
    found = verdict(ids, text)
    assert not (found.is_confirmed and ("x" in ids or not ids))
