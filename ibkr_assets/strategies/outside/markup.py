"""Markup in outside texts: what a browser would show of it, and nothing else.

What goes here: tags, comments, elements that are not shown, entities, links and long encoded words. What does not:
characters (`outside.letters`). Reading is the standard library's; whatever it leaves of a tag stays as text, and is
harmless in the data block that it goes into (`outside_text`).
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

#: Elements whose content is no text for a reader.
_UNSHOWN = frozenset({
    "applet", "audio", "canvas", "embed", "frame", "frameset", "head", "iframe", "math", "noembed", "noframes",
    "noscript", "object", "option", "script", "select", "style", "svg", "template", "textarea", "title", "video",
})  # fmt: skip
#: They have no end, so nothing is inside them.
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "frame", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
})  # fmt: skip
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(hidden|collapse)|opacity\s*:\s*0|font-size\s*:\s*0|(^|[;\s])color\s*:"
    r"\s*(white|transparent|#fff)|(left|top|text-indent|margin-left)\s*:\s*-\d{3,}|clip|(width|height)\s*:\s*[01](px)?\b",
    re.IGNORECASE,
)
#: Texts are escaped more than once on their way through feeds.
_MOST_ROUNDS = 4
#: The reader starts over at each that it cannot close; what follows the last of so many is not read.
_MOST_TAGS = 200
_LINK = re.compile(
    r"\b(?:https?|ftp|file|wss?)://\S*|\bwww\.\S+|\b(?:javascript|vbscript|data|mailto):\S+", re.IGNORECASE
)
_MARKDOWN = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s[^()]*)?\)")
#: Nothing that is written to be read has a word like this; base64, hexadecimal and percent codes do.
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}|(?:%[0-9A-Fa-f]{2}){4,}|(?:\\[ux][0-9A-Fa-f]{2,4}){3,}")
_LONGEST_WORD = 30
LINK = "(link)"
ENCODED = "(encoded)"


def strip_markup(text: str) -> tuple[str, set[str]]:
    """What a browser would show, with links and encoded words named instead of kept; and the codes of what was there.

    Codes: `markup`, `hidden_markup`, `link`, `encoded`, `too_long`.
    """
    found: set[str] = set()
    for _ in range(_MOST_ROUNDS):
        if "<" not in text and "&" not in text:
            break
        if text.count("<") > _MOST_TAGS:
            text = "<".join(text.split("<", _MOST_TAGS)[:-1])
            found.add("too_long")
        shown = _Shown()
        shown.feed(text)
        shown.close()
        found |= shown.found
        if shown.text == text:
            break
        text = shown.text
    for pattern, put in ((_MARKDOWN, r"\1"), (_LINK, LINK)):
        text, count = pattern.subn(put, text)
        if count:
            found.add("link")
    plain = _ENCODED.sub(lambda match: ENCODED if _is_encoded(match.group()) else match.group(), text)
    return plain, found | ({"encoded"} if plain != text else set())


def _is_encoded(word: str) -> bool:
    """Words that are read may be long and hyphened; they have no capitals or digits amid small letters."""
    if word[0] in "%\\":
        return True
    parts = re.split(r"[-_/]", word)
    return any(len(part) > _LONGEST_WORD for part in parts) or any(re.search(r"[a-z][A-Z0-9]", part) for part in parts)


class _Shown(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: set[str] = set()
        self._parts: list[str] = []
        self._inside: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add("markup")
        self._parts.append(" ")
        if tag in _VOID:
            return
        if self._inside or tag in _UNSHOWN or _is_hidden(attrs):
            self.found.add("hidden_markup")
            self._inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """In HTML a slash ends nothing."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.found.add("markup")
        self._parts.append(" ")
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self._parts.append(data)

    def handle_comment(self, data: str) -> None:  # noqa: ARG002 - the library's name
        self.found |= {"markup", "hidden_markup"}

    def handle_decl(self, decl: str) -> None:  # noqa: ARG002 - the library's name
        self.found.add("markup")

    def handle_pi(self, data: str) -> None:  # noqa: ARG002 - the library's name
        self.found |= {"markup", "hidden_markup"}

    def unknown_decl(self, data: str) -> None:  # noqa: ARG002 - the library's name
        self.found |= {"markup", "hidden_markup"}


def _is_hidden(attrs: list[tuple[str, str | None]]) -> bool:
    given = {name: value or "" for name, value in attrs}
    return "hidden" in given or given.get("aria-hidden") == "true" or bool(_HIDING.search(given.get("style", "")))
