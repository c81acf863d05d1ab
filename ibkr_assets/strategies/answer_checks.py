"""What a model's words may hold: nothing that was not given to it.

What goes here: the checks of an answer that a schema cannot make, each with the reason of its refusal. What does not:
the schema itself (`strategies.analyst_answer`), and cleaning what goes into a prompt (`outside_text`). An honest answer
that is refused costs an opinion; the strategy then abstains.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ibkr_assets.strategies.outside.instructions import find_signs
from ibkr_assets.strategies.outside.letters import normalise, unmask
from ibkr_assets.strategies.outside.markup import strip_markup

#: Capitals that name no instrument. One of them that is also a symbol of the universe is a symbol.
_ABBREVIATIONS = frozenset({
    "ADX", "ATR", "BB", "CCI", "CEO", "CFO", "CPI", "DI", "EBIT", "ECB", "EMA", "EPS", "ETF", "EU", "FED", "GDP", "IPO",
    "MA", "MACD", "MFI", "OBV", "OHLC", "PE", "PPI", "Q1", "Q2", "Q3", "Q4", "QOQ", "ROC", "RSI", "SEC", "SMA", "STD",
    "UK", "UN", "US", "USD", "VIX", "VWAP", "WMA", "YOY",
})  # fmt: skip
_CAPITALS = re.compile(r"(?<![\w$])[A-Z][A-Z0-9]{1,5}(?:[./][A-Z]{1,2})?(?!\w)")
_CASHTAG = re.compile(r"[$#][A-Za-z]\w*(?:\.\w+)?")
_WORD = re.compile(r"\w+")
_SCALE = {
    "k": 3, "thousand": 3, "m": 6, "mn": 6, "mio": 6, "million": 6, "b": 9, "bn": 9, "billion": 9, "t": 12, "tn": 12,
    "trillion": 12,
}  # fmt: skip
_NUMBER = re.compile(
    r"(?P<digits>\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d{1,2})?)\s?"
    rf"(?P<unit>%|percent\b|bps\b|basis points\b|(?:{'|'.join(_SCALE)})\b)?"
)
#: Words that only somebody says who wants to be obeyed; the fields of the answer may be spoken of.
_SPOKEN_OF = frozenset({"field", "wants a field", "wants an answer", "wants a deed"})
#: A name shorter than this is also a word of the language when it is not in capitals.
_SHORTEST_NAME = 4


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an answer does not count. `code` is `evidence` or `foreign_text`; `detail` is fit to be shown."""

    code: str
    detail: str


def check_answer(
    reasons: str,
    evidence: Sequence[str],
    *,
    facts: Mapping[str, str],
    texts: Mapping[str, str],
    names: Collection[str] = (),
) -> Refusal | None:
    """None where the answer stands.

    `facts` and `texts` are what the prompt showed, by id. `evidence` must be some of their ids. `reasons` may hold no
    markup, link, code, hidden or deceiving character and no instruction; no symbol (`names` are those of the universe,
    and any word in capitals that is not among the facts' is taken for one); and no number that was not shown, rounded
    to the digits that it is written with, as a percentage or not, whatever its sign.
    """
    unknown = [one for one in evidence if one not in facts and one not in texts]
    if unknown or not evidence:
        return Refusal(
            "evidence", f"evidence {unknown[0][:40]!r}: no such fact" if unknown else "evidence: none is named"
        )
    for problem in (_deceives(reasons, names), _names(reasons, facts, names), _counts(reasons, facts, texts)):
        if problem is not None:
            return Refusal("foreign_text", f"reasons: {problem}")
    return None


def _deceives(reasons: str, names: Collection[str]) -> str | None:
    normal, codes = normalise(reasons)
    codes |= strip_markup(normal)[1] | unmask(normal, names)[1]
    if codes:
        return f"holds what is {', '.join(sorted(codes))}"
    signs = [sign for sign in find_signs(normal) if sign not in _SPOKEN_OF]
    return f"reads like an instruction ({signs[0]})" if signs else None


def _names(reasons: str, facts: Mapping[str, str], names: Collection[str]) -> str | None:
    """The first word that is a symbol, or may be one."""
    if (tag := _CASHTAG.search(reasons)) is not None:
        return f"names {tag.group()[:20]!r}"
    known = {name.casefold() for name in names if len(name) >= _SHORTEST_NAME}
    for word in _WORD.findall(reasons):
        if word in names or word.casefold() in known:
            return f"names {word!r}"
    given = {part.upper() for line in facts.items() for text in line for part in re.split(r"[\W_]+", text)}
    for match in _CAPITALS.finditer(reasons):
        if match.group() not in given and match.group() not in _ABBREVIATIONS:
            return f"names {match.group()!r}"
    return None


@dataclass(frozen=True, slots=True)
class _Number:
    """`half` is half a unit of its last digit; `unit` what it counts."""

    text: str
    value: float
    half: float
    unit: str


def _counts(reasons: str, facts: Mapping[str, str], texts: Mapping[str, str]) -> str | None:
    """The first number that was not given."""
    given = list(_numbers(text for shown in (facts, texts) for line in shown.items() for text in line))
    for number in _numbers([reasons]):
        if not any(_is_same(number, one) for one in given):
            return f"the number {number.text[:20]!r} was not given"
    return None


def _numbers(texts: Iterable[str]) -> Iterator[_Number]:
    for text in texts:
        for match in _NUMBER.finditer(text.replace("_", " ")):
            digits, unit = match.group("digits").replace(",", ""), (match.group("unit") or "").casefold()
            mantissa, _, exponent = digits.lower().partition("e")
            scale = _SCALE.get(unit, 0) + int(exponent or 0)
            half = 0.5 * 10.0 ** (scale - len(mantissa.partition(".")[2]))
            yield _Number(match.group().strip(), float(mantissa) * 10.0**scale, half, "" if unit in _SCALE else unit)


def _is_same(written: _Number, given: _Number) -> bool:
    """Rounded to the digits written. A share may be written in percent, and percent as they are."""
    tolerance = written.half * (1 + 1e-9)
    if abs(written.value - given.value) <= tolerance and (written.unit == given.unit or not given.unit):
        return True
    is_percent = written.unit in ("%", "percent")
    return is_percent and not given.unit and abs(written.value - 100 * given.value) <= tolerance
