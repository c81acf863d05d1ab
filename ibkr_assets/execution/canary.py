"""Whether the language model is still the one whose answers a person recorded; if not, it has no say.

What goes here: recording, comparing once a day, and abstaining for a model that changed. What does not: the questions
(`strategies.canary`) and SQL (`adapters.postgres.canaries`). Nothing is watched until somebody records: then the first
question of a day is preceded by the fixed ones, which cost what they cost and are within the budgets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from ibkr_assets.domain.analysis import Abstention, AbstentionCode, Answered, Caller, Question
from ibkr_assets.execution.analyst import KeptAnalyst
from ibkr_assets.strategies.canary import (
    QUESTIONS,
    QUESTIONS_SHA256,
    CanaryAnswer,
    CanaryRun,
    Verdict,
    find_difference,
)

#: By the database's clock: money and models know no market time.
EVERY_S = 24 * 3600.0
_CALLER = Caller("canary", 1)


class CanaryStore(Protocol):
    """Askings in the system of record. Implemented by `adapters.postgres.canaries`."""

    def newest(self, endpoint: str, model: str, questions_sha256: str, *, recorded: bool = False) -> CanaryRun | None:
        """The newest, or the newest that was recorded; None where there is none."""

    def save(self, run: CanaryRun, questions_sha256: str) -> None:
        """Keep one."""

    def model_of(self, call_id: int) -> str | None:
        """Who says to have answered a stored request."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The fixed questions, asked through an analyst that asks again whatever is stored."""

    analyst: KeptAnalyst
    store: CanaryStore

    def record(self, model: str, actor: str) -> CanaryRun | Abstention:
        """Ask, and keep the answers as those of the model that is trusted from now on."""
        answers = self._ask(model)
        return answers if isinstance(answers, Abstention) else self._keep(model, "recorded", answers, "", actor)

    def check(self, model: str, actor: str) -> CanaryRun | Abstention | None:
        """Ask, and compare with what was recorded; None where nothing was."""
        recorded = self.store.newest(self._endpoint, model, QUESTIONS_SHA256, recorded=True)
        if recorded is None:
            return None
        answers = self._ask(model)
        if isinstance(answers, Abstention):
            return answers
        difference = find_difference(recorded.answers, answers) or ""
        return self._keep(model, "changed" if difference else "same", answers, difference, actor)

    def find_trouble(self, model: str) -> Abstention | None:
        """Why this model has no say now; None where it has, or where nobody recorded it."""
        newest: CanaryRun | Abstention | None = self.store.newest(self._endpoint, model, QUESTIONS_SHA256)
        if isinstance(newest, CanaryRun) and newest.verdict != "changed" and newest.age_s >= EVERY_S:
            newest = self.check(model, "daily")
        if isinstance(newest, Abstention):
            return Abstention(newest.code, f"it could not be seen that the model is the same: {newest.text}")
        if newest is None or newest.verdict != "changed":
            return None
        return Abstention(
            AbstentionCode.OTHER_MODEL,
            f"model {model} is not the one that was recorded: {newest.difference}; `ibkr-assets canary record` accepts",
        )

    @property
    def _endpoint(self) -> str:
        return "" if self.analyst.model is None else self.analyst.model.endpoint

    def _ask(self, model: str) -> tuple[CanaryAnswer, ...] | Abstention:
        terms = replace(self.analyst.terms, samples=1, ask_again=True, answers_as=None, sees_charts=False)
        asking = replace(self.analyst, terms=terms, caller=_CALLER, notes=lambda _symbol, _at: ())
        answers: list[CanaryAnswer] = []
        for question in QUESTIONS:
            found = asking.ask(replace(question, model=model))
            if isinstance(found, Abstention):
                return found
            answers += [
                CanaryAnswer(self.store.model_of(one.call_id), one.answer.direction.value, one.answer.strength)
                for one in found
            ]
        return tuple(answers)

    def _keep(
        self, model: str, verdict: Verdict, answers: tuple[CanaryAnswer, ...], difference: str, actor: str
    ) -> CanaryRun:
        run = CanaryRun(self._endpoint, model, verdict, answers, difference, actor)
        self.store.save(run, QUESTIONS_SHA256)
        return run


@dataclass(frozen=True, slots=True)
class WatchedAnalyst:
    """Implements `strategies.analyst.Analyst`: answers while the model is the one that was recorded."""

    analyst: KeptAnalyst
    canary: Canary

    @property
    def sees_charts(self) -> bool:
        """As the analyst."""
        return self.analyst.sees_charts

    def ask(self, question: Question) -> tuple[Answered, ...] | Abstention:
        """As the analyst, or the reason why its model has no say."""
        trouble = self.canary.find_trouble(question.model or self.analyst.terms.model)
        return self.analyst.ask(question) if trouble is None else trouble


def watch(analyst: KeptAnalyst, store: CanaryStore | None) -> KeptAnalyst | WatchedAnalyst:
    """The analyst as it may be asked; without a store it only looks up what was answered before, and stays as it is."""
    return analyst if store is None else WatchedAnalyst(analyst, Canary(analyst, store))
