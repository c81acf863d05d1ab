"""Requests to a language model as MLflow traces, each under its run: prompt, answer, tokens, cost and latency.

What goes here: what a trace says. What does not: the run (`adapters.mlflow`), and the requests themselves, which the
database keeps whether or not MLflow is there (`adapters.postgres.llm_calls`). A trace is written by hand from what was
stored: the library's own hooks follow the process, and a run's process is forked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.views.llm import KeptCall


def log_traces(client: Any, experiment_id: str, run_id: str, calls: Sequence[KeptCall]) -> None:
    """Write one trace for each of these requests. Raises what MLflow raises."""
    import mlflow
    from mlflow.entities import SpanType
    from mlflow.tracing.constant import SpanAttributeKey, TokenUsageKey

    mlflow.set_tracking_uri(client.tracking_uri)
    for call in calls:
        attributes: dict[str, Any] = {
            SpanAttributeKey.MODEL: call.model_answered or call.model_asked,
            SpanAttributeKey.MESSAGE_FORMAT: "openai",
        }
        if call.prompt_tokens is not None and call.completion_tokens is not None:
            attributes[SpanAttributeKey.CHAT_USAGE] = {
                TokenUsageKey.INPUT_TOKENS: call.prompt_tokens,
                TokenUsageKey.OUTPUT_TOKENS: call.completion_tokens,
                TokenUsageKey.TOTAL_TOKENS: call.prompt_tokens + call.completion_tokens,
            }
        attributes[SpanAttributeKey.LLM_COST] = {"total_cost": float(call.cost_usd)}
        ended_ns = int(call.at.timestamp() * 1e9)
        span = client.start_trace(
            f"{call.strategy_id} {call.symbol}",
            span_type=SpanType.CHAT_MODEL,
            inputs={"messages": call.messages, **call.settings},
            attributes=attributes,
            tags={
                "llm_call": str(call.call_id), "outcome": call.outcome, "key": call.key, "strategy": call.strategy_id,
                "cost_usd": f"{call.cost_usd:f}", "picture_sha256": call.picture_sha256 or "none",
            },
            experiment_id=experiment_id,
            start_time_ns=ended_ns - int((call.latency_s or 0) * 1e9),
            run_id=run_id,
        )  # fmt: skip
        outputs = {"content": call.response} if call.response is not None else {"abstained": call.problem}
        status = "OK" if call.outcome == "answered" else "ERROR"
        client.end_trace(span.trace_id, outputs=outputs, status=status, end_time_ns=ended_ns)
    mlflow.flush_trace_async_logging()
