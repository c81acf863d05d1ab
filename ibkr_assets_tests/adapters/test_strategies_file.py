"""Strategies as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibkr_assets.adapters.strategies_file import read_strategies
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.ports import StrategyRecord
from ibkr_assets.stack.up import DEFAULT_STRATEGIES

ENTRY = "- {id: a, kind: sma_cross, symbols: [IBM], sizing: 'percent:8'}\n"


def test_the_file_that_is_shipped_has_one_strategy_over_five_companies() -> None:
    assert read_strategies(DEFAULT_STRATEGIES) == [
        StrategyRecord(
            id="sma_cross_10_30",
            version=0,
            kind="sma_cross",
            params={"fast": 10, "slow": 30, "short": False},
            symbols=("AAPL", "FB", "GOOG", "IBM", "MSFT"),
            bar_size="1d",
            schedule="after_close",
            sizing="percent:8",
            risk={},
            account=None,
            is_enabled=True,
        )
    ]


def test_what_is_left_out_has_a_safe_meaning(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(ENTRY)
    record = read_strategies(file)[0]
    assert (record.params, record.risk, record.account, record.bar_size) == ({}, {}, None, "1d")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "line 1: not valid YAML"),
        ("a: 1", "expected a list of strategies, got dict"),
        ("", "expected a list of strategies, got NoneType"),
        ("- 5", "entry 1: entry: "),
        ("- {kind: x, symbols: [IBM], sizing: 'fixed:1'}", "entry 1: id: Field required"),
        (ENTRY.replace("sizing: 'percent:8'", "sizing: lots"), "entry a: sizing: "),
        (ENTRY.replace("percent:8", "atr:1"), "entry a: sizing: Value error, sizing 'atr:1': expected fixed:SHARES"),
        (ENTRY.replace("[IBM]", "[]"), "entry a: symbols: "),
        (ENTRY.replace("kind", "knd"), "entry a: kind: "),
        (ENTRY.replace("}", ", enabled: perhaps}"), "entry a: enabled: "),
        (ENTRY.replace("}", ", bar_size: 7d}"), "entry a: bar_size: "),
        (ENTRY + ENTRY, "id a is there more than once"),
    ],
)
def test_a_mistake_is_told_with_file_entry_and_field(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_strategies(file)
    assert str(file) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*none\.yaml: No such file"):
        read_strategies(tmp_path / "none.yaml")
