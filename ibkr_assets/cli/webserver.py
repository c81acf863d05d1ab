"""Dagster's webserver, for the commands that have runs launched. What is asked of it is `adapters.dagster_api`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibkr_assets.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from ibkr_assets.adapters.dagster_api import DagsterApi
    from ibkr_assets.settings import Settings


def open_webserver(settings: Settings) -> DagsterApi:
    """The webserver of the settings; use as a context manager. Raises ConfigurationError where none is named."""
    from ibkr_assets.adapters.dagster_api import LOCATION, DagsterApi

    url = settings.dashboard.dagster_url
    if url is None:
        raise ConfigurationError("dashboard.dagster_url: not set; the runs are launched through Dagster's webserver")
    return DagsterApi(url, LOCATION)
