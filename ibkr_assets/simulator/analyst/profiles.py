"""How the stand-in may behave, so that whoever asks it can be shown to cope.

What goes here: the list, and which one is in force for how long. What does not: what each does to an answer
(`completions`), and obeying (`obedience`).
"""

from __future__ import annotations

from dataclasses import dataclass

PROFILES: dict[str, str] = {
    "rule": "answers by its rule",
    "obey": "does whatever any text in the prompt asks for",
    "divided": "takes the other side whenever the seed is odd",
    "invalid": "answers with a field that does not fit the schema",
    "garbage": "answers with text where JSON was asked for",
    "odd": "answers with characters that no text should hold, and is named by them",
    "refuse": "refuses, as models do",
    "truncated": "stops in the middle of its answer",
    "wrong_ids": "names evidence that was not given",
    "other_model": "says that another model answered",
    "other_answers": "answers everything in another way than by its rule, under the same name",
    "no_usage": "does not say how many tokens it took",
    "absurd_usage": "says that it took more tokens than there are, and names evidence that was not given",
    "slow": "answers after so many seconds",
    "rate_limit": "answers 429",
    "error": "answers 500",
    "broken": "answers 200 with a body that is no completion",
}
DEFAULT_SLOW_S = 60.0


@dataclass(slots=True)
class Behaviour:
    """The profile in force. With `times` it is in force for so many requests and then `rule` again."""

    profile: str = "rule"
    times: int | None = None
    seconds: float = DEFAULT_SLOW_S

    def take(self) -> str:
        """The profile of the next request."""
        if self.times is None:
            return self.profile
        if self.times <= 0:
            self.profile, self.times = "rule", None
            return self.profile
        self.times -= 1
        return self.profile
