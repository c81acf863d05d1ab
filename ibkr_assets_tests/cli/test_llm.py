"""`ibkr-assets llm` over a real database: what is listed is what was stored, and the sums agree."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.llm_calls import PostgresCalls
from ibkr_assets.domain.analysis import Budgets, Call, Caller, Price, Reply, Request
from ibkr_assets_tests.cli.test_commands import run

PLENTY = Budgets(Decimal(1), Decimal(1), Decimal(1))
REQUEST = Request("m", ({"role": "user", "content": "hello \x1b[2J"},), {"seed": 0}, {}, "ab" * 32, chart=b"\x89PNG")
CALL = Call(
    Caller("reviewed", 3, "run-1"), "IBM", datetime(2012, 6, 1, 13, 30, tzinfo=UTC), 0, 1, REQUEST, "cd" * 32,
    (), (), (), "http://127.0.0.1:1/v1", "answered", "", Reply("yes", "m", "id", 100, 10, "stop", 0.5),
    Price(Decimal(1), Decimal(4), "imagined", date(2026, 11, 1)), Decimal("0.00014"), is_estimate=False, latency_s=0.5,
    reservation_id=None,
)  # fmt: skip


def test_requests_are_listed_shown_and_summed(database: Database, database_url: str, tmp_path: Path) -> None:
    calls = PostgresCalls(database)
    for cost in ("0.00014", "0.00020", "0"):
        reserved = calls.reserve(CALL.caller, Decimal("0.001"), PLENTY)
        assert isinstance(reserved, int)
        calls.save(replace(CALL, cost_usd=Decimal(cost), reservation_id=reserved))
    calls.save(replace(CALL, outcome="budget_day", problem="spent", reply=None, cost_usd=Decimal(0)))
    env = {"IBKR_ASSETS_DATABASE_URL": database_url}
    listed = json.loads(run("llm", "calls", "--json", data_dir=tmp_path, env=env).stdout)
    spent = json.loads(run("llm", "spend", "--json", data_dir=tmp_path, env=env).stdout)
    assert [row["outcome"] for row in listed] == ["budget_day", "answered", "answered", "answered"]
    assert sum(Decimal(row["cost_usd"]) for row in listed) == Decimal("0.00034") == Decimal(spent["total_usd"])
    (row,) = spent["rows"]
    assert (row["calls"], row["abstained"], row["prompt_tokens"], row["in_flight_usd"]) == (4, 1, 300, "0")
    picture = tmp_path / "seen.png"
    shown = run("llm", "show", "1", "--picture", str(picture), data_dir=tmp_path, env=env).stdout
    assert picture.read_bytes() == b"\x89PNG"
    assert "0.00014 USD for 100 and 10 tokens: 1 and 4 USD a million tokens, imagined, 2026-11-01" in shown
    assert r"hello \x1b[2J" in shown
    nobody = run("llm", "show", "99", data_dir=tmp_path, env=env)
    assert (nobody.returncode, nobody.stderr) == (2, "error: call 99: not known; `ibkr-assets llm calls` lists them\n")
