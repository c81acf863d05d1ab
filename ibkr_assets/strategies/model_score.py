"""A registered model's score of each bar: long above `threshold`, short below minus it (or flat), in between flat.

A linear or gradient-boosted regression, for example, of the next day's return on stored features. What goes here: which
features it is shown and what its score means. What does not: fetching it and deciding whether it may be used
(`adapters.mlflow_models`): a strategy is given a way to ask for a model by name and alias, and the registry's alias is
the approval. A model sees one bar at a time, so no score can depend on a later one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from ibkr_assets.domain.errors import ConfigurationError, DataError
from ibkr_assets.domain.signal import Direction
from ibkr_assets.features.definition import check_names
from ibkr_assets.strategies.strategy import Bracket, Opinion

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.features.frame import Floats
    from ibkr_assets.strategies.strategy import Directions

_WORDS = {1: Direction.LONG, 0: Direction.FLAT, -1: Direction.SHORT}


class ScoringModel(Protocol):
    """A model version that the registry approved."""

    @property
    def version(self) -> int:
        """The registry's number of it."""

    @property
    def sha256(self) -> str:
        """Of the file, in hex."""

    def score(self, rows: pd.DataFrame) -> Floats:
        """One number a row, each from its own row alone."""


#: A model by its name and alias. Raises ConfigurationError where the registry has not approved one.
Models = Callable[[str, str], ScoringModel]
#: A model by its name and the registry's number of a version, approved or not: for looking back, never for deciding.
PastModels = Callable[[str, int], ScoringModel]


class ModelScoreParams(BaseModel):
    """`model` is a name of the model registry, `alias` the one that says which version may be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field("model", min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    alias: str = Field("champion", min_length=1, pattern=r"^[A-Za-z0-9_-]+$")
    features: Annotated[tuple[str, ...], AfterValidator(check_names)] = Field(
        ("rsi_14", "macd_hist", "volatility_20"), min_length=1
    )
    threshold: StrictFloat | StrictInt = Field(0.0, ge=0)
    short: StrictBool = False


class ModelScore:
    """Implements `Strategy`; the model is asked for when it first has to score."""

    warm_up_bars = 1
    memory_bars = 1
    bracket: Bracket | None = None

    def __init__(self, params: ModelScoreParams, models: Models | None = None) -> None:
        self.params = params
        self._models = models

    @property
    def features(self) -> tuple[str, ...]:
        """What the model is shown, in this order."""
        return self.params.features

    @cached_property
    def model(self) -> ScoringModel:
        """The approved version. Raises ConfigurationError where there is no registry or no such version."""
        if self._models is None:
            raise ConfigurationError(f"model {self.params.model!r}: no model registry is named (mlflow.tracking_uri)")
        return self._models(self.params.model, self.params.alias)

    @property
    def words(self) -> str:
        """Which version of which model, by its content."""
        name, model = self.params.model, self.model
        otherwise = "short below minus it" if self.params.short else "otherwise flat"
        return (
            f"long while model {name} version {model.version} ({self.params.alias}, sha256 {model.sha256[:12]}) scores "
            f"{', '.join(self.features)} above {self.params.threshold:g}, {otherwise}"
        )

    def decide(self, history: pd.DataFrame) -> Opinion | None:
        """By the newest row."""
        newest = history.tail(1)
        if newest.empty or newest[list(self.features)].isna().to_numpy().any():
            return None
        score = float(self._scores(newest)[0])
        stand = int(self._stand(self._scores(newest))[0])
        numbers = {"score": score, "model_version": float(self.model.version)}
        numbers |= {name: float(newest[name].iloc[0]) for name in self.features}
        reason = f"model {self.params.model} version {self.model.version} scores {score:.6f}"
        return Opinion(_WORDS[stand], 1.0, reason, numbers)

    def directions(self, history: pd.DataFrame) -> Directions:
        """Where a feature has no value, whatever is held stays."""
        return self.directions_by(self.scores(history))

    @property
    def scored_by(self) -> tuple[str, str, tuple[str, ...]]:
        """The model and what it is shown."""
        return self.params.model, self.params.alias, self.features

    def scores(self, history: pd.DataFrame) -> Floats:
        """The model's, one a bar; NaN where a feature has no value."""
        import numpy as np

        known = np.flatnonzero(history[list(self.features)].notna().all(axis=1).to_numpy())
        scores = np.full(len(history), np.nan)
        if known.size:
            scores[known] = self._scores(history.iloc[known])
        return scores

    def directions_by(self, scores: Floats) -> Directions:
        """Where there is no score, whatever is held stays."""
        import numpy as np

        bars, stands = np.arange(scores.size), self._stand(scores)
        newest = np.maximum.accumulate(np.where(np.isnan(scores), -1, bars))
        held: Directions = np.where(newest >= 0, stands[newest], np.int8(0))
        return held

    def _scores(self, rows: pd.DataFrame) -> Floats:
        import numpy as np

        scores: Floats = np.asarray(self.model.score(rows[list(self.features)]), dtype=np.float64)
        if scores.shape != (len(rows),) or not np.isfinite(scores).all():
            raise DataError(
                f"model {self.params.model} version {self.model.version}: its scores are not one number a row"
            )
        return scores

    def _stand(self, scores: Floats) -> Directions:
        import numpy as np

        below = -1 if self.params.short else 0
        limit = self.params.threshold
        return np.where(scores > limit, 1, np.where(scores < -limit, below, 0)).astype(np.int8)
