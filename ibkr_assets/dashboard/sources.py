"""Where pages read from: the platform's database, Dagster's and MLflow's servers, each of which may be away.

What goes here: opening them, and one card's failure staying its own. What does not: any question to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ibkr_assets import bootstrap
from ibkr_assets.adapters.dagster_api import LOCATION, DagsterApi
from ibkr_assets.adapters.mlflow_pages import MlflowPages
from ibkr_assets.adapters.postgres.limits import PostgresLimits
from ibkr_assets.domain.errors import DataError, StackFailure, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database
    from ibkr_assets.risk.limits import Limits
    from ibkr_assets.settings import Settings

#: A page is not held up for longer by a server that hangs.
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Card:
    """One part of a page: what was read, or the words for why it could not be."""

    value: Any = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a page may read. `account_ref` is the name that the account goes by everywhere outside the submitter.

    `status` says what runs on this machine, `examine` looks at each dependency but the broker; both are given by the
    command that starts the page.
    """

    settings: Settings
    database: Database
    account_ref: str
    status: Callable[[], dict[str, Any]] | None = None
    examine: Callable[[], list[dict[str, Any]]] | None = None

    def limits(self) -> Limits:
        """The limits in force, as an approval would hear them now."""
        configured = bootstrap.limits(self.settings)
        return PostgresLimits(self.database).known_in_force(configured, self.settings.mode)

    def dagster(self) -> DagsterApi:
        """Dagster's webserver; use as a context manager. Raises Unavailable where none is named."""
        url = self.settings.dashboard.dagster_url
        if url is None:
            raise Unavailable("Dagster: no address; set IBKR_ASSETS__DASHBOARD__DAGSTER_URL")
        return DagsterApi(url, LOCATION, timeout_s=_TIMEOUT_S)

    def mlflow(self) -> MlflowPages:
        """The MLflow server; use as a context manager. Raises Unavailable where none is named."""
        url = self.settings.mlflow.tracking_uri
        if url is None or not url.startswith("http"):
            raise Unavailable("MLflow: no server; set MLFLOW_TRACKING_URI")
        return MlflowPages(url, timeout_s=_TIMEOUT_S)


def card(read: Callable[[], Any]) -> Card:
    """What was read. A source that is away leaves its own card without a value, never the page."""
    try:
        return Card(read())
    except (Unavailable, StackFailure, DataError) as error:
        return Card(problem=str(error))
