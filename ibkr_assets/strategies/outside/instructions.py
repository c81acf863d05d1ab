"""Texts that speak to a model instead of about the world: whether one does, and by which sign.

What goes here: the signs; those of other languages than English are words in `outside.languages`. What does not: what
is done about one (`outside_text` withholds it). No list of signs is complete, and nothing rests on this one: it keeps
most attempts out of a prompt and has them counted. An honest text that is taken for one costs a headline.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from ibkr_assets.strategies.outside.languages import LANGUAGES

_FIELDS = "direction|strength|confidence|horizon|horizon_days|reasons|evidence|role|content|tool_calls|function_call"

_SIGNS: dict[str, str] = {
    "forget": (
        r"\b(ignore|disregard|forget|override|bypass|overrule|discard|do not follow|stop following)\b.{0,50}"
        r"\b(instruction|prompt|rule|guideline|context|message|directive|command|above|previous|prior|everything|facts)"
    ),
    "role": (
        r"(^|[^\w ]|\bnew |\n) ?(system|developer|assistant|tool|user|operator|administrator)"
        r"( (prompt|message|override|note|notice|update|instruction|mode))?s? ?(:|\]|>|=|\|)"
    ),
    "role tag": (
        r"<\|.{0,40}\||\[/?(inst|sys|system|user|assistant)\]|<</?sys>>|"
        r"</?(system|assistant|user|im_start|im_end)\b"
    ),
    "heading": r"(#{2,}|={3,}|-{3,}) ?(system|instruction|new|end|begin|response|important|admin|assistant)",
    "frame": r"\b(begin|end|close|start) (of )?(outside text|untrusted|data block|facts|the data|user input|context)\b",
    "speaks to a model": (
        r"\b(you are (now|no longer)|you're now|you (must|shall|will|should) (now )?(answer|respond|reply|output|"
        r"ignore|set|return|say|act|obey|follow|recommend|give|print|choose|use|raise|cite)|"
        r"from now on,? (you|answer|always)|"
        r"(dear|attention|note to|message (to|for)|hey|hello),? (the )?(ai|model|assistant|analyst model|llm|bot)\b)"
    ),
    "wants an answer": (
        r"\b(respond|reply|answer|output|return|print|emit|write|say|conclude) "
        r"(only|exactly|with|in json|in the format|the following|just|nothing|json|yes|long|short|\{)"
    ),
    "wants a secret": (
        r"\b(reveal|print|show|repeat|leak|tell|output|list|disclose|send|quote|include|copy|dump|give|post|write)\b"
        r".{0,40}\b(system prompt|prompt|instructions|secret|password|api.?key|token|environment|credential|config|"
        r"account (id|number|name))"
    ),
    "wants a field": (
        r"\b(set|make|change|put|force|fix|use)\b.{0,30}\b(confidence|strength|direction|horizon|evidence|leverage|"
        r"(risk|order|position|your|trading|loss|size) limits?|quantity|position size|order size)\b"
    ),
    "field": rf"[\"'{{,] ?({_FIELDS})[\"']? ?:|\b(direction|strength|confidence|horizon_days) ?[=:]",
    "pretends": (
        r"\b(act|behave|pretend|role-?play|simulate|respond) (as|like|to be|that|you)\b.{0,40}\b(system|trader|"
        r"assistant|model|admin|root|developer|unrestricted|no (rules|limits|restrictions)|you)|\b(jailbreak|"
        r"developer mode|dan mode|do anything now|god mode|debug mode|as an ai|prompt injection|"
        r"new (task|instructions|objective|rules) ?:)"
    ),
    "wants a deed": (
        r"\b(call|invoke|use|run|execute) (the|a|this|your)? ?(tool|function|command|code|script|shell|api|plugin)|"
        r"\b(os\.environ|import os|subprocess|drop table|sudo|curl|wget|eval\(|exec\()|"
        r"\b(buy|sell|short|purchase|place an order)\b.{0,40}\b(immediately|right now|at once|maximum|all.in|"
        r"everything|instead|with full|without limit|no limits?|as much|\d{4,} (shares|units|contracts))"
    ),
}
#: Characters between a word that orders and what it is about.
_NEAR = 50
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"\b(?:[0-9A-Fa-f]{2} ?){10,}")
_ESCAPES = re.compile(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})")
_SPACED = re.compile(r"\b(?:\w[ ._*-]){4,}\w\b")
_READABLE_SHARE = 0.9


def fold(text: str) -> str:
    """Lower case without accents, white space as single spaces: what signs are looked for in."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return " ".join(unicodedata.normalize("NFKC", bare).casefold().split())


def _near(orders: str, about: str) -> str:
    one, other = (f"({'|'.join(map(_beginning, fold(words).split()))})" for words in (orders, about))
    return f"{one}.{{0,{_NEAR}}}{other}|{other}.{{0,{_NEAR}}}{one}"


def _beginning(word: str) -> str:
    """As a word's beginning, in scripts that are written in words."""
    spelt = re.escape(word.replace("_", " "))
    return rf"\b{spelt}" if word.isascii() else spelt


_PATTERNS = {name: re.compile(pattern) for name, pattern in _SIGNS.items()} | {
    name: re.compile(_near(*words)) for name, words in LANGUAGES.items()
}


#: Any text is scrambled into something: only what is long enough not to come about by chance counts there.
_SCRAMBLED = frozenset({"rot13: ", "reversed: "})
_IN_SCRAMBLED = ("forget", "speaks to a model", "wants an answer", "wants a secret", "wants a field")


def find_signs(text: str) -> tuple[str, ...]:
    """The signs in a text, as it stands or in any of the codes it may be written in; none is the answer for most."""
    found: list[str] = []
    for code, reading in _readings(text):
        folded = fold(reading)
        names = _PATTERNS if code not in _SCRAMBLED else _IN_SCRAMBLED
        found += [f"{code}{name}" for name in names if _PATTERNS[name].search(folded)]
    return tuple(dict.fromkeys(found))


def _readings(text: str) -> Iterator[tuple[str, str]]:
    yield "", text
    joined = _SPACED.sub(lambda match: re.sub(r"[ ._*-]", "", match.group()), text)
    if joined != text:
        # Letters one by one run words together: a space is put back before each word that matters.
        yield (
            "spelled: ",
            re.sub(r"(?i)(ignore|disregard|forget|all|previous|instructions?|system|reveal)", r" \1 ", joined),
        )
    if "%" in text:
        yield "percent codes: ", unquote(text, errors="replace")
    if "\\" in text:
        yield "escapes: ", _ESCAPES.sub(lambda match: chr(int(match.group(1) or match.group(2), 16)), text)
    for match in _BASE64.finditer(text):
        if (decoded := _decoded(match.group())) is not None:
            yield "base64: ", decoded
    for match in _HEX.finditer(text):
        yield "hexadecimal: ", bytes.fromhex(match.group()).decode("utf-8", "replace")
    yield "rot13: ", codecs.encode(text, "rot13")
    yield "reversed: ", text[::-1]


def _decoded(word: str) -> str | None:
    """What a base64 word says, where it says anything."""
    bare = word.rstrip("=")
    try:
        data = base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_" if set(bare) & set("-_") else None)
    except binascii.Error:
        return None
    text = data.decode("utf-8", "replace")
    readable = sum(one.isprintable() and one != "�" for one in text)
    return text if text and readable >= _READABLE_SHARE * len(text) else None
