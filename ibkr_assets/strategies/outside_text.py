"""Notes and headlines that somebody else wrote, made fit to stand in a prompt as data.

What goes here: the order of the cleaning, the lengths, the block that the texts stand in, and what was found while
cleaning. What does not: each way of deceiving (`strategies.outside`) and what may be in an answer
(`strategies.answer_checks`). Nothing is fetched, and nothing here makes a text true: it can still mislead, which is why
an analysis by default may only make a position smaller.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ibkr_assets.domain.text import visible
from ibkr_assets.strategies.outside.instructions import find_signs
from ibkr_assets.strategies.outside.letters import normalise, unmask
from ibkr_assets.strategies.outside.markup import strip_markup

#: Characters of one text that are read at all, and that are shown.
MOST_READ = 10_000
MOST_SHOWN = 500
MOST_TEXTS = 20
#: What is dangerous about a text, as against what is only cleaned: these are counted as security events.
SECURITY_CODES = frozenset(
    {"bidi", "encoded", "hidden_markup", "homoglyph", "instruction_like", "invisible", "mixed_script"}
)
_BEGIN, _END = "BEGIN OUTSIDE TEXT", "END OUTSIDE TEXT"


@dataclass(frozen=True, slots=True)
class TextEvent:
    """Something found in a text: `code`, the id of the text, and a detail that is fit to be logged."""

    code: str
    id: str
    detail: str

    @property
    def is_security(self) -> bool:
        """True where somebody may have meant to deceive."""
        return self.code in SECURITY_CODES


@dataclass(frozen=True, slots=True)
class Quoted:
    """Texts as they stand in a prompt.

    `block` is "" without texts. `shown` are the texts that can be read in it, by id; one that is withheld is not there.
    """

    block: str
    shown: Mapping[str, str]
    events: tuple[TextEvent, ...]


def clean_text(text: str, *, names: Collection[str] = ()) -> tuple[str, tuple[str, ...]]:
    """One text as it may be shown, at most MOST_SHOWN characters on one line, and the codes of what was found.

    Codes are those of `strategies.outside`, `too_long` and `instruction_like`. `names` are those that no other word
    may look like: symbols, and names of companies.
    """
    found: set[str] = set()
    if len(text) > MOST_READ:
        text, found = text[:MOST_READ], {"too_long"}
    signs = bool(find_signs(text))
    text, codes = normalise(text)
    found |= codes
    text, codes = strip_markup(text)
    found |= codes
    text, codes = normalise(text)  # what an entity stood for
    found |= codes
    text, codes = unmask(text, names)
    found |= codes
    if signs or find_signs(text):
        found.add("instruction_like")
    if len(text) > MOST_SHOWN:
        text = text[: MOST_SHOWN - 3] + "..."
        found.add("too_long")
    return text, tuple(sorted(found))


def quote_texts(texts: Sequence[str], *, names: Collection[str] = (), withhold: bool = True) -> Quoted:
    """The block of data that holds these texts, one JSON object a line, and what was found in them.

    Its marks carry a hash of what stands between them: the same texts always give the same block, and no text can hold
    the mark of a block that it is part of. Ids are `text-1` and so on. A text that reads like an instruction is
    withheld, and its line says so, unless `withhold` is False.
    """
    lines: list[str] = []
    shown: dict[str, str] = {}
    events: list[TextEvent] = []
    if len(texts) > MOST_TEXTS:
        events.append(TextEvent("too_many", "", f"{len(texts)} texts, {MOST_TEXTS} are read"))
    for number, text in enumerate(texts[:MOST_TEXTS], start=1):
        own = f"text-{number}"
        cleaned, codes = clean_text(text, names=names)
        events += [TextEvent(code, own, visible(text, most=80)) for code in codes]
        if withhold and "instruction_like" in codes:
            lines.append(_line({"id": own, "withheld": "it reads like an instruction"}))
        elif cleaned:
            lines.append(_line({"id": own, "text": cleaned}))
            shown[own] = cleaned
    if not lines:
        return Quoted("", {}, tuple(events))
    body = "\n".join(lines)
    mark = hashlib.sha256(body.encode()).hexdigest()[:32]
    return Quoted(f"{_BEGIN} {mark}\n{body}\n{_END} {mark}", shown, tuple(events))


def _line(entry: Mapping[str, str]) -> str:
    """One line of JSON in which no text can look like markup: angle brackets are written as codes."""
    return json.dumps(entry, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")
