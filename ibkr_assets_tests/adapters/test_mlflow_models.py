"""Models from a real registry: the approved version and no other, and nothing that could run code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ibkr_assets.adapters.mlflow import SWITCHES
from ibkr_assets.adapters.mlflow_models import MlflowModels
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.features.compute import compute_features
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.fakes.tape import real_bars

#: Warnings are of MLflow's own code, when it logs a model.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
FEATURES = ["rsi_14", "macd_hist"]
BARS = real_bars("IBM", start=date(2011, 1, 3), end=date(2012, 12, 31))
FRAME = BARS.join(compute_features(BARS)[FEATURES])
KNOWN = FRAME.dropna().reset_index(drop=True)
X = KNOWN[FEATURES].to_numpy()
Y = KNOWN["close"].pct_change().shift(-1).fillna(0.0).to_numpy()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry in a file, with two linear versions, a boosted model, a pickle, and a type of nobody's."""
    import mlflow
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression

    directory: Path = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{directory / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        for name, value in SWITCHES.items():
            patch.setenv(name, value)
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(uri)
        try:
            for name, model, form in (
                ("linear", LinearRegression().fit(X, Y), "skops"),
                ("linear", LinearRegression().fit(X, -Y), "skops"),
                ("boosted", GradientBoostingRegressor(n_estimators=5, random_state=0).fit(X, Y), "skops"),
                ("chance", LogisticRegression().fit(X, Y > 0), "skops"),
                ("pickled", LinearRegression().fit(X, Y), "cloudpickle"),
            ):
                with mlflow.start_run():
                    logged = mlflow.sklearn.log_model(
                        model,
                        name="model",
                        serialization_format=form,
                        pip_requirements=["scikit-learn"],
                        **_trusted(form),
                    )
                    client.create_registered_model(name) if name not in _names(client) else None
                    client.create_model_version(name, logged.model_uri)
            client.set_registered_model_alias("linear", "champion", "1")
            client.set_registered_model_alias("linear", "rehearsal", "2")
            for name in ("boosted", "chance", "pickled"):
                client.set_registered_model_alias(name, "champion", "1")
        finally:
            mlflow.set_tracking_uri(before)
        yield uri


def _names(client: Any) -> set[str]:
    return {model.name for model in client.search_registered_models()}


def _trusted(form: str) -> dict[str, Any]:
    """MLflow asks whoever logs a model to trust its types; what opens it here asks nobody."""
    if form != "skops":
        return {}
    return {"skops_trusted_types": ["sklearn.tree._tree.Tree"]}


def test_the_version_that_holds_the_alias_scores(registry: str) -> None:
    from sklearn.linear_model import LinearRegression

    models = MlflowModels(registry)
    champion, rehearsal = models("linear", "champion"), models("linear", "rehearsal")
    assert (champion.version, rehearsal.version) == (1, 2)
    expected = LinearRegression().fit(X, Y).predict(X)
    np.testing.assert_allclose(champion.score(KNOWN[FEATURES]), expected)
    np.testing.assert_allclose(rehearsal.score(KNOWN[FEATURES]), -expected)
    assert champion.sha256 != rehearsal.sha256
    assert models("linear", "champion") is champion


def test_a_boosted_model_and_a_classifier_score_too(registry: str) -> None:
    models = MlflowModels(registry)
    assert len(set(models("boosted", "champion").score(KNOWN[FEATURES]))) > 10
    chances = models("chance", "champion").score(KNOWN[FEATURES])
    assert np.abs(chances).max() <= 0.5


def test_what_is_not_approved_is_refused(registry: str) -> None:
    models = MlflowModels(registry)
    for name, alias in (("linear", "other"), ("nobody", "champion")):
        with pytest.raises(ConfigurationError, match=f"model '{name}': no version of it is approved as '{alias}'"):
            models(name, alias)


def test_an_approval_that_moves_or_is_withdrawn_counts_at_once(registry: str) -> None:
    from mlflow import MlflowClient

    client, models = MlflowClient(tracking_uri=registry, registry_uri=registry), MlflowModels(registry)
    client.set_registered_model_alias("linear", "moving", "1")
    assert models("linear", "moving").version == 1
    client.set_registered_model_alias("linear", "moving", "2")
    assert models("linear", "moving").version == 2
    client.delete_registered_model_alias("linear", "moving")
    with pytest.raises(ConfigurationError, match="no version of it is approved"):
        models("linear", "moving")


def test_a_pickle_is_refused_approved_or_not(registry: str) -> None:
    with pytest.raises(ConfigurationError, match="model 'pickled' version 1: its form is cloudpickle; log it with"):
        MlflowModels(registry)("pickled", "champion")


def test_a_type_of_nobodys_is_refused_by_name(tmp_path: Path) -> None:
    import skops.io

    from ibkr_assets.adapters.mlflow_models import _load

    skops.io.dump(Foreign(), tmp_path / "model.skops")
    with pytest.raises(ConfigurationError, match=r"model 'x': contains .*Foreign"):
        _load("model 'x'", tmp_path / "model.skops")


def test_a_strategy_trades_the_approved_version(registry: str) -> None:
    params = {"model": "linear", "features": FEATURES}
    wanted = [
        build_strategy("model_score", params | {"alias": alias, "short": True}, models=MlflowModels(registry))
        .directions(FRAME)
        for alias in ("champion", "rehearsal")
    ]  # fmt: skip
    assert (wanted[0] == -wanted[1]).all()
    assert isinstance(FRAME, pd.DataFrame)


def test_a_tree_whose_nodes_lead_outside_is_refused(tmp_path: Path) -> None:
    import skops.io
    from sklearn.ensemble import GradientBoostingRegressor

    from ibkr_assets.adapters.mlflow_models import _load

    for name, place, value in (("children_left", 0, 10**6), ("children_right", 0, 0), ("feature", 0, 99)):
        model = GradientBoostingRegressor(n_estimators=2, random_state=0).fit(X, Y)
        skops.io.dump(model, tmp_path / "model.skops")
        assert _load("model 'x'", tmp_path / "model.skops").n_estimators == 2
        getattr(model.estimators_[1, 0].tree_, name)[place] = value
        skops.io.dump(model, tmp_path / "model.skops")
        with pytest.raises(ConfigurationError, match="a node of its trees leads outside"):
            _load("model 'x'", tmp_path / "model.skops")


class Foreign:
    """A type that a file could name."""

    def __init__(self) -> None:
        self.inside = 1
