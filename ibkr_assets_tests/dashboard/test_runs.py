"""Launching from the page: one session or several of market data, and what is refused before Dagster is asked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

import pytest

from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.sources import Sources

FORM = {"job": "market_data", "partition": "2012-10-01", "key": "a-launch-of-its-own"}


@dataclass(frozen=True, slots=True)
class Listening(Sources):
    """Dagster's place is taken by a list of what it was asked to launch."""

    launched: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def dagster(self):
        yield self

    def launch(self, job: str, **asked: Any) -> str:
        self.launched.append({"job": job, **asked})
        return f"run-{len(self.launched)}"


@pytest.fixture
def asked(app) -> list[dict[str, Any]]:
    known = app.state.sources
    app.state.sources = Listening(**{part.name: getattr(known, part.name) for part in fields(known)})
    return app.state.sources.launched


def test_several_sessions_of_market_data_are_one_run_with_the_tag_of_a_backfill(browser, asked) -> None:
    client = browser(Role.OPERATOR)
    for _ in range(2):
        answer = client.post("/runs/launch", data=FORM | {"last": "2012-10-05", "symbols": "IBM, AAPL"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs/run-1")
    (launch,) = asked
    assert launch["partition"] == (date(2012, 10, 1), date(2012, 10, 5))
    assert launch["tags"]["dagster/backfill"]
    assert launch["config"]["ops"]["raw_bars"]["config"] == {"symbols": ["IBM", "AAPL"], "dry_run": True}
    assert "orders" not in launch["config"]["ops"]


def test_one_session_is_a_run_of_its_own_without_that_tag(browser, asked) -> None:
    form = FORM | {"job": "trading_strategy", "strategy_id": "cross"}
    assert browser(Role.OPERATOR).post("/runs/launch", data=form).status_code == 303
    (launch,) = asked
    assert launch["partition"] == date(2012, 10, 1)
    assert "dagster/backfill" not in launch["tags"]
    assert launch["config"]["ops"]["orders"]["config"]["dry_run"] is True


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"last": "2012-09-28"}, "last 2012-09-28: is before 2012-10-01"),
        ({"last": "2012-13-01"}, "last: expected an ISO date"),
        ({"last": "2012-10-05", "job": "trading_strategy"}, "only market_data is launched for several sessions"),
        ({"partition": "2012-02-30"}, "partition: expected an ISO date"),
    ],
    ids=str,
)
def test_what_cannot_be_launched_is_refused_by_its_field(browser, asked, wrong: dict[str, str], words: str) -> None:
    answer = browser(Role.OPERATOR).post("/runs/launch", data=FORM | wrong)
    assert answer.status_code == 400
    assert words in answer.text
    assert asked == []
