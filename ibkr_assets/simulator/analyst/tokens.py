"""Counting tokens: the same text always has as many, on every machine.

What goes here: a count that can be checked by hand. What does not: any real model's vocabulary, of which this has none:
a token is up to four letters or digits in a row, or any other character that is not white space. A picture counts as
OpenAI's published rule counts it: 85, and 170 for each tile of 512 pixels.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Sequence
from typing import Any

_TOKEN = re.compile(r"\w{1,4}|[^\w\s]")
_PER_MESSAGE = 3
_PICTURE, _TILE, _TILE_PIXELS = 85, 170, 512
_PNG = b"\x89PNG\r\n\x1a\n"


def count_tokens(text: str) -> int:
    """How many tokens a text has."""
    return sum(1 for _ in _TOKEN.finditer(text))


def cut_tokens(text: str, most: int) -> str:
    """The text up to the end of its token number `most`."""
    end = 0
    for place, match in enumerate(_TOKEN.finditer(text)):
        if place == most:
            return text[:end]
        end = match.end()
    return text


def count_prompt(messages: Sequence[dict[str, Any]], more: str = "") -> int:
    """Tokens of all messages and of `more`, a schema or a list of tools as text."""
    return sum(_PER_MESSAGE + _count_content(message.get("content")) for message in messages) + count_tokens(more)


def _count_content(content: Any) -> int:
    if isinstance(content, str):
        return count_tokens(content)
    total = 0
    for part in content or ():
        total += count_tokens(part["text"]) if part["type"] == "text" else _count_picture(part["image_url"]["url"])
    return total


def _count_picture(url: str) -> int:
    """A picture that is not a PNG in the request itself counts as one tile."""
    width = height = 1
    head, _, data = url.partition(";base64,")
    if head == "data:image/png":
        try:
            start = base64.b64decode(data[:32])
        except binascii.Error:
            start = b""
        if start.startswith(_PNG) and len(start) == 24:  # signature, length and name of the first chunk, width, height
            width, height = struct.unpack(">II", start[16:24])
    across, down = (max(1, -(-min(size, 1 << 16) // _TILE_PIXELS)) for size in (width, height))
    return _PICTURE + _TILE * across * down
