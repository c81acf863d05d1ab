"""A language model's second look at what another rule wants: it may make a position smaller or prevent it.

What goes here: which facts the model is shown, and what its answers do to the rule's opinion. What does not: the prompt
(`strategies.analyst_prompt`), asking and paying (`execution.analyst`). A rule that wants no position is passed through
without a question, so that an exit never waits for a model; only the owner's `may_open` lets answers open one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from ibkr_assets.domain.analysis import Abstention, AbstentionCode, Answered, Question, name_calls
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.signal import Direction
from ibkr_assets.features.definition import check_names
from ibkr_assets.strategies.analyst import Analyst
from ibkr_assets.strategies.analyst_prompt import TEMPLATE_SHA256
from ibkr_assets.strategies.by_bar import ByBar
from ibkr_assets.strategies.strategy import Compares, Opinion, Strategy

if TYPE_CHECKING:
    import pandas as pd

#: However sure a model says it is, its confidence counts for no more: nobody has calibrated it.
MOST_CONFIDENCE = 0.8
#: Bars that a picture shows and changes are taken over.
LOOKS_BACK = 60
_CHANGES = (1, 5, 20)
_NUMBER = "{:.6g}"


class ReviewedRule(BaseModel):
    """The rule that is looked at again: another kind of strategy with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = "sma_cross"
    params: dict[str, Any] = Field(default_factory=dict)


class LlmAnalystParams(BaseModel):
    """`of` is the rule; `model` and `samples` are asked in place of those of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: ReviewedRule = ReviewedRule()
    features: Annotated[tuple[str, ...], AfterValidator(check_names)] = Field(
        ("rsi_14", "macd_hist", "volatility_20"), max_length=16
    )
    may_open: StrictBool = False
    samples: int | None = Field(None, ge=1, le=9, strict=True)
    model: str | None = Field(None, min_length=1)


class LlmAnalyst(ByBar):
    """Implements `Strategy`; answers come from the analyst it is given."""

    def __init__(
        self, params: LlmAnalystParams, build: Callable[[str, Mapping[str, Any]], Strategy], analyst: Analyst | None
    ) -> None:
        """`build` makes the rule. Raises ConfigurationError for a rule that cannot be looked at again."""
        if params.of.kind == "llm_analyst":
            raise ConfigurationError("strategy of kind 'llm_analyst': of.kind: an analyst does not review an analyst")
        self.params, self._analyst = params, analyst
        self._rule = build(params.of.kind, params.of.params)
        if isinstance(self._rule, Compares):
            raise ConfigurationError(
                f"strategy of kind 'llm_analyst': of.kind: {params.of.kind} compares its whole universe, "
                "which a review of one instrument cannot"
            )
        self.bracket = self._rule.bracket
        self.features = tuple(dict.fromkeys([*self._rule.features, *params.features]))
        self.warm_up_bars = max(self._rule.warm_up_bars, max(_CHANGES) + 1)

    @property
    def memory_bars(self) -> int:
        """What the rule remembers, and at least what is shown."""
        return max(self._rule.memory_bars, LOOKS_BACK)

    @property
    def words(self) -> str:
        """The rule's words, and what the model may do to it."""
        may = "may open, shrink or veto" if self.params.may_open else "may shrink or veto"
        return f"{self._rule.words}; a language model {may} it (instructions sha256 {TEMPLATE_SHA256[:12]})"

    def decide(self, history: pd.DataFrame) -> Opinion | Abstention | None:
        """The rule's opinion as far as the answers agree with it, or why nobody answered."""
        if len(history) < self.warm_up_bars:
            return None
        opinion = self._rule.decide(history.tail(self._rule.memory_bars).reset_index(drop=True))
        if not isinstance(opinion, Opinion) or (opinion.direction is Direction.FLAT and not self.params.may_open):
            return opinion
        if self._analyst is None:
            return Abstention(AbstentionCode.NOT_CONFIGURED, "no language model is configured (llm.base_url)")
        answered = self._analyst.ask(self._question(history, opinion, self._analyst))
        return (
            answered if isinstance(answered, Abstention) else review(opinion, answered, may_open=self.params.may_open)
        )

    def _question(self, history: pd.DataFrame, opinion: Opinion, analyst: Analyst) -> Question:
        from ibkr_assets.features.price_picture import draw_prices

        newest, closes = history.iloc[-1], history["close"].astype("float64")
        facts: dict[str, str | float] = {"rule_direction": opinion.direction.value, "rule_strength": opinion.strength}
        for bars in _CHANGES:
            facts[f"close_change_{bars}"] = _short(closes.iloc[-1] / closes.iloc[-1 - bars] - 1)
        facts |= {name: _short(newest[name]) for name in self.params.features}
        return Question(
            symbol=str(newest["symbol"]),
            opened_at=newest["opened_at"].to_pydatetime(),
            facts=facts,
            chart=draw_prices(history.tail(LOOKS_BACK)) if analyst.sees_charts else None,
            samples=self.params.samples,
            model=self.params.model,
        )


def review(opinion: Opinion, answered: Sequence[Answered], *, may_open: bool) -> Opinion | Abstention:
    """The rule's opinion after the answers: never another direction than its own or flat, and never firmer.

    With `may_open` a rule that is flat gives way to the answers. The answers have the direction that more than half of
    them give, the least strength and confidence among those, and weigh less the fewer agree.
    """
    answers = [one.answer for one in answered]
    direction, votes = Counter(answer.direction for answer in answers).most_common(1)[0]
    if 2 * votes <= len(answers):
        return Abstention(AbstentionCode.NO_AGREEMENT, f"{votes} of {len(answers)} answers are the most for one side")
    agreeing = [answer for answer in answers if answer.direction is direction]
    strength = min(abs(answer.strength) for answer in agreeing)
    confidence = min(MOST_CONFIDENCE, *(answer.confidence for answer in agreeing))
    agreement = votes / len(answers)
    weight = strength * confidence * agreement
    numbers = {
        **opinion.numbers,
        "analyst_strength": strength,
        "analyst_confidence": confidence,
        "agreement": agreement,
        "samples": float(len(answers)),
        **name_calls(answered),
    }
    said = f"{votes} of {len(answers)} answers say {direction.value} at {weight:.3g}: {agreeing[0].reasons}"
    if opinion.direction is Direction.FLAT and may_open:
        return Opinion(direction, weight if direction is not Direction.FLAT else 1.0, f"opened by {said}", numbers)
    if direction is opinion.direction:
        return Opinion(direction, opinion.strength * weight, f"{opinion.reason}; shrunk: {said}", numbers)
    return Opinion(Direction.FLAT, 1.0, f"{opinion.reason}; vetoed: {said}", numbers)


def _short(value: float) -> float:
    """Six significant digits: what is shown is what is meant, on every machine."""
    return float(_NUMBER.format(float(value)))
