"""A strategy in a file of the user's own: found by its name, asked like any other, and its mistakes named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

FILE = '''
from __future__ import annotations

import pandas as pd
from pydantic import BaseModel, ConfigDict

from ibkr_assets.domain.signal import Direction
from ibkr_assets.strategies.by_bar import ByBar
from ibkr_assets.strategies.kind import Kind
from ibkr_assets.strategies.strategy import Opinion


class Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    bars: int = 3


class UpDays(ByBar):
    """Long after so many bars that each closed higher."""

    def __init__(self, params: Params) -> None:
        self.warm_up_bars = params.bars + 1

    def decide(self, history: pd.DataFrame) -> Opinion | None:
        if len(history) < self.warm_up_bars:
            return None
        is_rising = bool((history["close"].diff().iloc[1:] > 0).all())
        return Opinion(Direction.LONG if is_rising else Direction.FLAT, 1.0, f"rising: {is_rising}")


KIND = Kind(Params, UpDays)
'''


def test_a_file_is_a_kind_and_is_asked_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "up_days.py").write_text(FILE)
    strategy = build_strategy("up_days", {"bars": 2}, directory=tmp_path)
    bars = real_bars("IBM").head(80)
    close = bars["close"].tolist()
    expected = [int(t >= 2 and close[t] > close[t - 1] > close[t - 2]) for t in range(80)]
    assert strategy.directions(bars).tolist() == expected
    assert sum(expected) > 5
    opinion = strategy.decide(bars.tail(3))
    assert opinion is not None
    assert opinion.reason == f"rising: {bool(expected[-1])}"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("broken", "def (", r"broken\.py: SyntaxError"),
        ("missing", "import no_such_library", r"missing\.py: ModuleNotFoundError: .*no_such_library"),
        ("empty", "", r"empty\.py: KIND must be a Kind, got None"),
        ("sma_cross", FILE, r"sma_cross\.py: a shipped kind has this name"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        build_strategy("donchian", {}, directory=tmp_path)


def test_a_wrong_parameter_and_a_missing_directory_are_named(tmp_path: Path) -> None:
    (tmp_path / "up_days.py").write_text(FILE)
    with pytest.raises(ConfigurationError, match=r"'up_days': bars: .*got 'many'"):
        build_strategy("up_days", {"bars": "many"}, directory=tmp_path)
    with pytest.raises(ConfigurationError, match="no such directory"):
        build_strategy("up_days", {}, directory=tmp_path / "nowhere")
