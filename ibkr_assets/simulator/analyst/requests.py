"""A request for a chat completion, read as OpenAI documents it, and what is wrong with one, in its words.

What goes here: which fields there are and what they may hold; errors. What does not: answering (`completions`). Fields
that change nothing here (penalties, users, metadata) are taken and not looked at; what would change an answer and is
not done here (streams, several choices) is refused rather than passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ROLES = ("assistant", "developer", "system", "tool", "user")


class Refused(Exception):
    """An answer that is an error: OpenAI's status, type, code and the field that is meant."""

    def __init__(
        self, status: int, kind: str, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What of a request decides the answer. `tool` is the function that must or may be called; `form` the schema."""

    model: str
    messages: Sequence[dict[str, Any]]
    form: Mapping[str, Any] | None
    tool: str | None
    is_json: bool
    most_tokens: int | None
    seed: int | None
    shape: str


def bad(message: str, param: str) -> Refused:
    """A request that cannot be served."""
    return Refused(400, "invalid_request_error", message, param=param)


def read_request(body: bytes) -> ChatRequest:
    """Raises Refused, naming the field."""
    try:
        given = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise bad("The body is not JSON.", "body") from None
    if not isinstance(given, dict):
        raise bad("The body is not a JSON object.", "body")
    if not isinstance(given.get("model"), str):
        raise bad("model: is missing.", "model")
    if given.get("stream"):
        raise bad("stream: this stand-in answers in one piece.", "stream")
    if given.get("n") not in (None, 1):
        raise bad(f"n: this stand-in gives one choice, not {given['n']!r}.", "n")
    form, tool, is_json = _form(given)
    return ChatRequest(
        model=given["model"],
        messages=_messages(given.get("messages")),
        form=form,
        tool=tool,
        is_json=is_json,
        most_tokens=_most_tokens(given),
        seed=_whole(given, "seed"),
        shape=json.dumps([given.get("tools"), given.get("response_format")]) if form else "",
    )


def _messages(given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given:
        raise bad("messages: must be a list with at least one message.", "messages")
    for place, message in enumerate(given):
        name = f"messages[{place}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise bad(f"{name}.role: must be one of {', '.join(ROLES)}.", name)
        content = message.get("content")
        if content is None and message["role"] == "assistant":
            continue
        if not isinstance(content, str) and not (isinstance(content, list) and all(map(_is_part, content))):
            raise bad(f"{name}.content: must be text, or a list of text and image_url parts.", name)
    return given


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    if part.get("type") == "text":
        return isinstance(part.get("text"), str)
    picture = part.get("image_url")
    return part.get("type") == "image_url" and isinstance(picture, dict) and isinstance(picture.get("url"), str)


def _form(given: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str | None, bool]:
    """The schema of the answer, the function that it is the arguments of, and whether it must be JSON at all."""
    tools, choice = given.get("tools"), given.get("tool_choice")
    if tools and choice != "none":
        try:
            functions = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}
            name = choice["function"]["name"] if isinstance(choice, dict) else next(iter(functions))
            return functions[name], name, True
        except (KeyError, TypeError, AttributeError):
            raise bad("tools: must be functions with a name, and tool_choice one of them.", "tools") from None
    asked = {"type": "text"} if given.get("response_format") is None else given["response_format"]
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind == "json_schema":
        described = asked.get("json_schema")
        schema = described.get("schema") if isinstance(described, dict) else None
        if not isinstance(schema, dict):
            raise bad("response_format.json_schema.schema: is missing.", "response_format")
        return schema, None, True
    if kind not in ("json_object", "text"):
        raise bad(f"response_format.type: must be text, json_object or json_schema, got {kind!r}.", "response_format")
    return None, None, kind == "json_object"


def _most_tokens(given: Mapping[str, Any]) -> int | None:
    most = _whole(given, "max_completion_tokens")
    most = _whole(given, "max_tokens") if most is None else most
    if most is not None and most < 1:
        raise bad(f"max_tokens: must be at least 1, got {most}.", "max_tokens")
    return most


def _whole(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise bad(f"{name}: must be a whole number, got {value!r}.", name)
