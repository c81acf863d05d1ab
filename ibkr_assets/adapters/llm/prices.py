"""What a model costs, from the table that genai-prices ships or from the settings.

What goes here: finding the price of a million tokens, with its source. What does not: what a request cost
(`domain.analysis.Price`) and what may be spent (`execution.analyst`). Nothing is fetched: the table is as old as the
installed package, and a price that is not in it is not guessed.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache

from ibkr_assets.domain.analysis import Price

_MILLION = 1_000_000
#: Some prices rise with the length of a prompt; ours are short.
_SHORT = 1_000


@cache
def find_price(model: str, endpoint: str, day: date) -> Price | None:
    """USD for a million tokens of this model at this endpoint on `day`; None where the table does not know it."""
    from importlib.metadata import version

    from genai_prices import Usage, calc_price

    at = datetime.combine(day, time(12), UTC)
    try:
        of_prompt, of_answer = (
            calc_price(usage, model, provider_api_url=endpoint, genai_request_timestamp=at)
            for usage in (Usage(input_tokens=_SHORT), Usage(output_tokens=_SHORT))
        )
    except LookupError:
        return None
    scale = Decimal(_MILLION // _SHORT)
    source = f"genai-prices {version('genai-prices')}: {of_prompt.provider.id}/{of_prompt.model.id}"
    return Price(of_prompt.total_price * scale, of_answer.total_price * scale, source, day)
