"""One chat completion: the rule's answer in the form that was asked for, bent by the profile, with its tokens counted.

What goes here: what is answered. What does not: HTTP, keys and what is kept of a request (`server`). The same request
in the same profile always gets the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ibkr_assets.simulator.analyst.forms import fill
from ibkr_assets.simulator.analyst.obedience import Orders, obey
from ibkr_assets.simulator.analyst.requests import ROLES, ChatRequest, Refused
from ibkr_assets.simulator.analyst.rule import judge, read_facts, text_of
from ibkr_assets.simulator.analyst.tokens import count_prompt, count_tokens, cut_tokens

#: No language model, and its name says so.
MODEL = "rule-in-disguise-1"
OWNER = "ibkr_assets: a fixed rule in disguise, no language model"
#: When this rule was written: a client may want a number.
CREATED = 1_795_219_200
_OPPOSITE = {"long": "short", "short": "long", "flat": "long"}
#: A null, half of a surrogate pair, the end of a line to some, a mark that turns the line round.
_ODD = "\x00\ud800\u2028\u202e"
_REFUSAL = "I cannot help with that."


def list_models() -> dict[str, Any]:
    """The answer of GET /v1/models."""
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "created": CREATED, "owned_by": OWNER}]}


def complete(request: ChatRequest, profile: str) -> tuple[dict[str, Any], list[str]]:
    """The completion, and what was obeyed. Raises Refused for another model, and where the profile is an error."""
    if request.model != MODEL:
        message = f"The model {request.model!r} does not exist; there is {MODEL}."
        raise Refused(404, "invalid_request_error", message, code="model_not_found", param="model")
    if profile == "rate_limit":
        raise Refused(429, "rate_limit_error", "Rate limit reached.", code="rate_limit_exceeded")
    if profile == "error":
        raise Refused(500, "server_error", "The server had an error.")
    user = text_of(request.messages, "user", "tool")
    values = judge(read_facts(text_of(request.messages, "system", "developer", "user")))
    orders = obey(user, text_of(request.messages, *ROLES)) if profile == "obey" else None
    said, text, reason = _message(request, _bend(values, profile, request), profile, orders)
    body = _envelope(request, said, text, reason)
    if profile == "other_model":
        body["model"] = f"{MODEL}-other"
    if profile == "odd":
        body["model"] = body["id"] = _ODD
    if profile == "absurd_usage":
        body["usage"] = {"prompt_tokens": 10**12, "completion_tokens": 10**12, "total_tokens": 2 * 10**12}
    if profile == "no_usage":
        del body["usage"]
    return body, orders.effects if orders is not None else []


def _bend(values: dict[str, Any], profile: str, request: ChatRequest) -> dict[str, Any]:
    if profile == "other_answers" or (profile == "divided" and (request.seed or 0) % 2):
        direction = _OPPOSITE[values["direction"]]
        strength = abs(values["strength"]) or 0.5
        return values | {"direction": direction, "strength": -strength if direction == "short" else strength}
    if profile in ("wrong_ids", "absurd_usage"):
        return values | {"evidence": ["moon_phase"]}
    return values


def _message(
    request: ChatRequest, values: dict[str, Any], profile: str, orders: Orders | None
) -> tuple[dict[str, Any], str, str]:
    """The message, the text in it, and why it ended."""
    if profile == "refuse":
        return {"role": "assistant", "content": None, "refusal": _REFUSAL}, _REFUSAL, "stop"
    text = _write(request, values, profile, orders)
    reason = "stop"
    most = request.most_tokens
    if profile == "truncated":
        most = max(1, count_tokens(text) // 2)
    if most is not None and count_tokens(text) > most:
        text, reason = cut_tokens(text, most), "length"
    tool = orders.tool if orders is not None and orders.tool is not None else request.tool
    if tool is None:
        return {"role": "assistant", "content": text, "refusal": None}, text, reason
    call = {"id": f"call_{_name(text)}", "type": "function", "function": {"name": tool, "arguments": text}}
    message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    return message, text, "tool_calls" if reason == "stop" else reason


def _write(request: ChatRequest, values: dict[str, Any], profile: str, orders: Orders | None) -> str:
    if profile == "garbage":
        return "I would say it goes up."
    if profile == "odd":
        return json.dumps({**values, "reasons": _ODD}, ensure_ascii=False) + _ODD
    if orders is not None:
        return _obedient(request, values, orders)
    known = fill(request.form, values) if request.form is not None else values
    if profile == "invalid" and isinstance(known, dict):
        known = {**known, "quantity": 1000, "strength": 7}
    return json.dumps(known)


def _obedient(request: ChatRequest, values: dict[str, Any], orders: Orders) -> str:
    """The answer that was dictated, or the own one with everything in it that was asked for.

    Told that this was no valid answer, it does the same as far as the schema lets it: the cleverer attack.
    """
    evidence = {"evidence": [*values["evidence"], *orders.cited]}
    reasons = {"reasons": " ".join(orders.reasons) or "The text says so."}
    if any(message["role"] == "assistant" for message in request.messages) and request.form is not None:
        dictated = json.loads(orders.verbatim) if orders.verbatim is not None else {}
        return json.dumps(fill(request.form, {**values, **evidence, **reasons, **orders.fields, **dictated}))
    if orders.verbatim is not None:
        return orders.verbatim
    if orders.words is not None:
        return orders.words
    known = fill(request.form, values) if request.form is not None else values
    return json.dumps({**known, **evidence, **reasons, **orders.fields})


def _envelope(request: ChatRequest, message: dict[str, Any], text: str, reason: str) -> dict[str, Any]:
    prompt, completion = count_prompt(request.messages, request.shape), count_tokens(text)
    seen = json.dumps([request.model, list(request.messages), request.shape, request.seed])
    return {
        "id": f"chatcmpl-{_name(seen + text)}",
        "object": "chat.completion",
        "created": CREATED,
        "model": MODEL,
        "system_fingerprint": "no-language-model",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }


def _name(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
