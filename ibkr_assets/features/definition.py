"""The named feature set: one row per feature, with its indicator, its parameters and its warm-up.

What goes here: names and numbers, and the digest that identifies them. How they are computed is `features.compute`'s
work. Whatever changes a value must change this table, because stored features are found by the digest.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature frame.

    `indicator` is TA-Lib's name or a name of `features.compute`; `inputs` are bar columns; `output` says which
    result is meant where the indicator has several. The first `warm_up` values of an instrument are NaN. `is_price`
    says that it is in the instrument's currency: prices in other shares make it as much larger or smaller.
    """

    name: str
    indicator: str
    inputs: tuple[str, ...]
    parameters: tuple[tuple[str, float], ...]
    warm_up: int
    output: int = 0
    is_price: bool = False


_CLOSE = ("close",)
_MACD = (("fastperiod", 12), ("slowperiod", 26), ("signalperiod", 9))
_BANDS = (("timeperiod", 20), ("nbdevup", 2.0), ("nbdevdn", 2.0))


def _of(name: str, indicator: str, period: int, warm_up: int, *, is_price: bool = False) -> Feature:
    inputs = ("high", "low", "close") if indicator == "ATR" else _CLOSE
    return Feature(name, indicator, inputs, (("timeperiod", period),), warm_up, is_price=is_price)


#: MACD starts all three lines where the signal line does: 25 bars for the slow average, 8 more for the signal.
#: RSI and ATR use Wilder's average, seeded with a simple mean of the first `timeperiod` changes or true ranges.
#: `volatility_20` is the sample deviation (n - 1) of the last 20 daily log returns, not annualised.
DEFINITIONS: tuple[Feature, ...] = (
    _of("sma_10", "SMA", 10, 9, is_price=True),
    _of("sma_20", "SMA", 20, 19, is_price=True),
    _of("sma_50", "SMA", 50, 49, is_price=True),
    _of("ema_12", "EMA", 12, 11, is_price=True),
    _of("ema_26", "EMA", 26, 25, is_price=True),
    _of("rsi_14", "RSI", 14, 14),
    Feature("macd", "MACD", _CLOSE, _MACD, 33, output=0, is_price=True),
    Feature("macd_signal", "MACD", _CLOSE, _MACD, 33, output=1, is_price=True),
    Feature("macd_hist", "MACD", _CLOSE, _MACD, 33, output=2, is_price=True),
    Feature("bb_upper", "BBANDS", _CLOSE, _BANDS, 19, output=0, is_price=True),
    Feature("bb_middle", "BBANDS", _CLOSE, _BANDS, 19, output=1, is_price=True),
    Feature("bb_lower", "BBANDS", _CLOSE, _BANDS, 19, output=2, is_price=True),
    _of("atr_14", "ATR", 14, 14, is_price=True),
    _of("return_1", "return", 1, 1),
    _of("log_return_1", "log_return", 1, 1),
    _of("volatility_20", "volatility", 20, 20),
)

#: Features in the instrument's currency.
PRICE_FEATURES: frozenset[str] = frozenset(d.name for d in DEFINITIONS if d.is_price)

#: The columns of a feature frame beside `conid` and `opened_at`, in order.
FEATURES: tuple[str, ...] = tuple(d.name for d in DEFINITIONS)


def check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names, each of a feature and none twice; raises ValueError with all that there are otherwise."""
    if set(names) - set(FEATURES) or len(set(names)) != len(names):
        raise ValueError(f"features must be different ones of {', '.join(FEATURES)}, got {', '.join(names)}")
    return names


#: Bars an instrument needs before its newest one until every feature has a value.
WARM_UP_BARS = max(d.warm_up for d in DEFINITIONS)

#: Raised by one whenever `features.compute` gives other values for the same table.
FORMULAS = 3


@cache
def feature_digest() -> str:
    """SHA-256 (hex) over the definitions, the formulas' number and TA-Lib's version: the name of these values."""
    body = {
        "definitions": [asdict(d) for d in DEFINITIONS],
        "formulas": FORMULAS,
        "ta-lib": version("ta-lib"),
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
