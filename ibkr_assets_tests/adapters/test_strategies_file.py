"""Strategies as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibkr_assets.adapters.strategies_file import read_strategies, write_strategies
from ibkr_assets.domain.bar import BarSize
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


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
#: Words that YAML would read as something else stand among them: they must come back as they were.
WORDS = st.sampled_from(["no", "yes", "null", "~", "1", "1e3", "0o7", "2012-10-01", "1:30", "=", "- a", "{a: b}", "#x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | TEXT, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.builds(
    StrategyRecord,
    id=st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True),
    version=st.just(0),
    kind=WORDS | TEXT,
    params=st.dictionaries(WORDS | TEXT, VALUES, max_size=3),
    symbols=st.lists(WORDS | TEXT, min_size=1, max_size=3).map(tuple),
    bar_size=st.sampled_from(BarSize).map(lambda size: size.value),
    schedule=WORDS | TEXT,
    sizing=st.sampled_from(["fixed:10", "percent:8", "percent:0.5"]),
    risk=st.dictionaries(WORDS | TEXT, VALUES, max_size=2),
    account=st.none() | WORDS | TEXT,
    is_enabled=st.booleans(),
    is_dry_run=st.booleans(),
)


@given(st.lists(RECORDS, max_size=3, unique_by=lambda record: record.id))
@settings(deadline=None, max_examples=60)
def test_what_is_written_reads_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, records: list[StrategyRecord]
) -> None:
    file = tmp_path_factory.getbasetemp() / "written.yaml"
    file.write_text(write_strategies(records), encoding="utf-8")
    assert read_strategies(file) == records
