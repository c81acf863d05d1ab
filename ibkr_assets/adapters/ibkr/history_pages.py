"""One answer of IBKR's history judged as an answer: is it JSON, of this contract, whole, and of now?

What goes here: what an answer says of itself, each row that it spoils kept as it came. What does not: which answers are
asked for (`adapters.ibkr.history`), and whether a bar is believable (`market.validation`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from ibkr_assets.adapters.ibkr import payloads
from ibkr_assets.adapters.ibkr.answers import accept, error_text, is_transient
from ibkr_assets.adapters.ibkr.forms import utc_text
from ibkr_assets.adapters.ibkr.transport import redact
from ibkr_assets.domain.errors import BrokerRefusal, UnreadableAnswer
from ibkr_assets.market.reasons import Reason

if TYPE_CHECKING:
    from ibkr_assets.adapters.ibkr.session import Session
    from ibkr_assets.adapters.ibkr.transport import Answer
    from ibkr_assets.domain.instrument import Instrument

PATH = "iserver/marketdata/history"
#: IBKR's limit for one answer.
MOST_POINTS = 1000
#: First letters of the availability of data that are not of now: delayed, frozen, both, and without a subscription.
NOT_LIVE = ("D", "Z", "Y", "N")
#: The first history call for a contract may fail in these ways and be well the next time.
_COLD = frozenset({404})
#: Letters of an answer that are kept.
_KEPT = 2000
_NAMES = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its bars and, when it cannot be used, its rows as they came, each with a `reason`.

    `availability` is "" for data of now; otherwise IBKR's word, and `delay_s` the delay where it was said.
    """

    history: payloads.History
    availability: str = ""
    delay_s: float | None = None
    rejected: list[dict[str, Any]] = field(default_factory=list)


def ask(session: Session, conid: int, *, period: str, bar: str, end: datetime | None) -> Answer:
    """The answer for the `period` before `end`, or before now, unjudged."""
    params: dict[str, str | int] = {"conid": conid, "period": period, "bar": bar, "outsideRth": "false"}
    if end is not None:
        params["startTime"] = utc_text(end)
    return session.fetch(PATH, params, is_again=_is_cold)


def parse_page(answer: Answer, what: str) -> payloads.History:
    """The bars of an answer; no data is an empty page. Raises as `Session.read`."""
    try:
        value = accept(answer, PATH, is_exact=False)
    except BrokerRefusal as refusal:
        if "no data" not in refusal.text.lower():
            raise
        return payloads.History(data=[], volumeFactor=1.0)
    return payloads.read(payloads.History, value, f"history of {what}")


def judge_page(answer: Answer, instrument: Instrument, length_s: int) -> Page:
    """The page of an answer, or what of it is kept where it is no JSON, no history, of another symbol, or maybe cut.

    Bars that lack a number are kept one by one beside those that have all. Raises UnreadableAnswer for bars of another
    length than `length_s`.
    """
    incomplete: list[dict[str, Any]] = []
    try:
        page = parse_page(answer, instrument.symbol)
    except UnreadableAnswer as error:
        value = _json(answer)
        found = None if value is None else _without_incomplete(value, instrument)
        if found is None:
            text = {"answer": redact(answer.body[:_KEPT].decode("utf-8", "replace")), "error": str(error)}
            reason = Reason.NOT_JSON if value is None else Reason.MISSING_FIELD
            return Page(_nothing(), rejected=[_row(instrument, reason, text)])
        page, incomplete = found
    if page.barLength not in (None, length_s):
        raise UnreadableAnswer(f"history of {instrument.symbol}: bars of {page.barLength} s, asked for {length_s} s")
    if page.symbol is not None and page.symbol != instrument.symbol:
        return Page(_nothing(), rejected=incomplete + _rows(page, instrument, Reason.SYMBOL_MISMATCH))
    if len(page.data) + len(incomplete) >= MOST_POINTS:
        return Page(_nothing(), rejected=incomplete + _rows(page, instrument, Reason.CUT_AT_1000))
    word, delay = page.mdAvailability or "", page.mktDataDelay
    delay_s = float(delay) if delay is not None and delay.is_finite() and delay > 0 else None
    if word.startswith(NOT_LIVE) or delay_s is not None:
        return Page(page, word or "delayed", delay_s, incomplete)
    return Page(page, rejected=incomplete)


def _nothing() -> payloads.History:
    return payloads.History(data=[], volumeFactor=1.0)


def _rows(page: payloads.History, instrument: Instrument, reason: Reason) -> list[dict[str, Any]]:
    """Each bar with the answer's own words, and as far as it goes as a bar of the contract that was asked for."""
    words = {"symbol": page.symbol, "points": len(page.data), "volumeFactor": page.volumeFactor}
    return [
        {
            "conid": instrument.conid,
            "symbol": instrument.symbol,
            "opened_at": datetime.fromtimestamp(bar["t"] / 1000, UTC),
            **{name: bar[key] * (page.volumeFactor if key == "v" else 1.0) for name, key in _NAMES.items()},  # type: ignore[literal-required]
            "reason": reason.value,
            "raw": {**bar, **words},
        }
        for bar in page.data
    ]


def _without_incomplete(value: Any, instrument: Instrument) -> tuple[payloads.History, list[dict[str, Any]]] | None:
    """The history without the bars that are none, and those; None where the answer is no history without them."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return None
    bars, incomplete, what = [], [], f"history of {instrument.symbol}"
    for bar in value["data"]:
        try:
            bars.append(payloads.read(payloads.HistoryBar, bar, what))
        except UnreadableAnswer as error:
            text = {"bar": redact(json.dumps(bar)[:_KEPT]), "error": str(error)}
            incomplete.append(_row(instrument, _fault(bar), text))
    try:
        return payloads.read(payloads.History, {**value, "data": bars}, what), incomplete
    except UnreadableAnswer:
        return None


def _fault(bar: Any) -> Reason:
    numbers = [value for value in bar.values() if isinstance(value, float)] if isinstance(bar, dict) else []
    return Reason.MISSING_FIELD if all(map(math.isfinite, numbers)) else Reason.NOT_FINITE


def _row(instrument: Instrument, reason: Reason, text: dict[str, str]) -> dict[str, Any]:
    return {"conid": instrument.conid, "symbol": instrument.symbol, "reason": reason.value, "raw": text}


def _json(answer: Answer) -> Any:
    """What the answer says as JSON, an empty text for `null`; None where it is none."""
    try:
        value = json.loads(answer.body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return "" if value is None else value


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _is_cold(answer: Answer) -> bool:
    if answer.status == httpx.codes.OK:
        return is_transient(answer)
    return "no data" not in error_text(answer).lower() and (answer.status in _COLD or is_transient(answer))
