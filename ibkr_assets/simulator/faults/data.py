"""Faults of market data: snapshots, bars, numbers, calendars, hostile texts.

Faults of orders, of sessions and of the connection are in `orders`, `sessions` and `transport`. What they do to bars
is in `histories`, to numbers and texts in `shapes`. An answer that is no success is left as it is, except by F54.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from ibkr_assets.simulator.answers import Answer
from ibkr_assets.simulator.faults import histories, shapes
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation
from ibkr_assets.simulator.faults.parameters import day, instant, number, texts, whole, word

_SNAPSHOT = frozenset({"snapshot"})
_HISTORY = frozenset({"history"})
_NUMBERS = frozenset({
    "snapshot", "orders", "order_status", "trades", "positions", "positions2", "ledger", "history",
})  # fmt: skip
_OK = 200
_STAMPS = ("_updated", "server_id", "6119")
_TICK = 0.01


def _is_good(situation: Situation) -> bool:
    return situation.answer is None or situation.answer.status == _OK


def _has_prices(situation: Situation) -> bool:
    """A snapshot whose stream is open already: the first call carries no price to spoil."""
    answer = situation.answer
    return answer is None or (answer.status == _OK and any("31" in row for row in answer.body))


def _reshaped(situation: Situation) -> Answer:
    answer, shape = situation.handled, situation.options["shape"]
    if shape == "conid_text":
        return replace(answer, body=shapes.conids_as_text(answer.body))
    fields = situation.options["fields"] or shapes.NUMBER_FIELDS
    return replace(answer, body=shapes.renumbered(answer.body, shapes.NUMBERS[shape], fields))


def _rows(change: Callable[[dict[str, Any], Situation], dict[str, Any]]) -> Callable[[Situation], Answer]:
    """An effect that changes every row of a snapshot."""

    def effect(situation: Situation) -> Answer:
        return replace(situation.handled, body=[change(dict(row), situation) for row in situation.handled.body])

    return effect


def _stale(row: dict[str, Any], situation: Situation) -> dict[str, Any]:
    options = situation.options
    if options["how"] == "bare":
        return {name: value for name, value in row.items() if name in ("conid", "conidEx")}
    if options["how"] == "unavailable":
        return row | {"6509": options["availability"]}
    return row | {"_updated": row["_updated"] - int(options["age_s"] * 1000)} if "_updated" in row else row


def _unsound(row: dict[str, Any], situation: Situation) -> dict[str, Any]:
    if "31" not in row:
        return row
    last = float(row["31"].lstrip("CH"))
    match situation.options["how"]:
        case "halted":
            return row | {"31": f"H{last:.2f}"}
        case "zero":
            return row | {"31": "0", "84": "0", "86": "0"}
        case "negative":
            return row | {"31": "-37.60", "84": "-37.62", "86": "-37.58"}
        case _:
            return row | {"84": f"{last + _TICK:.2f}", "86": f"{last - _TICK:.2f}"}


def _bars(change: Callable[[histories.Bars, Situation], histories.Bars]) -> Callable[[Situation], Answer]:
    """An effect that changes the bars of a history."""

    def effect(situation: Situation) -> Answer:
        body = situation.handled.body
        changed = change(list(body["data"]), situation)
        return replace(situation.handled, body=body | {"data": changed, "points": len(changed) - 1})

    return effect


def _wrong(bars: histories.Bars, situation: Situation) -> histories.Bars:
    return histories.WRONGS[situation.options["how"]](bars, min(situation.options["back"], len(bars)))


def _shifted(bars: histories.Bars, situation: Situation) -> histories.Bars:
    return histories.shifted(bars, situation.options["factor"], situation.options["day"])


def _revised(bars: histories.Bars, situation: Situation) -> histories.Bars:
    return histories.revised(bars, situation.options["factor"], situation.options["day"])


def _closed_early(situation: Situation) -> Answer:
    """From the early close on nothing moves any more, and the schedule says when it was."""
    answer, closes_at = situation.handled, situation.options["closes_at"]
    if closes_at is None:
        return answer
    if situation.route == "snapshot":
        last_ms = int(closes_at.timestamp() * 1000)
        rows = [row | {"_updated": min(row["_updated"], last_ms)} if "_updated" in row else row for row in answer.body]
        return replace(answer, body=rows)
    schedules = {name: _shortened(hours, closes_at) for name, hours in answer.body["schedules"].items()}
    return replace(answer, body=answer.body | {"schedules": schedules})


def _shortened(hours: dict[str, Any], closes_at: datetime) -> dict[str, Any]:
    last = int(closes_at.timestamp())
    made = {}
    for kind, spans in hours.items():
        cut = [s | {"closing": last} if s["opening"] <= last < s["closing"] else s for s in spans]
        made[kind] = [span for span in cut if span["opening"] < span["closing"]]
    return made


def _hostile(situation: Situation) -> Answer:
    fields = situation.options["fields"] or shapes.TEXT_FIELDS
    body = situation.handled.body
    return replace(situation.handled, body=shapes.with_text(body, shapes.TEXTS[situation.options["text"]], fields))


def _has_values(situation: Situation) -> bool:
    return situation.answer is None or not isinstance(situation.answer.body, bytes)


FAULTS = (
    Fault(
        "F44", "numbers in other shapes", Kind.ALTER, _NUMBERS, _reshaped,
        {"shape": word("commas", *shapes.NUMBERS, "conid_text"), "fields": texts(())}, _is_good,
    ),
    Fault(
        "F45", "snapshot stale, frozen or without a field", Kind.ALTER, _SNAPSHOT, _rows(_stale),
        {"how": word("old", "bare", "old", "unavailable"), "age_s": number(3600.0), "availability":
            word("Z", "Z", "D", "N", "Y")}, _is_good, times=None,
    ),
    Fault(
        "F46", "price halted, zero, negative or crossed", Kind.ALTER, _SNAPSHOT, _rows(_unsound),
        {"how": word("halted", "halted", "zero", "negative", "crossed")}, _has_prices, times=None,
    ),
    Fault(
        "F47", "bars missing, doubled, out of order or where none can be", Kind.ALTER, _HISTORY, _bars(_wrong),
        {"how": word("missing", *histories.WRONGS), "back": whole(1, least=1)}, _is_good,
    ),
    Fault(
        "F48", "prices on another level: a split not adjusted, or adjusted twice", Kind.ALTER, _HISTORY,
        _bars(_shifted), {"factor": number(0.5, least=0.001, most=1000.0), "day": day()}, _is_good, times=None,
    ),
    Fault(
        "F49", "a bar revised", Kind.ALTER, _HISTORY, _bars(_revised),
        {"factor": number(1.001, least=0.001, most=1000.0), "day": day()}, _is_good, times=None,
    ),
    Fault(
        "F51", "the exchange closes early", Kind.ALTER, frozenset({"snapshot", "trading_schedule"}), _closed_early,
        {"closes_at": instant()}, _is_good, times=None,
    ),
    Fault(
        "F54", "hostile texts", Kind.ALTER, None, _hostile,
        {"text": word("ansi", *shapes.TEXTS), "fields": texts(())}, _has_values,
    ),
)  # fmt: skip
