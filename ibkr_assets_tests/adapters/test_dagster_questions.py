"""What is asked of Dagster, held against the interface of the version that is pinned; and figures of its runs."""

from __future__ import annotations

from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema, parse, print_schema, validate

from ibkr_assets.adapters import dagster_api, dagster_figures, dagster_pages
from ibkr_assets.adapters.dagster_api import LOCATION, DagsterApi

MODULES = (dagster_api, dagster_pages, dagster_figures)


def questions(module: ModuleType) -> dict[str, str]:
    """The texts of a module that are questions or changes in GraphQL, by their names."""
    return {
        name: text
        for name, text in vars(module).items()
        if isinstance(text, str) and text.lstrip().startswith(("query", "mutation", "{"))
    }


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    """The interface of the Dagster that is installed."""
    from dagster_graphql.schema import create_schema

    return build_schema(print_schema(create_schema().graphql_schema))


def test_each_module_asks_something() -> None:
    assert [len(questions(module)) >= least for module, least in zip(MODULES, (6, 8, 2), strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in MODULES for name in questions(module)],
    ids=lambda part: getattr(part, "__name__", part),
)  # fmt: skip
def test_the_pinned_dagster_understands_it(schema: GraphQLSchema, module: ModuleType, name: str) -> None:
    assert validate(schema, parse(questions(module)[name])) == []


class Ended(DagsterApi):
    """A webserver with a thousand and one runs, in pages: the n-th took n seconds, each tenth ended badly."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", LOCATION)
        self.runs = [
            {"runId": str(n), "status": "FAILURE" if n % 10 == 0 else "SUCCESS", "startTime": 1e9, "endTime": 1e9 + n}
            for n in range(1, 1002)
        ]
        self.asked_since: set[float] = set()

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        if "$f" not in query:
            return {status: {"count": 3} for status in ("QUEUED", "STARTED", "SUCCESS", "FAILURE", "CANCELED")}
        self.asked_since.add(variables["f"]["createdAfter"])
        first = int(variables["c"] or 0)
        return {"runsOrError": {"__typename": "Runs", "results": self.runs[first : first + variables["n"]]}}


def test_the_figures_of_runs_are_those_of_every_page() -> None:
    server = Ended()
    found = dagster_figures.run_figures(server, datetime(2012, 10, 1, tzinfo=UTC))
    # 951 is the least whole number that 95 of 100 of 1..1001 do not exceed.
    assert found == {"ended": 1001, "succeeded": 901, "p95_s": 951.0, "waiting": 3, "running": 3}
    assert server.asked_since == {datetime(2012, 10, 1, tzinfo=UTC).timestamp()}
