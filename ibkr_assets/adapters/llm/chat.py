"""One request to a chat model over OpenAI's API, asked once, and what came back as a value.

What goes here: turning our messages into pydantic-ai's and its errors into reasons. What does not: whether to ask, what
it may cost and keeping it (`execution.analyst`). No tools are offered, no proxy of the environment is used, no redirect
is followed and nothing is repeated. The library is imported when something is asked: it takes seconds.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from ibkr_assets.domain.analysis import AbstentionCode, NoReply, Reply, Request

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile

#: An answer is a few hundred characters; an endpoint that sends more is not read to its end.
MOST_RESPONSE_BYTES = 1_000_000
#: A count beyond any model's is none: the request counts as its worst case.
MOST_TOKENS = 100_000_000
#: How much of an endpoint's own words is kept.
_LONGEST_PROBLEM = 300
#: The one endpoint that calls the limit of an answer by its new name, and refuses the old one.
_OPENAI = "https://api.openai.com/"


class ChatModel:
    """Implements `execution.analyst.LanguageModel`. `key_env` names the variable of the key; None: none is wanted."""

    def __init__(self, endpoint: str, *, key_env: str | None, timeout_s: float) -> None:
        self.endpoint = endpoint
        self._key_env, self._timeout_s = key_env, timeout_s
        self._key = os.environ.get(key_env, "") if key_env else ""

    def __repr__(self) -> str:
        return f"ChatModel({self.endpoint})"

    def fetch_reply(self, request: Request) -> Reply | NoReply:
        """The assistant's text as it came. Whatever goes wrong is a value that says so."""
        if self._key_env and not self._key:
            return NoReply(AbstentionCode.NOT_CONFIGURED, f"the variable {self._key_env} is not set", may_cost=False)
        _load_libraries()
        from pydantic_ai.exceptions import (
            ModelAPIError,
            ModelConnectionError,
            ModelHTTPError,
            ModelTimeoutError,
            UnexpectedModelBehavior,
        )

        began = time.monotonic()

        def nothing(code: AbstentionCode, text: str, *, may_cost: bool) -> NoReply:
            return NoReply(code, self._shown(text), may_cost, time.monotonic() - began)

        try:
            response = asyncio.run(self._fetch(request))
            return _reply(response, time.monotonic() - began)
        except (TimeoutError, ModelTimeoutError):
            return nothing(AbstentionCode.TIMEOUT, f"no answer in {self._timeout_s:g} s", may_cost=True)
        except ModelHTTPError as error:
            code = AbstentionCode.UNAVAILABLE if error.status_code >= 500 else AbstentionCode.REFUSED
            return nothing(code, f"HTTP {error.status_code}: {error.body}", may_cost=False)
        except ModelConnectionError as error:
            never_sent = error.phase in ("pool", "connect")
            return nothing(AbstentionCode.UNAVAILABLE, f"no connection: {error}", may_cost=not never_sent)
        except (ModelAPIError, UnexpectedModelBehavior) as error:
            return nothing(AbstentionCode.UNAVAILABLE, f"no usable response: {error}", may_cost=True)

    async def _fetch(self, request: Request) -> ModelResponse:
        import httpx2
        from openai import AsyncOpenAI
        from pydantic_ai.direct import model_request
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.models.openai import OpenAIChatModelSettings
        from pydantic_ai.output import OutputObjectDefinition

        wanted = OutputObjectDefinition(dict(request.schema), name="Answer", strict=True)
        settings = OpenAIChatModelSettings(**dict(request.settings))  # type: ignore[typeddict-item]
        async with (
            asyncio.timeout(self._timeout_s),
            httpx2.AsyncClient(
                trust_env=False, follow_redirects=False, timeout=self._timeout_s, event_hooks={"response": [_is_short]}
            ) as http,
            AsyncOpenAI(base_url=self.endpoint, api_key=self._key or "none", http_client=http, max_retries=0) as client,
        ):
            return await model_request(
                self._model(request.model, client),
                _messages(request),
                model_settings=settings,
                model_request_parameters=ModelRequestParameters(output_mode="native", output_object=wanted),
                instrument=False,
            )

    def _model(self, name: str, client: Any) -> OpenAIChatModel:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        provider = OpenAIProvider(openai_client=client)
        profile = {
            **(provider.model_profile(name) or {}),
            "supports_json_schema_output": True,
            "json_schema_transformer": None,  # what is sent is what was stored
            "openai_chat_supports_max_completion_tokens": self.endpoint.startswith(_OPENAI),
        }
        return OpenAIChatModel(name, provider=provider, profile=cast("OpenAIModelProfile", profile))

    def _shown(self, text: str) -> str:
        """On one line, and without the key, which some endpoints repeat."""
        text = " ".join(_storable(text).split())
        if self._key:
            text = text.replace(self._key, "***")
        return text[:_LONGEST_PROBLEM]


def _load_libraries() -> None:
    """Import what takes seconds, so that it is counted as nobody's latency."""
    import httpx2
    import openai
    import pydantic_ai.direct
    import pydantic_ai.providers.openai

    assert httpx2
    assert openai
    assert pydantic_ai


async def _is_short(response: Any) -> None:
    """Raises for a body that is said to be far longer than any answer."""
    import httpx2

    with suppress(ValueError):
        if int(response.headers.get("content-length", "0")) > MOST_RESPONSE_BYTES:
            raise httpx2.ReadError(f"a response of more than {MOST_RESPONSE_BYTES} bytes", request=response.request)


def _messages(request: Request) -> list[ModelMessage]:
    from pydantic_ai.messages import BinaryContent, ModelRequest, ModelResponse, SystemPromptPart, TextPart
    from pydantic_ai.messages import UserPromptPart as User

    turns: list[ModelMessage] = []
    parts: list[SystemPromptPart | User] = []
    for message in request.messages:
        text = str(message["content"])
        if message["role"] == "assistant":
            turns += [ModelRequest(parts), ModelResponse([TextPart(text)])]
            parts = []
        elif message["role"] == "system":
            parts.append(SystemPromptPart(text))
        elif "picture_sha256" in message and request.chart is not None:
            parts.append(User([text, BinaryContent(request.chart, media_type="image/png")]))
        else:
            parts.append(User(text))
    return [*turns, ModelRequest(parts)]


def _storable(text: str) -> str:
    """What JSON may hold and no database does, halves of surrogate pairs and nulls, is replaced: it is no answer."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _reply(response: ModelResponse, latency_s: float) -> Reply:
    from pydantic_ai.messages import TextPart

    usage = response.usage
    counts = (usage.input_tokens, usage.output_tokens)
    is_counted = any(counts) and all(0 <= count <= MOST_TOKENS for count in counts)
    return Reply(
        text=_storable("".join(part.content for part in response.parts if isinstance(part, TextPart))),
        model=_storable(response.model_name or "") or None,
        provider_id=_storable(response.provider_response_id or "") or None,
        prompt_tokens=usage.input_tokens if is_counted else None,
        completion_tokens=usage.output_tokens if is_counted else None,
        finish_reason=response.finish_reason,
        latency_s=latency_s,
    )
