"""The textbook definitions of the indicators, in plain Python, one value at a time.

Seeds as TA-Lib has them: exponential and Wilder averages start from a simple mean; MACD's fast average starts at
the bar where its slow one does. None stands where there is no value yet.
"""

import itertools
import math

Series = list[float | None]


def sma(x: list[float], n: int) -> Series:
    return [None if t < n - 1 else math.fsum(x[t - n + 1 : t + 1]) / n for t in range(len(x))]


def ema(x: list[float], n: int, first: int | None = None) -> Series:
    first = n - 1 if first is None else first
    out: Series = [None] * len(x)
    if len(x) <= first:
        return out
    value = math.fsum(x[first - n + 1 : first + 1]) / n
    out[first] = value
    for t in range(first + 1, len(x)):
        value += (x[t] - value) * 2 / (n + 1)
        out[t] = value
    return out


def macd(x: list[float], fast: int = 12, slow: int = 26, signal: int = 9) -> tuple[Series, Series, Series]:
    nothing: Series = [None] * len(x)
    if len(x) < slow:
        return nothing, nothing, nothing
    a, b = ema(x, fast, slow - 1), ema(x, slow)
    line = [p - q for p, q in zip(a, b, strict=True) if p is not None and q is not None]
    smooth = ema(line, signal)
    pad: Series = [None] * (slow - 1)
    lines = pad + [v if s is not None else None for v, s in zip(line, smooth, strict=True)]
    histogram = pad + [v - s if s is not None else None for v, s in zip(line, smooth, strict=True)]
    return lines, pad + smooth, histogram


def wilder(x: list[float], n: int) -> Series:
    out: Series = [None] * len(x)
    if len(x) < n:
        return out
    value = math.fsum(x[:n]) / n
    out[n - 1] = value
    for t in range(n, len(x)):
        value = (value * (n - 1) + x[t]) / n
        out[t] = value
    return out


def rsi(x: list[float], n: int = 14) -> Series:
    changes = [b - a for a, b in itertools.pairwise(x)]
    gains, losses = wilder([max(c, 0.0) for c in changes], n), wilder([max(-c, 0.0) for c in changes], n)
    out: Series = [None] if x else []
    for gain, loss in zip(gains, losses, strict=True):
        if gain is None or loss is None:
            out.append(None)
        else:
            out.append(0.0 if gain + loss == 0 else 100 * gain / (gain + loss))
    return out


def bands(x: list[float], n: int = 20, width: float = 2.0) -> tuple[Series, Series, Series]:
    middle = sma(x, n)
    upper: Series = []
    lower: Series = []
    for t, mean in enumerate(middle):
        if mean is None:
            upper.append(None)
            lower.append(None)
            continue
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in x[t - n + 1 : t + 1]) / n)
        upper.append(mean + width * deviation)
        lower.append(mean - width * deviation)
    return upper, middle, lower


def atr(high: list[float], low: list[float], close: list[float], n: int = 14) -> Series:
    ranges = [
        max(high[t] - low[t], abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1])) for t in range(1, len(close))
    ]
    return ([None] if close else []) + wilder(ranges, n)


def log_returns(x: list[float]) -> Series:
    return ([None] if x else []) + [math.log(b) - math.log(a) for a, b in itertools.pairwise(x)]


def returns(x: list[float]) -> Series:
    return ([None] if x else []) + [(b - a) / a for a, b in itertools.pairwise(x)]


def volatility(x: list[float], n: int = 20) -> Series:
    logs = [v for v in log_returns(x) if v is not None]
    out: Series = [None] * min(n, len(x))
    for t in range(n, len(x)):
        window = logs[t - n : t]
        mean = math.fsum(window) / n
        out.append(math.sqrt(math.fsum((v - mean) ** 2 for v in window) / (n - 1)))
    return out


def feature_set(high: list[float], low: list[float], close: list[float]) -> dict[str, Series]:
    """Every named feature."""
    lines, signal, histogram = macd(close)
    upper, middle, lower = bands(close)
    return {
        "sma_10": sma(close, 10), "sma_20": sma(close, 20), "sma_50": sma(close, 50),
        "ema_12": ema(close, 12), "ema_26": ema(close, 26), "rsi_14": rsi(close),
        "macd": lines, "macd_signal": signal, "macd_hist": histogram,
        "bb_upper": upper, "bb_middle": middle, "bb_lower": lower, "atr_14": atr(high, low, close),
        "return_1": returns(close), "log_return_1": log_returns(close), "volatility_20": volatility(close),
    }  # fmt: skip
