"""The platform as Prometheus reads it: names, words of help, and the text format.

What goes here: which number has which name. What does not: counting (`adapters.postgres.views.metrics`). Everything is
asked for at the scrape and kept nowhere, so no number begins at zero again with a process; a source that is away
leaves its own numbers out and says so in `ibkr_assets_source_up`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from ibkr_assets.adapters.postgres.views.metrics import LATENCY_S

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PREFIX = "ibkr_assets_"


def describe_platform(rows: Mapping[str, Any]) -> list[Metric]:
    """What the database tells; `rows` as `read_metrics` gives them."""
    return [*_orders(rows), *_alerts(rows), *_data(rows), *_model(rows), *_now(rows["now"])]


def describe_sources(is_up: Mapping[str, bool]) -> list[Metric]:
    """Which of the sources of these numbers answered."""
    return [_gauge("source_up", "1 where the source of these numbers answered", "source", is_up.items())]


def describe_runs(counts: Mapping[str, int]) -> list[Metric]:
    """Dagster's runs by how they ended or stand."""
    return [_gauge("dagster_runs", "runs that Dagster keeps, by status", "status", counts.items())]


def describe_pacing(left: Mapping[str, int], shut_s: float) -> list[Metric]:
    """What IBKR's limits leave to all processes of this user on this machine."""
    return [
        _gauge("pacing_tokens_left", "requests that a limit would let go now", "rule", left.items()),
        _one("pacing_shut_seconds", "seconds for which a 429 still holds everything up", shut_s),
    ]


def _orders(rows: Mapping[str, Any]) -> Iterable[Metric]:
    yield _gauge("orders", "orders by state", "state", ((row["state"], row["n"]) for row in rows["orders"]))
    yield _counter("denials", "orders denied by us, by rule", ["rule"], rows["denials"])
    yield _counter("gateway_calls", "order calls by what came back", ["kind", "outcome"], rows["calls"])
    latency = HistogramMetricFamily(
        PREFIX + "gateway_latency_seconds", "from the send of an order call to its answer", labels=["kind"]
    )
    for kind in sorted({row["kind"] for row in rows["latency"]}):
        of_kind = {row["class"]: row for row in rows["latency"] if row["kind"] == kind}
        total, buckets = 0, []
        for number in range(len(LATENCY_S) + 1):  # class 0 lies below the first end
            total += of_kind[number]["n"] if number in of_kind else 0
            buckets.append((str(LATENCY_S[number]) if number < len(LATENCY_S) else "+Inf", total))
        latency.add_metric([kind], buckets, sum(float(row["seconds"]) for row in of_kind.values()))
    yield latency


def _alerts(rows: Mapping[str, Any]) -> Iterable[Metric]:
    yield _counter("alerts_raised", "alerts ever raised", ["code", "severity"], rows["alerts_raised"])
    is_open = GaugeMetricFamily(PREFIX + "alerts_open", "alerts that are not over", labels=["code", "severity"])
    for row in rows["alerts_raised"]:
        is_open.add_metric([row["code"], row["severity"]], row["open"])
    yield is_open
    channels = rows["channels"]
    yield _gauge("alert_backlog", "messages that are due", "channel", ((c["channel"], c["waiting"]) for c in channels))
    yield _gauge(
        "alert_channel_failing", "1 while messages are not taken", "channel",
        ((c["channel"], c["is_failing"]) for c in channels),
    )  # fmt: skip
    yield _counter(
        "alert_delivery_failures", "messages that were not taken", ["channel"],
        [{"channel": c["channel"], "n": c["failures"]} for c in channels],
    )  # fmt: skip


def _data(rows: Mapping[str, Any]) -> Iterable[Metric]:
    bars = [(row["bar_size"], row["newest"].timestamp()) for row in rows["bars"]]
    yield _gauge("newest_bar_timestamp_seconds", "when the newest bar opened, Unix time", "bar_size", bars)
    now = rows["now"]["market_at"]
    if now is not None:
        ages = [(size, max(0.0, float(now) - newest)) for size, newest in bars]
        yield _gauge("data_age_seconds", "market time since the newest bar opened", "bar_size", ages)
    yield _gauge("data_gaps", "gaps that are open", "bar_size", ((row["bar_size"], row["n"]) for row in rows["gaps"]))


def _model(rows: Mapping[str, Any]) -> Iterable[Metric]:
    calls = rows["model"]
    yield _counter("llm_calls", "requests to a language model", ["strategy_id", "outcome"], calls)
    cost = CounterMetricFamily(PREFIX + "llm_cost_usd", "what they cost", labels=["strategy_id"])
    tokens = CounterMetricFamily(PREFIX + "llm_tokens", "tokens of them", labels=["strategy_id", "side"])
    for name in sorted({row["strategy_id"] for row in calls}):
        own = [row for row in calls if row["strategy_id"] == name]
        cost.add_metric([name], float(sum(row["usd"] for row in own)))
        for side in ("prompt", "completion"):
            tokens.add_metric([name, side], float(sum(row[side] for row in own)))
    yield from (cost, tokens)


#: One number each: its name, the words of help, the column.
_SINGLE = (
    ("unknown_orders", "orders whose outcome is not known", "unknown"),
    ("unknown_order_age_seconds", "how long the oldest of them has been so", "unknown_age_s"),
    ("reconciliation_breaks_open", "differences to the broker that nobody resolved", "breaks"),
    ("reconciled_age_seconds", "since the account was last compared", "compared_age_s"),
    ("submitter_heartbeat_age_seconds", "since the submitter last said something", "submitter_age_s"),
    ("submitter_busy_seconds", "how long its present step takes", "busy_s"),
    ("watchdog_heartbeat_age_seconds", "since the watchdog last looked", "watchdog_age_s"),
    ("alert_sender_age_seconds", "since the process that tells people last looked", "sender_age_s"),
    ("outside_heartbeat_timestamp_seconds", "when the outside last heard that all is well", "heartbeat_at"),
    ("lease_age_seconds", "since the right to send was last renewed", "lease_age_s"),
    ("lease_epoch", "how often the right to send was taken", "lease_epoch"),
    ("trading_stopped", "1 while permission to trade is withdrawn", "is_stopped"),
    ("armed", "1 while live trading is armed", "is_armed"),
    ("market_timestamp_seconds", "the market's time as the submitter sees it", "market_at"),
)


def _now(row: Mapping[str, Any]) -> Iterable[Metric]:
    for name, words, column in _SINGLE:
        if row[column] is not None:
            yield _one(name, words, float(row[column]))
    yield _counter("fills", "executions", [], [{"n": row["fills"]}])
    status = GaugeMetricFamily(
        PREFIX + "submitter_status", "1 for what the submitter says of itself", labels=["status"]
    )
    if row["submitter_status"] is not None:
        status.add_metric([row["submitter_status"]], 1)
    yield status


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, words, value=value)


def _gauge(name: str, words: str, label: str, values: Iterable[tuple[Any, Any]]) -> Metric:
    made = GaugeMetricFamily(PREFIX + name, words, labels=[label])
    for key, value in values:
        made.add_metric([str(key)], float(value))
    return made


def _counter(name: str, words: str, labels: list[str], rows: Iterable[Mapping[str, Any]]) -> Metric:
    made = CounterMetricFamily(PREFIX + name, words, labels=labels)
    for row in rows:
        made.add_metric([str(row[label]) for label in labels], float(row["n"]))
    return made


def write_text(read: Callable[[], list[Metric]]) -> str:
    """The text that Prometheus reads."""
    from prometheus_client import CollectorRegistry, generate_latest

    class Once:
        def collect(self) -> Iterable[Metric]:
            return read()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    return generate_latest(registry).decode()
