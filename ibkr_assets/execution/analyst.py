"""The analyst behind the strategies' door: answers from the store, else asked within the budgets, else an abstention.

What goes here: the order of effects: look up, reserve the worst case, ask once, keep what came, once more where the
form is wrong. What does not: the prompt and the form (`strategies`), HTTP (`adapters.llm`), SQL (`adapters.postgres`).
Whatever goes wrong is an abstention with its code. Without a model to ask it only looks up.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from ibkr_assets.domain.analysis import (
    Abstention,
    AbstentionCode,
    Answer,
    Answered,
    Budgets,
    Call,
    Caller,
    NoReply,
    Price,
    Question,
    Reply,
    Request,
    StoredReply,
    Terms,
)
from ibkr_assets.strategies.analyst_answer import LONGEST_ANSWER, read_answer
from ibkr_assets.strategies.analyst_prompt import TEMPLATE_SHA256, Prompt, correct, make_request, write_prompt
from ibkr_assets.strategies.answer_checks import check_answer

_log = logging.getLogger(__name__)

#: Tokens that our small picture is counted as by the provider that counts most: 2,833 and 5,667 for its one tile.
PICTURE_TOKENS = 8_500
#: What providers add around a message.
MESSAGE_TOKENS = 16
#: The first answer, and one more where its form is wrong.
MOST_ATTEMPTS = 2


class LanguageModel(Protocol):
    """One request to one endpoint. Implemented by `adapters.llm.chat`."""

    endpoint: str

    def fetch_reply(self, request: Request) -> Reply | NoReply:
        """What came back, asked once; nothing is raised for what came or did not come."""


class CallStore(Protocol):
    """Requests in the system of record. Implemented by `adapters.postgres.llm_calls`."""

    def find(self, key: str) -> StoredReply | None:
        """The first answer to these inputs."""

    def reserve(self, caller: Caller, worst_usd: Decimal, budgets: Budgets) -> int | Abstention:
        """Set the worst case aside, under one lock, or say which budget it would exceed."""

    def save(self, call: Call) -> StoredReply:
        """Keep a request with what became of it."""


@dataclass(frozen=True, slots=True)
class KeptAnalyst:
    """Implements `strategies.analyst.Analyst` for one strategy.

    `notes` gives outside text on a symbol up to an instant, `price` what a model costs. `model` is None where nothing
    may be asked: a question that was not answered before is not answered then.
    """

    terms: Terms
    caller: Caller
    calls: CallStore
    model: LanguageModel | None
    price: Callable[[str], Price | None]
    notes: Callable[[str, datetime], Sequence[str]]

    @property
    def sees_charts(self) -> bool:
        """Whether a picture is shown."""
        return self.terms.sees_charts

    def ask(self, question: Question) -> tuple[Answered, ...] | Abstention:
        """As `strategies.analyst.Analyst`: all samples, or the first thing that went wrong."""
        texts = tuple(self.notes(question.symbol, question.opened_at))
        prompt = write_prompt(question, texts, names=self.terms.names)
        for event in prompt.quoted.events:
            if event.is_security:
                _log.warning("outside text on %s: %s in %s", question.symbol, event.code, event.id)
        answers: list[Answered] = []
        for sample in range(question.samples or self.terms.samples):
            found = _Conversation(self, question, prompt, texts, sample).answer()
            if isinstance(found, Abstention):
                return found
            answers.append(found)
        return tuple(answers)


@dataclass(frozen=True, slots=True)
class _Conversation:
    """One sample of one question."""

    analyst: KeptAnalyst
    question: Question
    prompt: Prompt
    texts: tuple[str, ...]
    sample: int

    def answer(self) -> Answered | Abstention:
        terms, messages, problem = self.analyst.terms, self.prompt.messages, ""
        settings = {**terms.settings, "seed": self.sample}
        for attempt in range(1, MOST_ATTEMPTS + 1):
            model, chart = self.question.model or terms.model, self.question.chart
            request = make_request(messages, model=model, settings=settings, chart=chart)
            stored = None if terms.ask_again else self.analyst.calls.find(request.key)
            if stored is None:
                asked = self._ask(request, attempt)
                if isinstance(asked, Abstention):
                    return asked
                stored = asked
            read = read_answer(stored.text)
            if isinstance(read, Answer):
                return self._judge(read, stored)
            problem = read
            messages = correct(messages, stored.text[:LONGEST_ANSWER], problem)
        return Abstention(AbstentionCode.SCHEMA, f"{MOST_ATTEMPTS} answers have another form: {problem}")

    def _judge(self, answer: Answer, stored: StoredReply) -> Answered | Abstention:
        """What code has to say of an answer in the right form."""
        wanted = self.analyst.terms.answers_as
        if wanted is not None and stored.model != wanted:
            return Abstention(AbstentionCode.OTHER_MODEL, f"{stored.model} answered, {wanted} was expected")
        refusal = check_answer(
            answer.reasons, answer.evidence, names=self.analyst.terms.names, texts=self.prompt.quoted.shown,
            facts={name: str(value) for name, value in self.question.facts.items()},
        )  # fmt: skip
        if refusal is not None:
            _log.warning("answer on %s refused: %s: %s", self.question.symbol, refusal.code, refusal.detail)
            return Abstention(AbstentionCode(refusal.code), refusal.detail)
        return Answered(answer, stored.call_id)

    def _ask(self, request: Request, attempt: int) -> StoredReply | Abstention:
        """Ask now, within the budgets, and keep what became of it."""
        analyst = self.analyst
        if analyst.model is None or analyst.terms.budgets is None:
            return Abstention(AbstentionCode.NOT_STORED, f"no stored answer to inputs {request.key[:12]}")
        call = Call(
            caller=analyst.caller, symbol=self.question.symbol, bar_opened_at=self.question.opened_at,
            sample=self.sample, attempt=attempt, request=request, template_sha256=TEMPLATE_SHA256, texts=self.texts,
            names=analyst.terms.names, text_events=_plain_events(self.prompt), endpoint=analyst.model.endpoint,
            outcome="answered", problem="", reply=None, price=analyst.price(request.model), cost_usd=Decimal(0),
            is_estimate=False, latency_s=None, reservation_id=None,
        )  # fmt: skip
        if call.price is None:
            text = f"no price of model {request.model} is known; set llm.price"
            return self._give_up(call, AbstentionCode.PRICE_UNKNOWN, text)
        worst = call.price.cost(most_tokens(request), int(request.settings["max_tokens"]))
        reserved = analyst.calls.reserve(analyst.caller, worst, analyst.terms.budgets)
        if isinstance(reserved, Abstention):
            return self._give_up(call, reserved.code, reserved.text)
        reply = analyst.model.fetch_reply(request)
        call = replace(call, reservation_id=reserved, latency_s=reply.latency_s)
        if isinstance(reply, NoReply):
            call = replace(call, cost_usd=worst if reply.may_cost else Decimal(0), is_estimate=reply.may_cost)
            return self._give_up(call, reply.code, reply.text)
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            return self._keep(replace(call, reply=reply, cost_usd=worst, is_estimate=True))
        assert call.price is not None
        cost = call.price.cost(reply.prompt_tokens, reply.completion_tokens)
        return self._keep(replace(call, reply=reply, cost_usd=cost))

    def _keep(self, call: Call) -> StoredReply:
        """Of two answers to the same inputs, asked for at the same time, both processes use the first."""
        saved, analyst = self.analyst.calls.save(call), self.analyst
        first = None if analyst.terms.ask_again else analyst.calls.find(call.request.key)
        return saved if first is None else first

    def _give_up(self, call: Call, code: AbstentionCode, text: str) -> Abstention:
        self.analyst.calls.save(replace(call, outcome=code.value, problem=text))
        return Abstention(code, text)


def most_tokens(request: Request) -> int:
    """A bound on the tokens of a prompt: a token is at least one byte of what is sent."""
    sent = json.dumps([*request.messages, request.schema], ensure_ascii=False).encode()
    pictures = PICTURE_TOKENS if request.chart is not None else 0
    return len(sent) + MESSAGE_TOKENS * len(request.messages) + pictures


def _plain_events(prompt: Prompt) -> tuple[dict[str, Any], ...]:
    return tuple({"code": event.code, "id": event.id, "detail": event.detail} for event in prompt.quoted.events)
