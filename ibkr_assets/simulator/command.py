"""The command that starts a gateway: its options, read from arguments, and served.

`python -m ibkr_assets.simulator` and `ibkr-assets gateway` are both this. What an option means is said in `options`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.arguments import TOKEN_VARIABLE, Parser
from ibkr_assets.simulator.foreign_cash import ForeignCash
from ibkr_assets.simulator.options import GatewayOptions
from ibkr_assets.simulator.server import serve


def run(arguments: Sequence[str], *, program: str, **defaults: Any) -> None:
    """Serve with the options in `arguments`, in the foreground, until it is told to stop.

    `defaults` take the place of the options' own. Raises ConfigurationError; bad use ends the process with 2.
    """
    serve(read_options(arguments, program=program, **defaults))


def read_options(arguments: Sequence[str], *, program: str, **defaults: Any) -> GatewayOptions:
    """The options that arguments and defaults make. Raises ConfigurationError naming the one that cannot be."""
    parser = Parser(
        prog=program,
        description="The simulated gateway alone, in the foreground: IBKR's Web API over a replayed market.",
        epilog=f"Example: {program} --port 5000 --admin-port 5010 --admin-token secret",
    )
    defaults = {"admin_token": os.environ.get(TOKEN_VARIABLE, ""), **defaults}
    for one in fields(GatewayOptions):
        _add(parser, one, defaults.get(one.name, one.default))
    return GatewayOptions(**vars(parser.parse_args(arguments)))


def _add(parser: argparse.ArgumentParser, one: Field[Any], default: Any) -> None:
    about, flag = one.metadata, "--" + one.name.replace("_", "-")
    words = about["help"]
    if one.type != "bool":
        known = about["default_words"] or (default if default not in (None, MISSING) else "none")
        words = f"{words} [{known}]"
    more: dict[str, Any] = {"dest": one.name, "default": default, "help": words.replace("%", "%%")}
    if one.type == "bool":
        more["action"] = argparse.BooleanOptionalAction if default else "store_true"
    else:
        more |= {"type": _READERS[str(one.type)], "metavar": about["metavar"] or _METAVARS.get(str(one.type), "WORD")}
        if str(one.type).startswith("tuple"):
            more["nargs"] = "*"
    parser.add_argument(flag, *about["flags"], **more)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is not ISO 8601: {text!r}") from None


def _foreign_cash(text: str) -> ForeignCash:
    try:
        return ForeignCash.parse(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


#: How the text of an option becomes its value, by the type that the field is declared with.
_READERS: dict[str, Callable[[str], Any]] = {
    "str": str, "int": int, "float": float, "float | None": float, "Decimal": _decimal, "str | Path": str,
    "Path | None": Path, "datetime | None": _time, "tuple[ForeignCash, ...]": _foreign_cash,
}  # fmt: skip
_METAVARS = {"int": "N", "float": "N", "float | None": "N", "Decimal": "N"}
