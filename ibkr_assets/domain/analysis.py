"""What is asked of a language model, what it answers, and why there may be no answer: values only.

What goes here: the question without anything that identifies an account, the answer within its bounds, the closed list
of reasons to abstain, and one request as it is kept. What does not: the prompt (`strategies.analyst_prompt`), reading
an answer (`strategies.analyst_answer`), asking (`execution.analyst`) and storing (`adapters.postgres.llm_calls`).
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """What is known of one instrument after one bar, by fact id. `opened_at` (aware UTC) finds notes and is not shown.

    There is no position, no money and no name in it. `chart` is a PNG or None. `model` is asked in place of the one of
    the settings, `samples` times in place of their number, where they are not None.
    """

    conid: int
    opened_at: datetime
    facts: Mapping[str, str]
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
    """On whose account is asked: a version of a strategy in one session, within a Dagster run or none."""

    strategy_id: str
    strategy_version: int
    session_date: date
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


@dataclass(frozen=True, slots=True)
class Budgets:
    """At most so much for one request, for a strategy in a UTC day, and for all in a UTC day."""

    call_usd: Decimal
    strategy_usd: Decimal
    day_usd: Decimal


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A request that was answered before."""

    call_id: int
    text: str
    model: str | None
