"""Machine code: kept where it can be, compiled anew where it cannot, and rounding step by step."""

import logging
from fractions import Fraction

import numpy as np
import pytest

from ibkr_assets.features import averages, kernel
from ibkr_assets.features.machine_code import compiled


def test_code_without_a_place_to_be_kept_is_compiled_all_the_same_and_said(caplog: pytest.LogCaptureFixture) -> None:
    names: dict[str, object] = {}
    exec("def double(x):\n    return x + x\n", names)  # from no file
    with caplog.at_level(logging.WARNING):
        double = compiled(names["double"])  # type: ignore[arg-type]
    assert double(2.5) == 5.0
    assert "double is compiled in each process" in caplog.text


def test_the_loops_are_kept_for_the_next_process() -> None:
    assert kernel.fill_features.stats.cache_path  # type: ignore[attr-defined]


def test_a_step_of_an_average_is_rounded_after_the_product_and_after_the_sum() -> None:
    values = np.round(100 + np.cumsum(np.sin(np.arange(400.0) ** 1.5)), 2)
    out = np.empty_like(values)
    averages._start(values, 11, 12, 2.0 / 13, out)
    for before, new, after in zip(out[11:-1].tolist(), values[12:].tolist(), out[12:].tolist(), strict=True):
        product = float(Fraction(new - before) * Fraction(2.0 / 13))
        assert after == float(Fraction(product) + Fraction(before))
