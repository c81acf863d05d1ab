"""Models of MLflow's registry: only a version that holds the alias, and only in a form that cannot run code.

What goes here: asking the registry, and opening a file of scikit-learn's without pickle. What does not: what a score
means (`strategies.model_score`). A pickle runs whatever its author wrote when it is opened, so a model in that form is
refused, approved or not. The safe form (skops) lists its types; beyond those that are safe by themselves only decision
trees are opened, and their nodes are checked, because scikit-learn follows them without looking. What the model's own
description calls trusted is not asked.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ibkr_assets.adapters.mlflow import SWITCHES
from ibkr_assets.domain.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.features.frame import Floats

_TREE = "sklearn.tree._tree.Tree"
_LEAF = -1
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """Implements `strategies.model_score.ScoringModel`."""

    version: int
    sha256: str
    estimator: Any

    def score(self, rows: pd.DataFrame) -> Floats:
        """A regression's prediction; of a classifier of two classes, how far the second's probability is above half."""
        if hasattr(self.estimator, "predict_proba"):
            distance: Floats = self.estimator.predict_proba(rows.to_numpy())[:, 1] - 0.5
            return distance
        predicted: Floats = self.estimator.predict(rows.to_numpy())
        return predicted


class MlflowModels:
    """Approved models, each version opened once. Implements `strategies.model_score.Models`."""

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._known: dict[tuple[str, int], RegisteredModel] = {}

    def __call__(self, name: str, alias: str) -> RegisteredModel:
        """The version that holds the alias now.

        Raises ConfigurationError naming the model where there is none or its form is refused, Unavailable where the
        registry does not answer.
        """
        with self._asked(f"model {name!r}: no version of it is approved as {alias!r}") as client:
            return self._version(client, name, int(client.get_model_version_by_alias(name, alias).version))

    def version(self, name: str, number: int) -> RegisteredModel:
        """A version by its number, whatever alias it holds now: for looking back. Raises as the call itself does."""
        with self._asked(f"model {name!r}: there is no version {number} of it") as client:
            return self._version(client, name, number)

    @contextmanager
    def _asked(self, otherwise: str) -> Iterator[Any]:
        for switch, value in SWITCHES.items():
            os.environ.setdefault(switch, value)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            yield MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        except MlflowException as error:
            told = str(error).splitlines()[0]
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise ConfigurationError(f"{otherwise} in {self._uri}: {told}") from error
            raise Unavailable(f"MLflow at {self._uri}: {told}") from error
        except OSError as error:
            raise Unavailable(f"MLflow at {self._uri}: {error}") from error

    def _version(self, client: Any, name: str, number: int) -> RegisteredModel:
        if (name, number) not in self._known:
            source = client.get_model_version_download_uri(name, str(number))
            self._known[name, number] = self._open(f"model {name!r} version {number}", number, source)
        return self._known[name, number]

    def _open(self, words: str, version: int, source: str) -> RegisteredModel:
        from mlflow.artifacts import download_artifacts

        with tempfile.TemporaryDirectory(prefix="ibkr_assets_") as directory:
            path = Path(download_artifacts(artifact_uri=source, dst_path=directory, tracking_uri=self._uri))
            described = yaml.safe_load((path / "MLmodel").read_text(encoding="utf-8"))
            flavor = described.get("flavors", {}).get("sklearn")
            if flavor is None or flavor.get("serialization_format") != "skops":
                form = "not scikit-learn's" if flavor is None else flavor.get("serialization_format")
                raise ConfigurationError(
                    f"{words}: its form is {form}; log it with serialization_format='skops', others can run code"
                )
            file = (path / str(flavor["pickled_model"])).resolve()
            if not file.is_relative_to(path.resolve()):
                raise ConfigurationError(f"{words}: its file {flavor['pickled_model']!r} lies outside of it")
            return RegisteredModel(version, hashlib.sha256(file.read_bytes()).hexdigest(), _load(words, file))


def _load(words: str, file: Path) -> Any:
    skops: Any = import_module("skops.io")
    unknown = skops.get_untrusted_types(file=file)
    refused = sorted(name for name in unknown if name != _TREE)
    if refused:
        raise ConfigurationError(f"{words}: contains {', '.join(refused)}, which is not opened")
    estimator = skops.load(file, trusted=unknown)
    if unknown:
        for tree in _trees(estimator, set(), _DEEPEST):
            if not _is_sound(tree, estimator.n_features_in_):
                raise ConfigurationError(f"{words}: a node of its trees leads outside of the tree or of the features")
    return estimator


def _trees(value: Any, seen: set[int], depth: int) -> Iterator[Any]:
    """Every decision tree within a value."""
    import numpy as np

    if id(value) in seen or isinstance(value, str | bytes | int | float | None):
        return
    seen.add(id(value))
    if f"{type(value).__module__}.{type(value).__qualname__}" == _TREE:
        yield value
        return
    if depth == 0:
        raise ConfigurationError(f"model: nested more than {_DEEPEST} deep")
    inside: list[Any] = []
    if isinstance(value, np.ndarray):
        inside = list(value.ravel()) if value.dtype == object else []
    elif isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        inside = list(value)
    elif hasattr(value, "__dict__"):
        inside = list(vars(value).values())
    for item in inside:
        yield from _trees(item, seen, depth - 1)


def _is_sound(tree: Any, features: int) -> bool:
    """Every inner node leads to two later nodes of the tree by a feature that there is; the others are leaves."""
    import numpy as np

    left, right, feature = tree.children_left, tree.children_right, tree.feature
    place = np.arange(tree.node_count)
    inner = (left != _LEAF) | (right != _LEAF)
    leads_on = (left > place) & (right > place) & (left < place.size) & (right < place.size)
    has_feature = (feature >= 0) & (feature < features)
    return bool(tree.n_features == features and place.size > 0 and (leads_on & has_feature)[inner].all())
