"""What the tests of assets share: an MLflow that keeps what it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow over a database in a file; artifacts go to the working directory."""
    directory = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        yield f"sqlite:///{directory / 'mlflow.db'}"
