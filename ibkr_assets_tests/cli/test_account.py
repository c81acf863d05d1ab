"""An operator at the command line beside a running submitter: reconcile, look, resolve, and read the results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from ibkr_assets.cli.main import app
from ibkr_assets.domain.errors import InputError, Unavailable
from ibkr_assets.domain.order import OrderState
from ibkr_assets_tests.faults.trading import CONIDS, Trading, flat_gateway  # noqa: F401 - a fixture
from ibkr_assets_tests.gateway import RunningGateway

D = Decimal


@pytest.fixture
def trading(flat_gateway: RunningGateway, database_url_of, tmp_path, monkeypatch) -> Iterator[Trading]:  # noqa: F811
    """A platform beside the gateway, as the submitter's user; commands run as the platform's."""
    for name, value in {
        "IBKR_ASSETS_DATABASE_URL": database_url_of("ibkr_app"),
        "IBKR_ASSETS_ACCOUNT": flat_gateway.account,
        "IBKR_ASSETS_MODE": "sim",
        "IBKR_ASSETS_CLOCK_URL": flat_gateway.clock_url,
        "IBKR_ASSETS_DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    made = Trading(flat_gateway, database_url_of("ibkr_submitter"), tmp_path)
    yield made
    made.stop()


def command(*arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of a command; a refusal is raised."""
    done = CliRunner().invoke(app, [*arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout) if "--json" in arguments else done.stdout


def reconciled() -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Exit code, report, and the open differences by kind."""
    code, report = command("reconcile", "--json", "--timeout", "20")
    return code, report, {found["kind"]: found for found in report["breaks"]}


def test_a_day_of_orders_and_human_hands_is_reconciled_resolved_and_read(trading):
    trading.start()
    ours = trading.propose("IBM", 10)
    trading.wait_for(ours, OrderState.WORKING)
    trading.open_market()
    trading.wait_for(ours, OrderState.FILLED, filled=10)
    code, report, breaks = reconciled()
    assert (code, breaks, report["is_clean"]) == (0, {}, True)
    (held,) = report["positions"]
    assert (held["symbol"], D(held["books"]), D(held["broker"])) == ("IBM", 10, 10)
    for name, side in (("cash", "books"), ("nav", "platform")):
        assert D(report[name][side]) == D(report[name]["broker"])
    assert (report["orders"], report["executions"]) == (1, 1)

    trading.gateway.fill(conid=CONIDS["MSFT"], side="BUY", quantity=5, price=100)
    code, report, breaks = reconciled()
    assert (code, list(breaks)) == (1, ["foreign_execution"])
    assert breaks["foreign_execution"]["conid"] == CONIDS["MSFT"]
    assert {row["symbol"]: D(row["books"]) for row in report["positions"]} == {"IBM": 10, "MSFT": 5}
    number = str(breaks["foreign_execution"]["break_id"])
    command("breaks", "resolve", number, "--reason", "bought by hand")
    assert reconciled()[0] == 0

    trading.gateway.move_position(CONIDS["AAPL"], 7)
    code, _, breaks = reconciled()
    assert (code, breaks["position"]["blocks"], breaks["position"]["detail"]["broker"]) == (1, "conid", "7.0")
    number = str(breaks["position"]["break_id"])
    command("breaks", "resolve", number, "--reason", "moved here", "--adopt", "--paid-in")
    code, report, breaks = reconciled()
    assert (code, breaks) == (0, {})
    assert D(report["nav"]["platform"]) == D(report["nav"]["broker"])

    _, listed = command("breaks", "list", "--all", "--json")
    assert {(row["kind"], row["is_adopted"]) for row in listed} >= {("foreign_execution", False), ("position", True)}
    _, rows = command("positions", "--json")
    assert {row["symbol"]: D(row["quantity"]) for row in rows["positions"]} == {"IBM": 10, "MSFT": 5, "AAPL": 7}
    _, by_symbol = command("pnl", "--json")
    totals = by_symbol["account"]
    assert (D(totals["paid_in"]), D(totals["other"])) == (700, 0)
    assert D(totals["total"]) == -D(totals["commissions"])
    _, by_strategy = command("pnl", "--by", "strategy", "--json")
    assert {(row["owner"], row["symbol"]) for row in by_strategy["rows"]} == {
        (ours.intent.strategy_id, "IBM"), ("-", "MSFT"), ("-", "AAPL")
    }  # fmt: skip
    _, by_day = command("pnl", "--by", "day", "--json")
    assert sum(D(row["total"]) for row in by_day["rows"]) == D(totals["total"])
    assert [D(row["other"]) for row in by_day["rows"]] == [0] * len(by_day["rows"])
    assert "IBM" in command("pnl")[1]
    assert "IBM" in command("positions")[1]


def test_without_a_submitter_nothing_is_compared_and_nobody_waits(trading):
    with pytest.raises(Unavailable, match="no submitter has ever run for this account"):
        command("reconcile")
    trading.start()
    trading.stop()
    with pytest.raises(Unavailable, match="no submitter answers: the last was stopped"):
        command("reconcile")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pnl", "--by", "moon"], "by: must be day, strategy or symbol, got 'moon'"),
        (["breaks", "resolve", "1", "--reason", "x", "--paid-in"], "need --adopt"),
        (["breaks", "resolve", "1", "--reason", "x", "--adopt", "--split", "7/1"], "split: must be new:old"),
        (["breaks", "resolve", "999", "--reason", "x"], "there is no difference 999"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(trading, arguments, words):
    with pytest.raises(InputError, match=words):
        command(*arguments)


def test_rounds_repeat_by_themselves_and_say_what_they_saw(trading):
    trading.start()
    trading.wait("two rounds after the start", lambda: rounds(trading) >= 2)


def rounds(trading) -> int:
    with trading.database.connect() as connection:
        row = connection.execute(
            "select count(*) from oms.recon_run where kind = 'watch' and is_clean and report ? 'nav'"
        ).fetchone()
    return int(row[0])
