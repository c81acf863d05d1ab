"""The settings by which an embedded stack asks its own stand-in for a language model, where no real one is named.

What goes here: which settings, and when. What does not: the stand-in itself (`simulator.analyst`). Its price and its
budgets are imagined, so that what money does can be seen without any. Beside a gateway that is not ours there is none:
a rule in disguise gives no advice about real money.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ibkr_assets.settings import Settings
from ibkr_assets.simulator.analyst.completions import MODEL

_PREFIX = "IBKR_ASSETS__LLM__"
#: A rule has learnt nothing from the past that a backtest could be spoilt by.
_NEVER_TRAINED = "1990-01-01"
_PRICE = {"input_usd_per_million": "1", "output_usd_per_million": "4", "source": "imagined", "as_of": "2026-11-21"}
_BUDGETS = {"call_usd": "0.05", "strategy_usd": "5", "day_usd": "20"}


def plan_stand_in(settings: Settings, port: int) -> dict[str, str]:
    """Variables by name that lead to the stand-in on a port of this machine; none where it is not asked.

    What somebody set of the section `llm` stays as it is.
    """
    if settings.llm.is_configured or settings.gateway.url is not None:
        return {}
    planned: Mapping[str, str] = {
        "base_url": f"http://127.0.0.1:{port}/v1",
        "model": MODEL,
        "answers_as": MODEL,
        "training_cutoff": _NEVER_TRAINED,
        "sees_charts": "true",
        "price": json.dumps(_PRICE),
        "budgets": json.dumps(_BUDGETS),
    }
    own = settings.llm.model_fields_set
    return {f"{_PREFIX}{name.upper()}": text for name, text in planned.items() if name not in own}
