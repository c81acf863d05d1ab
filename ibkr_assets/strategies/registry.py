"""Which kinds of strategy there are, and one of them built from its parameters.

A shipped kind is one more row here; the user's own come from `strategies.own_files`. Strategies as the database keeps
them, with symbols and sizing, are `ports.StrategyRecord`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.strategies.analyst import Analyst
from ibkr_assets.strategies.donchian import Donchian, DonchianParams
from ibkr_assets.strategies.kind import Kind
from ibkr_assets.strategies.llm_analyst import LlmAnalyst, LlmAnalystParams
from ibkr_assets.strategies.model_score import Models, ModelScore, ModelScoreParams
from ibkr_assets.strategies.momentum_rank import MomentumRank, MomentumRankParams
from ibkr_assets.strategies.own_files import load_kinds
from ibkr_assets.strategies.rsi_reversion import RsiReversion, RsiReversionParams
from ibkr_assets.strategies.sma_bracket import SmaBracket, SmaBracketParams
from ibkr_assets.strategies.sma_cross import SmaCross, SmaCrossParams
from ibkr_assets.strategies.strategy import Strategy

KINDS: dict[str, Kind] = {
    "donchian": Kind(DonchianParams, Donchian),
    "llm_analyst": Kind(LlmAnalystParams, LlmAnalyst, asks=True),
    "model_score": Kind(ModelScoreParams, ModelScore, scores=True),
    "momentum_rank": Kind(MomentumRankParams, MomentumRank),
    "rsi_reversion": Kind(RsiReversionParams, RsiReversion),
    "sma_bracket": Kind(SmaBracketParams, SmaBracket),
    "sma_cross": Kind(SmaCrossParams, SmaCross),
}


def all_kinds(directory: Path | None = None) -> dict[str, Kind]:
    """The shipped kinds and those of the user's directory. Raises ConfigurationError for a name that is taken."""
    own = {} if directory is None else load_kinds(directory)
    taken = sorted(KINDS.keys() & own.keys())
    if taken:
        raise ConfigurationError(f"strategies.directory: {directory}: {taken[0]}.py: a shipped kind has this name")
    return KINDS | own


def build_strategy(
    kind: str,
    params: Mapping[str, Any],
    *,
    directory: Path | None = None,
    models: Models | None = None,
    analyst: Analyst | None = None,
) -> Strategy:
    """A strategy of this kind; `models` leads one that scores to its model, which it asks for when it first scores.

    `analyst` answers one that asks a language model; without one it abstains.
    Raises ConfigurationError naming the kind, or the parameter and its value.
    """
    return build_kind(kind, find_kind(kind, directory), params, models, analyst, directory)


def find_kind(kind: str, directory: Path | None = None) -> Kind:
    """The kind of this name. Raises ConfigurationError naming it where there is none."""
    kinds = all_kinds(directory)
    if kind not in kinds:
        raise ConfigurationError(f"kind {kind!r}: no such kind of strategy; there are {sorted(kinds)}")
    return kinds[kind]


def build_kind(
    name: str,
    kind: Kind,
    params: Mapping[str, Any],
    models: Models | None = None,
    analyst: Analyst | None = None,
    directory: Path | None = None,
) -> Strategy:
    """As `build_strategy`, for whoever builds many of one kind."""
    try:
        checked = kind.params.model_validate(dict(params))
        if kind.asks:
            return kind.build(checked, partial(build_strategy, directory=directory, models=models), analyst)
        return kind.build(checked, models) if kind.scores else kind.build(checked)
    except ValidationError as error:
        raise ConfigurationError(f"strategy of kind {name!r}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if not name:
        return first["msg"].removeprefix("Value error, ")
    return f"{name}: {first['msg']}, got {first['input']!r}"
