"""What runs over the past are asked for with, and what of it is read before the work: strategy, bars, terms.

What goes here: the configuration that `backtests` and `sweeps` share. What does not: the work (`backtest`) and what is
shown of it (the assets).
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from ibkr_assets import bootstrap
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.adapters.postgres.past_runs import PostgresPastRuns
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.strategies.strategy import Strategy


class PastConfig(dg.Config):
    """A strategy, the bars of the database it is shown, and what it trades with."""

    strategy: str = Field(default="", description="a kind, for example sma_cross; empty: that of strategy_id")
    strategy_id: str | None = Field(
        default=None, description="a stored strategy: its kind, parameters, symbols and sizing where none are given"
    )
    params: dict[str, Any] = Field(default={}, description="parameters of the strategy")
    symbols: list[str] = Field(default=[], description="of the database's validated daily bars")
    start: str = Field(default="", description="first day (UTC), as 2010-01-04; empty: all there are")
    end: str = Field(default="", description="last day (UTC)")
    cash: float = Field(default=100_000.0, gt=0, description="USD to start with")
    size: str = Field(default="", description="as of the command line; empty: the strategy's, or percent:95")
    commission: str = Field(default="none", description="none, bps:N, ibkr-fixed or ibkr-tiered")
    slippage: str = Field(default="none", description="none, bps:N, spread:USD or volume:IMPACT")
    may_borrow: bool = Field(default=False, description="open positions worth more than the cash there is")


class Asked:
    """A configuration with what it leaves to the stored strategy filled in. Raises InputError, ConfigurationError."""

    def __init__(self, config: PastConfig, settings: Settings) -> None:
        from ibkr_assets.strategies.registry import find_kind

        self.settings = settings
        stored = None
        if config.strategy_id is not None:
            found = [one for one in bootstrap.strategy_store(settings).strategies() if one.id == config.strategy_id]
            if not found:
                raise InputError(f"strategy_id {config.strategy_id!r}: there is no such strategy")
            stored = found[0]
        self.kind: str = config.strategy or (stored.kind if stored else "")
        if not self.kind:
            raise InputError("strategy: name a kind, or a stored strategy as strategy_id")
        if find_kind(self.kind, self.directory).asks:
            raise ConfigurationError(
                f"strategy {self.kind!r}: what a language model said is traded by the command line"
            )
        of_stored = dict(stored.params) if stored and stored.kind == self.kind else {}
        self.params: dict[str, Any] = of_stored | config.params
        self.symbols: Sequence[str] = config.symbols or (stored.symbols if stored else ())
        if not self.symbols:
            raise InputError("symbols: name at least one")
        self.size: str = config.size or (stored.sizing if stored else "percent:95")
        self._config = config

    @property
    def directory(self) -> Path | None:
        """Where the user's own kinds are."""
        return self.settings.strategies.directory

    def build(self, params: dict[str, Any]) -> "Strategy":
        """The strategy with these parameters."""
        from ibkr_assets.strategies.registry import build_strategy

        models = bootstrap.models(self.settings)
        return build_strategy(self.kind, params, directory=self.directory, models=models)

    def bars(self) -> "pd.DataFrame":
        """The bars from the first to the last day."""
        from ibkr_assets.ingest.past_bars import FIRST, LAST, load_past_bars

        first, last = (
            _day(name, text) or otherwise
            for name, text, otherwise in (("start", self._config.start, FIRST), ("end", self._config.end, LAST))
        )
        return load_past_bars(bootstrap.bar_store(self.settings), self.symbols, first, last)

    def terms(self, risk: str = "none") -> "Terms":
        """Cash, size and costs; with `risk` settings openings that the limits in force deny are not made."""
        from ibkr_assets.backtest.about import parse_terms
        from ibkr_assets.backtest.oversight import Oversight

        config = self._config
        if risk not in ("none", "settings"):
            raise InputError(f"risk {risk!r}: expected none or settings")
        return parse_terms(
            config.cash, self.size, config.commission, config.slippage, may_borrow=config.may_borrow,
            oversight=Oversight(bootstrap.limits(self.settings)) if risk == "settings" else None,
        )  # fmt: skip


def past_runs(settings: Settings) -> "PostgresPastRuns":
    """Where results are kept."""
    from ibkr_assets.adapters.postgres.past_runs import PostgresPastRuns

    return PostgresPastRuns(bootstrap.database(settings))


def read_files(paths: Sequence[Path]) -> dict[str, bytes]:
    """Files by name."""
    return {path.name: path.read_bytes() for path in paths}


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InputError(f"{name} {text!r}: expected a day as 2010-01-04") from None
