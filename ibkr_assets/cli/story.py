"""The story of an order for a terminal, newest first: fills, order, calls, risk, plan, signal, features, bars, code.

What goes here: the layout of one screen; long texts are cut at its width. What does not: any figure that was not
stored. Whoever wants all of it asks for JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from ibkr_assets.domain.text import visible

Document = Mapping[str, Any]


def tell(document: Document, *, width: int) -> str:
    """The document as text with a heading for each link of the chain; no line is longer than `width`."""
    missing = {link["link"]: link["why"] for link in document["missing"]}
    sections = {
        "FILLS": _fills(document),
        "ORDER": _timeline(document),
        "CALLS": _calls(document),
        "DEPARTURE": _risk(document["departure"], width),
        "RISK": _risk(document["risk"], width) or [missing.get("risk", "-")],
        "PLAN": _plan(document) or [missing.get("plan", "-")],
        "SIGNAL": _signal(document),
        "RULE": _rule(document),
        "ASKED": _asked(document),
        "FEATURES": _features(document, width),
        "BARS": _bars(document),
        "RAN": _ran(document),
        "NOT KEPT": [f"{link}: {why}" for link, why in missing.items() if link not in ("risk", "plan")],
    }
    lines = _head(document)
    for title, body in sections.items():
        lines += [f"{title if number == 0 else '':9} {text}" for number, text in enumerate(body)]
    return "\n".join(_cut(visible(line), width) for line in lines)


def _head(document: Document) -> list[str]:
    order = document["order"]
    price = "at the market" if order["limit_price"] is None else f"limit {_number(order['limit_price'])}"
    done = f"{_number(order['filled'])} filled"
    if order["average_price"] is not None:
        done += f" at {_number(order['average_price'])}"
    return [
        (
            f"{order['side']} {_number(order['quantity'])} {order['symbol']} {price} {order['time_in_force']} · "
            f"{order['state']}, {done} · {order['mode']}{' · ' + order['reason'] if order['reason'] else ''}"
        ),
        (
            f"{order['client_order_id']} · broker order {order['broker_order_id'] or '-'} · {order['account_ref']} · "
            f"by {order['created_by']}"
        ),
        order["decision_key"],
        "",
    ]


def _fills(document: Document) -> list[str]:
    return [
        f"{_second(fill['executed_at'])}  {fill['side']} {_number(fill['quantity'])} at {_number(fill['price'])}, "
        f"commission {_number(fill['commission'])}  {fill['execution_id']}"
        for fill in reversed(document["fills"])
    ] or ["none"]


def _timeline(document: Document) -> list[str]:
    lines = []
    for event in reversed(document["timeline"]):
        reason = event["detail"].get("reason")
        cause = f"{event['cause']}: {reason}" if reason else event["cause"]
        lines.append(f"{_moment(event['at'])}  {event['to_state']:14} {cause}")
    return lines


def _calls(document: Document) -> list[str]:
    lines = []
    for call in reversed(document["calls"]):
        answer = " ".join((call["answer"] or "").split())
        lines.append(
            f"{_moment(call['sent_at'])}  {call['kind']:6} {call['outcome'] or 'no answer yet'} "
            f"{call['http_status'] or ''} {answer}"
        )
        lines.append(f"{'':20}{_inline(call['request'])}")
    for question in reversed(document["questions"]):
        asked = f"{', '.join(question['message_ids'])}: {' '.join(question['texts'])}"
        lines.append(f"{_moment(question['asked_at'])}  asked  {asked}")
        lines.append(f"{'':20}{question['decision'] or 'not answered'}: {question['decision_reason'] or '-'}")
    return lines or ["none"]


def _risk(risk: Document | None, width: int) -> list[str]:
    """The verdict, each rule that failed, and the others in two columns. Nothing where no review was stored."""
    if risk is None:
        return []
    verdict = "approved" if risk["is_approved"] else f"denied by {risk['code']}: {risk['text']}"
    limits = (risk["limits_sha256"] or "not kept")[:12]
    lines = [f"{verdict} at {_second(risk['market_at'])} market time; {len(risk['findings'])} rules, limits {limits}"]
    lines += [f"✗ {found['code']}: {found['text']}" for found in risk["findings"] if not found["is_passed"]]
    passed = [f"{found['code']}: {_numbers(found['numbers'])}" for found in risk["findings"] if found["is_passed"]]
    column = max((width - 12) // 2, 20)
    half = (len(passed) + 1) // 2
    for left, right in zip_longest(passed[:half], passed[half:], fillvalue=""):
        lines.append(f"{_cut(left, column):{column}}  {_cut(right, column)}".rstrip())
    return lines


def _plan(document: Document) -> list[str]:
    plan = document["plan"]
    if plan is None:
        return []
    given = plan["sizing"] or {}
    measures = f" with {_numbers(given['measures'])}" if given.get("measures") else ""
    sized_by = given.get("spec", "a sizing that was not kept")
    orders = ", ".join(f"{intent['side']} {_number(intent['quantity'])}" for intent in plan["intents"])
    return [
        (
            f"{orders} by {sized_by} of NAV {_number(plan['nav_usd'])} USD{measures}, "
            f"held and working {_number(plan['held_and_working'])}"
        )
    ]


def _signal(document: Document) -> list[str]:
    signal = document["signal"]
    if signal is None:
        return ["-"]
    return [
        (
            f"{signal['direction']} {signal['strength']:g} at {_number(signal['reference_price'])}, as of "
            f"{_second(signal['as_of'])}, revision {signal['revision']}: {signal['reason']}"
        )
    ]


def _rule(document: Document) -> list[str]:
    strategy, basis = document["strategy"], document["basis"]
    if strategy is None:
        return ["-"]
    params = ", ".join(f"{name}={value}" for name, value in strategy["params"].items())
    lines = [f"{strategy['id']} version {strategy['version']}: {strategy['kind']}({params})"]
    if basis is not None:
        lines += [basis["words"], *([_numbers(basis["numbers"])] if basis["numbers"] else [])]
    return lines


def _asked(document: Document) -> list[str]:
    """Requests to a language model that the signal rests on: what it was told, what it said and what that cost."""
    lines = []
    for call in document["llm_calls"]:
        cost = f"{_number(call['cost_usd'])} USD{' (worst case)' if call['is_estimate'] else ''}"
        lines += [
            (
                f"request {call['call_id']}: {call['model_answered'] or call['model_asked']}, "
                f"{_number(call['prompt_tokens'])} and {_number(call['completion_tokens'])} tokens, {cost} by "
                f"{call['price_source']} of {call['price_as_of']}, inputs {call['key'][:12]}, instructions "
                f"{call['template_sha256'][:12]}, picture {(call['picture_sha256'] or 'none')[:12]}"
            ),
            *(f"  {line}" for message in call["messages"][1:] for line in str(message["content"]).split("\n")),
            f"  answered {call['response']}",
        ]
    return lines


def _features(document: Document, width: int) -> list[str]:
    basis, signal = document["basis"], document["signal"]
    if basis is None:
        return ["-"]
    cells = [f"{name} {_number(value)}".replace(" ", "\xa0") for name, value in sorted(basis["features"].items())]
    rows = [row.replace("\xa0", " ") for row in wrap(" · ".join(cells), max(width - 10, 20))]
    return [*rows, f"feature set {signal['feature_digest'][:12]}"]


def _bars(document: Document) -> list[str]:
    bars, signal = document["bars"], document["signal"]
    if not bars:
        return ["-"]
    newest = bars[-1]
    prices = " ".join(_number(newest[name]) for name in ("open", "high", "low", "close"))
    corrected = [bar for bar in bars if bar["known_to"] is not None]
    lines = [
        (
            f"{len(bars)} of {newest['symbol']} (conid {newest['conid']}), {bars[0]['opened_at'][:10]} to "
            f"{newest['opened_at'][:10]}, inputs {signal['input_digest'][:12]}"
        ),
        (
            f"newest {prices}, version {newest['version']} known from {_second(newest['known_from'])}, "
            f"row {(newest['row_sha'] or 'gone')[:12]}"
        ),
    ]
    others = [one for one in document["compared"] if one["conid"] != newest["conid"]]
    if others:
        shown = ", ".join(f"{one['symbol'] or one['conid']} {one['bars']}" for one in others)
        lines.append(f"compared with {len(others)} others, by their bars: {shown}")
    if corrected:
        lines.append(f"corrected since: {', '.join(bar['opened_at'][:10] for bar in corrected)}")
    return lines


def _ran(document: Document) -> list[str]:
    lines, runs = [], document["runs"]
    by_version: dict[str, list[str]] = {}
    for place, version in document["versions"].items():
        if version is not None:
            code = f"code {version['code_sha256'][:12]} ({version['package_version']}, commit "
            code += f"{(version['git_commit'] or '-')[:12]})"
            text = f"{code}, settings {version['config_sha256'][:12]}, schema {version['schema_revision']}"
            by_version.setdefault(text, []).append(place)
    lines += [f"{text}: {', '.join(places)}" for text, places in by_version.items()]
    urls = runs.get("urls", {})
    for run_id in dict.fromkeys(run for run in runs["dagster"].values() if run):
        lines.append(f"dagster {urls.get(run_id, run_id)}")
    if runs["mlflow"]["run_id"]:
        lines.append(f"mlflow {urls.get(runs['mlflow']['run_id'], runs['mlflow']['run_id'])}")
    return lines or ["not kept"]


def _number(value: object) -> str:
    """Six digits of a float; exact numbers without idle zeros; a dash for what is missing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text.rstrip("0").rstrip(".") if "." in text and text.replace(".", "").lstrip("-").isdigit() else text


def _numbers(numbers: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in sorted(numbers.items()) if value != "") or "nothing"


def _second(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%m-%d %H:%M:%S.%f")[:18]


def _inline(value: object) -> str:
    """A request as `name value` pairs, nested ones in order."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_inline(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(_inline(item) for item in value)
    return str(value)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
