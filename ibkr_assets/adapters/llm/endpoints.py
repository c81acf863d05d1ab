"""Endpoints that can be named instead of spelt: each speaks OpenAI's chat completions.

What goes here: the published address and the usual variable of the key. What does not: asking (`adapters.llm.chat`)
and prices (`adapters.llm.prices`). Any other endpoint is named by its address, `llm.base_url`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The base URL, and the environment variable that its makers' own tools read the key from; None: no key."""

    base_url: str
    api_key_env: str | None


#: Source: each provider's page on its OpenAI-compatible API, read in November 2026.
ENDPOINTS: dict[str, Endpoint] = {
    "anthropic": Endpoint("https://api.anthropic.com/v1/", "ANTHROPIC_API_KEY"),
    "deepseek": Endpoint("https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    "google": Endpoint("https://generativelanguage.googleapis.com/v1beta/openai/", "GEMINI_API_KEY"),
    "groq": Endpoint("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": Endpoint("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "ollama": Endpoint("http://127.0.0.1:11434/v1", None),
    "openai": Endpoint("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "openrouter": Endpoint("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "xai": Endpoint("https://api.x.ai/v1", "XAI_API_KEY"),
}
