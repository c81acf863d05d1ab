"""Characters that deceive: those that are not seen, that reorder what is seen, and that look like others.

What goes here: one text with such characters removed, words of mixed scripts taken out, and words that only look like
a known name. What does not: markup (`outside.markup`) and what a text says (`outside.instructions`). Characters are
judged by Unicode's own categories and names; the pairs that look alike are chosen from UTS 39's confusables: letters
of the alphabets that share shapes with A to Z.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

#: Blank, although Unicode calls them letters or symbols: Hangul and Khmer fillers, an empty Braille cell.
_BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u034f")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Controls, formats, surrogates, private use and what is not assigned.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_WHITE = frozenset("\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029")
#: Accents that may follow one letter; more of them hide the line above.
_MOST_MARKS = 2

#: Alphabets that share shapes. Words of one of them are read; a word of two is made to deceive.
_ALPHABETS = frozenset({"LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE", "LISU", "DESERET"})
_LOOKALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХҮԚԜԌасеоѕрхуіјԁһԛԝ"  # Cyrillic
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧανικορυ"  # Greek
    "ոսօՏԼ"  # Armenian
    "ᎪᏴᏟᎬᎻᎥᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᏃ"  # Cherokee
    "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢı"  # small capitals, and the i without a dot
    "015",
    "ABESIJKMHOPCTYXYQWGaceospxyijdhqwABEZHIKMNOPTYXavikopunuoSLABCEHiJKLMPRSTVWZABCDEGHIJKLMNOPRSTUVWYZiOIS",
)
_WORD = re.compile(r"\w+", re.UNICODE)
UNREADABLE = "(unreadable)"


def normalise(text: str) -> tuple[str, set[str]]:
    """The text in NFKC without what prints nothing, white space as single spaces; and the codes of what was there.

    Codes: `invisible`, `bidi`.
    """
    found: set[str] = set()
    kept: list[str] = []
    marks = 0
    for one in unicodedata.normalize("NFKC", text):
        marks = marks + 1 if unicodedata.combining(one) else 0
        if one in _WHITE or one.isspace():
            kept.append(" ")
        elif one in _BIDI:
            found.add("bidi")
        elif _is_unseen(one) or marks > _MOST_MARKS:
            found.add("invisible")
        else:
            kept.append(one)
    # What was between two characters kept them from being joined.
    return unicodedata.normalize("NFKC", " ".join("".join(kept).split())), found


def unmask(text: str, names: Collection[str]) -> tuple[str, set[str]]:
    """The text with every word of mixed alphabets, or that only looks like one of `names`, taken out; and the codes.

    Codes: `mixed_script`, `homoglyph`.
    """
    found: set[str] = set()
    real = {name.casefold() for name in names}
    shapes = {_shape(name) for name in names}

    def judge(match: re.Match[str]) -> str:
        word = match.group()
        if word.casefold() not in real and _shape(word) in shapes:
            found.add("homoglyph")
            return UNREADABLE
        if len({script for one in word if (script := _alphabet(one))}) > 1:
            found.add("mixed_script")
            return UNREADABLE
        return word

    return _WORD.sub(judge, text), found


def _is_unseen(one: str) -> bool:
    is_selector = "\ufe00" <= one <= "\ufe0f" or "\U000e0100" <= one <= "\U000e01ef"
    return is_selector or one in _BLANK or unicodedata.category(one) in _UNSEEN


def _shape(word: str) -> str:
    """What a word looks like in capitals: a small l is an I here."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", word) if not unicodedata.combining(one))
    return bare.translate(_LOOKALIKES).replace("l", "I").upper()


def _alphabet(one: str) -> str | None:
    if not one.isalpha():
        return None
    script = unicodedata.name(one, "").partition(" ")[0]
    return script if script in _ALPHABETS else None
