"""The command that starts the stand-in: `ibkr-assets analyst` and `python -m ibkr_assets.simulator.analyst`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ibkr_assets.simulator.analyst.profiles import DEFAULT_SLOW_S, PROFILES, Behaviour
from ibkr_assets.simulator.analyst.server import AnalystOptions, serve
from ibkr_assets.simulator.arguments import TOKEN_VARIABLE, Parser


def run(arguments: Sequence[str], *, program: str, port: int = 0) -> None:
    """Serve with the options in `arguments`, in the foreground, until it is told to stop. Bad use ends with 2.

    Raises ConfigurationError for a port in use.
    """
    parser = Parser(
        prog=program,
        description="A stand-in for a language model's endpoint, in the foreground: OpenAI's chat completions, "
        "answered by a fixed rule in disguise. It is no language model.",
        epilog=f"Example: {program} --port 5020",
    )
    words = f"0 picks a free one and prints it [{port}]"
    parser.add_argument("--port", type=int, default=port, metavar="N", help=words)
    parser.add_argument(
        "--admin-token", default=os.environ.get(TOKEN_VARIABLE, ""), metavar="TOKEN",
        help=f"lets its bearer change the profile and read requests; without one nobody may [${TOKEN_VARIABLE}]",
    )  # fmt: skip
    parser.add_argument("--api-key", default="", metavar="KEY", help="the one key that is served; without one any is")
    words = "; ".join(f"{name}: {about}" for name, about in PROFILES.items())
    parser.add_argument("--profile", choices=PROFILES, default="rule", metavar="NAME", help=f"{words} [rule]")
    parser.add_argument("--times", type=int, metavar="N", help="requests that the profile is for, then `rule` [all]")
    parser.add_argument(
        "--seconds", type=float, default=DEFAULT_SLOW_S, metavar="N", help=f"of profile slow [{DEFAULT_SLOW_S:g}]"
    )
    given = parser.parse_args(arguments)
    behaviour = Behaviour(given.profile, given.times, given.seconds)
    serve(AnalystOptions(given.port, given.admin_token, given.api_key, behaviour))
