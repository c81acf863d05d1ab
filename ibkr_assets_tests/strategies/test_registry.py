"""A strategy is built from its kind and parameters, and every mistake is named."""

import pytest

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.strategies.registry import KINDS, build_strategy


def test_every_kind_has_working_defaults() -> None:
    for kind in KINDS:
        assert build_strategy(kind, {}).warm_up_bars > 0


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'smacross'.*sma_cross"):
        build_strategy("smacross", {})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"fast": 0, "slow": 5}, "fast: .*got 0"),
        ({"fast": "10", "slow": 20}, "fast: .*got '10'"),
        ({"fast": 2.5, "slow": 20}, "fast: .*got 2.5"),
        ({"fast": 10, "slow": 10}, "slow must be greater than fast, got fast 10 and slow 10"),
        ({"fast": 10, "slow": 5}, "slow must be greater than fast"),
        ({"fast": 10, "slow": 1001}, "slow: .*got 1001"),
        ({"fast": 10, "slow": 20, "short": "no"}, "short: .*got 'no'"),
        ({"fast": 10, "slwo": 20}, "slwo: .*got 20"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value(params: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"sma_cross.*{words}"):
        build_strategy("sma_cross", params)
