"""What a run over the past starts from, read from options: cash, sizes, costs, and the limits it keeps.

What goes here: the way from texts to `backtest.engine.Terms`. What does not: the commands (`cli.research`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import InputError

if TYPE_CHECKING:
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.backtest.oversight import Oversight
    from ibkr_assets.settings import Settings


def parse_terms(
    cash: float, size: str, commission: str, slippage: str, *, may_borrow: bool, oversight: Oversight | None = None
) -> Terms:
    """Terms from the options' texts. Raises InputError naming the option."""
    from ibkr_assets.backtest.commissions import parse_commission
    from ibkr_assets.backtest.engine import Terms
    from ibkr_assets.backtest.sizes import parse_size
    from ibkr_assets.backtest.slippage import parse_slippage

    return Terms(
        cash, parse_size(size), parse_commission(commission), parse_slippage(slippage),
        may_borrow=may_borrow, oversight=oversight,
    )  # fmt: skip


def parse_risk(settings: Settings, risk: str) -> Oversight | None:
    """`none`, or `settings` for the limits of the configuration. Raises InputError for another word."""
    if risk == "none":
        return None
    if risk != "settings":
        raise InputError(f"risk {risk!r}: expected none or settings")
    from ibkr_assets import bootstrap
    from ibkr_assets.backtest.oversight import Oversight

    return Oversight(bootstrap.limits(settings))
