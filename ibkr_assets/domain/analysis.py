"""What is asked of a language model, what it answers, and why there may be no answer: values only.

What goes here: the question without anything that identifies an account, the answer within its bounds, the closed list
of reasons to abstain, and one request as it is kept. What does not: the prompt (`strategies.analyst_prompt`), reading
an answer (`strategies.analyst_answer`), asking (`execution.analyst`) and storing (`adapters.postgres.llm_calls`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ibkr_assets.domain.signal import Direction


class AbstentionCode(StrEnum):
    """Why there is no answer. The list is closed: whatever goes wrong is one of these."""

    NOT_CONFIGURED = "not_configured"
    BUDGET_CALL = "budget_call"
    BUDGET_STRATEGY = "budget_strategy"
    BUDGET_DAY = "budget_day"
    PRICE_UNKNOWN = "price_unknown"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    SCHEMA = "schema"
    EVIDENCE = "evidence"
    FOREIGN_TEXT = "foreign_text"
    OTHER_MODEL = "other_model"
    MODEL_CHANGED = "model_changed"
    NO_AGREEMENT = "no_agreement"
    NOT_STORED = "not_stored"


@dataclass(frozen=True, slots=True)
class Abstention:
    """No opinion, and why: nothing is changed because of it."""

    code: AbstentionCode
    text: str

    @property
    def reason(self) -> str:
        """For the list of what has no signal."""
        return f"the analyst abstains ({self.code.value}): {self.text}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is known of one instrument after one bar, by fact id; there is no position and no money in it.

    `symbol` and `opened_at` (of the bar, aware UTC) find notes and are not shown. `chart` is a PNG or None. `model` is
    asked in place of the one of the settings, `samples` times in place of their number, where they are not None.
    """

    symbol: str
    opened_at: datetime
    facts: Mapping[str, str | float]
    chart: bytes | None = None
    samples: int | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`strength` in [-1, 1] has the direction's sign; `confidence` in [0, 1]; `evidence` are ids of facts given."""

    direction: Direction
    strength: float
    confidence: float
    horizon_days: int
    reasons: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer and the stored request that it came from."""

    answer: Answer
    call_id: int


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose account is asked: a version of a strategy, within a Dagster run or none."""

    strategy_id: str
    strategy_version: int
    dagster_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes out. `messages` name a picture by its SHA-256; `key` is the SHA-256 of all that decides.

    `settings` are temperature, seed and the like; `schema` is what the answer must look like.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]
    schema: Mapping[str, Any]
    key: str
    chart: bytes | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a million tokens, where that was read, and the day of the table."""

    input_usd_per_million: Decimal
    output_usd_per_million: Decimal
    source: str
    as_of: date

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """In USD, exact."""
        both = self.input_usd_per_million * prompt_tokens + self.output_usd_per_million * completion_tokens
        return both / 1_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the text, who says to have written it, and the tokens, None where it was not said."""

    text: str
    model: str | None
    provider_id: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    finish_reason: str | None
    latency_s: float


@dataclass(frozen=True, slots=True)
class NoReply:
    """Why nothing came back; `may_cost` says that the other side may have begun to work."""

    code: AbstentionCode
    text: str
    may_cost: bool
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Budgets:
    """At most so much in USD for one request, for a strategy in a UTC day, and for all in a UTC day."""

    call_usd: Decimal
    strategy_usd: Decimal
    day_usd: Decimal


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A request that was answered before, or just now."""

    call_id: int
    text: str
    model: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """One request with what became of it, as it is kept.

    `texts` and `names` are what outside text was quoted from, so that the prompt can be made again. `cost_usd` is the
    worst case where `is_estimate`. `price` is None where none was known, and nothing was asked then.
    """

    caller: Caller
    symbol: str
    bar_opened_at: datetime
    sample: int
    attempt: int
    request: Request
    template_sha256: str
    texts: tuple[str, ...]
    names: tuple[str, ...]
    text_events: tuple[Mapping[str, str], ...]
    endpoint: str
    outcome: str
    problem: str
    reply: Reply | None
    price: Price | None
    cost_usd: Decimal
    is_estimate: bool
    latency_s: float | None
    reservation_id: int | None


@dataclass(frozen=True, slots=True)
class Terms:
    """How is asked: what decides an answer beside the question, and what may be spent."""

    model: str
    settings: Mapping[str, Any]
    samples: int
    sees_charts: bool
    names: tuple[str, ...]
    budgets: Budgets | None
    answers_as: str | None = None
    ask_again: bool = False


#: A signal's numbers name the requests that it rests on, one a sample.
_CALL = "llm_call_"


def name_calls(answered: Sequence[Answered]) -> dict[str, float]:
    """The requests behind these answers, as numbers of a signal."""
    return {f"{_CALL}{place}": float(one.call_id) for place, one in enumerate(answered)}


def call_ids(numbers: Mapping[str, Any]) -> list[int]:
    """The requests that a signal's numbers name, by sample."""
    named = {int(name.removeprefix(_CALL)): value for name, value in numbers.items() if name.startswith(_CALL)}
    return [int(named[place]) for place in sorted(named)]
