"""Texts that somebody else wrote, made fit to be stored and shown.

What goes here: that no character moves a cursor, hides or reorders what stands beside it. What does not: escaping for
HTML or SQL, which is done by whoever writes those.
"""


def visible(text: str, *, most: int | None = None) -> str:
    r"""The text with every character that prints nothing as its escape (`\x1b`), and any white space as a space.

    No control character, direction mark, half of a surrogate pair or NUL is left. Longer than `most` characters, it
    is cut and ends in "...".
    """
    if most is not None and len(text) > most:
        text = text[: most - 3] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text)
