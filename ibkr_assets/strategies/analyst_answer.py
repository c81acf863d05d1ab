"""The form of an answer, strictly: bounded numbers, a direction, reasons and the facts relied on - and nothing else.

What goes here: the schema that goes out with a question and what comes back read by it. What does not: what the text of
the reasons may say (`strategies.answer_checks`), and what an answer does to a signal (`strategies.llm_analyst`). There
is no field for a quantity, a price, a symbol or a kind of order, so no answer can name one.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ibkr_assets.domain.analysis import Answer
from ibkr_assets.domain.signal import Direction

#: An answer is a few hundred characters. What is longer is not read at all.
LONGEST_ANSWER = 8_000


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, title="Answer")

    direction: Literal["long", "short", "flat"]
    strength: float = Field(ge=-1, le=1)
    confidence: float = Field(ge=0, le=1)
    horizon_days: int = Field(ge=1, le=30)
    reasons: str = Field(min_length=1, max_length=400)
    evidence: tuple[str, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _one_direction(self) -> _Form:
        wanted = {"long": self.strength > 0, "short": self.strength < 0, "flat": self.strength == 0}
        if not wanted[self.direction]:
            raise ValueError(f"strength {self.strength:g} has not the sign of direction {self.direction}")
        return self


@cache
def answer_schema() -> dict[str, Any]:
    """The JSON schema of an answer: every field is required, and no other is allowed.

    Lengths of strings are left to `read_answer`: OpenAI's strict mode refuses a schema that has any.
    """
    schema = _Form.model_json_schema()
    for one in schema["properties"].values():
        one.pop("minLength", None)
        one.pop("maxLength", None)
    return schema


def read_answer(text: str) -> Answer | str:
    """The answer, or in one line what is wrong with it."""
    if len(text) > LONGEST_ANSWER:
        return f"{len(text)} characters, {LONGEST_ANSWER} are read"
    try:
        form = _Form.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        return f"{name}: {first['msg']}" if name else first["msg"]
    return Answer(
        Direction(form.direction), form.strength, form.confidence, form.horizon_days, form.reasons, form.evidence
    )
