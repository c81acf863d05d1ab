"""Partitions computed again by Dagster: exactly the asked ones, one after the other, and none after a failure.

The webserver is a stand-in that remembers what it was asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ibkr_assets.cli.recompute import launch, plan_steps
from ibkr_assets.domain.errors import ConfigurationError, StackFailure
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.settings import Settings

NYSE = exchange_calendar("XNYS")
#: Two sessions in a row over a weekend, and one by itself.
DAYS = [date(2012, 10, 5), date(2012, 10, 8), date(2012, 10, 10)]
PARTITIONS = {"raw_bars": DAYS[:1], "signals": DAYS[:1], "validated_bars": DAYS[:1], "enriched_features": DAYS}


class Webserver(ThreadingHTTPServer):
    """Every run ends at once, well unless it is of a failing asset."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.launched: list[dict[str, Any]] = []
        self.failing: str | None = None

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "launchRun" in query:
            self.launched.append(variables["p"])
            return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": str(len(self.launched))}}}
        if "logsForRun" in query:
            error = {"message": "no disk", "cause": None}
            return {"logsForRun": {"events": [{"stepKey": self.failing, "error": error}]}}
        (asset,) = self.launched[int(variables["id"]) - 1]["selector"]["assetSelection"]
        status = "FAILURE" if asset["path"] == [self.failing] else "SUCCESS"
        return {"runOrError": {"__typename": "Run", "status": status}}


class _Handler(BaseHTTPRequestHandler):
    server: Webserver

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"data": self.server.answer(asked["query"], asked["variables"])}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def webserver() -> Iterator[Webserver]:
    with Webserver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(webserver: Webserver) -> Settings:
    return Settings.model_validate({"dashboard": {"dagster_url": f"http://127.0.0.1:{webserver.server_port}"}})


def told(launched: dict[str, Any]) -> tuple[str, list[str], dict[str, str]]:
    selector = launched["selector"]
    assets = [asset["path"][0] for asset in selector["assetSelection"]]
    tags = {tag["key"].removeprefix("dagster/"): tag["value"] for tag in launched["executionMetadata"]["tags"]}
    return selector["jobName"], assets, tags


def test_each_asset_has_its_own_runs_of_sessions_in_a_row_in_the_order_of_the_chain(webserver: Webserver) -> None:
    said: list[str] = []
    steps = plan_steps(PARTITIONS, ["IBM", "MSFT"], NYSE)
    assert launch(settings(webserver), steps, said.append) == ["1", "2", "3", "4"]
    assert [told(one) for one in webserver.launched] == [
        ("market_data", ["validated_bars"], {"partition": "2012-10-05"}),
        ("market_data", ["enriched_features"],
         {"asset_partition_range_start": "2012-10-05", "asset_partition_range_end": "2012-10-08"}),
        ("market_data", ["enriched_features"], {"partition": "2012-10-10"}),
        ("trading_strategy", ["signals"], {"partition": "2012-10-05"}),
    ]  # fmt: skip
    configured = [one["runConfigData"] for one in webserver.launched]
    assert configured[0] == {"ops": {"validated_bars": {"config": {"symbols": ["IBM", "MSFT"]}}}}
    assert [one.rsplit("run ")[1] for one in said] == ["1", "2", "3", "4"]


def test_what_rests_on_a_run_that_failed_is_not_launched(webserver: Webserver) -> None:
    webserver.failing = "validated_bars"
    with pytest.raises(StackFailure, match=r"validated_bars of IBM.*ended as FAILURE: validated_bars: no disk"):
        launch(settings(webserver), plan_steps(PARTITIONS, ["IBM"], NYSE), lambda _: None)
    assert len(webserver.launched) == 1


def test_without_a_webserver_it_is_said_which_setting_names_one() -> None:
    with pytest.raises(ConfigurationError, match=r"dashboard\.dagster_url"):
        launch(Settings(), plan_steps(PARTITIONS, ["IBM"], NYSE), lambda _: None)
