"""R22 and R23: does the decision rest on data and models that may be relied on?

What goes here: the bars and features behind a signal, and what a model or a language model may decide. What does not:
judging bars (`market.validation`) and registering models (`adapters`).
"""

from __future__ import annotations

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import ZERO, answer, denied, known, show, unknown


def check_data(intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """All bars validated, none in quarantine, none changed since the signal; its features there and finite.

    Source: NautilusTrader's data checks before its risk engine; SEC 15c3-5(c)(1)(ii), erroneous orders.
    """
    data = facts.data
    numbers = show(
        has_signal=data.has_signal, bars=data.bars, unproven_bars=data.unproven_bars, revised_bars=data.revised_bars,
        features=data.features, infinite_features=data.infinite_features,
    )  # fmt: skip
    got = known(data.bars, data.unproven_bars, data.revised_bars)
    if got is None or data.has_signal is None:
        return unknown(DenialCode.DATA, numbers)
    bars, unproven, revised = got
    if bars <= ZERO or unproven != ZERO or revised != ZERO:
        text = (
            f"{intent.symbol}: of {bars} bars up to {intent.session_date} {unproven} are not proven and {revised} "
            "changed since the signal"
        )
        return denied(DenialCode.DATA, numbers, text)
    if not data.has_signal:
        return answer(DenialCode.DATA, numbers, "", is_passed=True)
    features = known(data.features, data.infinite_features)
    if features is None:
        return unknown(DenialCode.DATA, numbers)
    text = f"{intent.symbol}: {features[1]} of {features[0]} features of {intent.session_date} are no numbers"
    return answer(DenialCode.DATA, numbers, text, is_passed=features[0] > ZERO and features[1] == ZERO)


def check_model(intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """A score within [-1, 1]; a model that is registered and approved; a language model that decides little.

    Source: OWASP LLM06:2025, excessive agency.
    """
    data = facts.data
    numbers = show(
        has_signal=data.has_signal, score=data.score, model=data.model, is_model_approved=data.is_model_approved,
        llm_weight=data.llm_weight, allowed_llm_weight=limits.max_llm_weight,
    )  # fmt: skip
    if data.has_signal is False:
        return answer(DenialCode.MODEL, numbers, "", is_passed=True)
    got = known(data.score, data.llm_weight, limits.max_llm_weight)
    if got is None or data.model is None:
        return unknown(DenialCode.MODEL, numbers)
    score, weight, allowed = got
    if abs(score) > 1:
        return denied(DenialCode.MODEL, numbers, f"score {score} of {intent.strategy_id} is beyond 1")
    if data.model and not data.is_model_approved:
        return denied(DenialCode.MODEL, numbers, f"model {data.model} is not registered and approved")
    text = f"a language model decides {weight} of the score; {allowed} are allowed"
    return answer(DenialCode.MODEL, numbers, text, is_passed=ZERO <= weight <= allowed)
