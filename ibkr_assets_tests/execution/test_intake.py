"""Intents from a file: the same review as any other, all lines read before the first is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.intents import PostgresIntents
from ibkr_assets.domain.errors import ConfigurationError, InputError
from ibkr_assets.domain.instrument import Instrument
from ibkr_assets.domain.order import Mode
from ibkr_assets.execution.intake import add_intents
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.risk.engine import Limits
from ibkr_assets_tests.fakes.clock import FixedClock

LIMITS = Limits(frozenset({"AAPL"}), Decimal(10_000), Decimal("0.1"), Decimal("0.1"), Decimal("0.03"), may_short=False)
LINE = {
    "strategy_id": "by-hand", "symbol": "AAPL", "side": "BUY", "quantity": 10,
    "limit_price": "660.00", "reference_price": "659.39",
}  # fmt: skip


@pytest.fixture
def add(database: Database, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def run(*lines: dict[str, Any] | str, mode: Mode = Mode.SIM) -> list[dict[str, Any]]:
        file = tmp_path / "intents.jsonl"
        file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return add_intents(
            file,
            book=PostgresIntents(database, "salt"),
            instruments=[Instrument(265598, "AAPL", "NASDAQ"), Instrument(8314, "IBM", "NYSE")],
            calendar=exchange_calendar("XNYS"),
            clock=FixedClock(datetime(2012, 10, 1, 22, tzinfo=UTC)),
            limits=LIMITS,
            account="DU1000001",
            mode=mode,
        )

    return run


def test_without_a_reconciled_account_nothing_is_approved_and_every_line_is_answered(add: Any) -> None:
    rows = add(LINE, {**LINE, "symbol": "IBM"})
    assert [row["outcome"] for row in rows] == ["denied", "denied"]
    assert all(row["reason"] for row in rows)
    assert rows[0]["decision_key"].startswith("dry_run|by-hand|acct-")


def test_the_same_file_again_finds_what_is_there(add: Any) -> None:
    first, again = add(LINE), add(LINE)
    assert (first[0]["is_new"], again[0]["is_new"]) == (True, False)
    assert first[0]["client_order_id"] == again[0]["client_order_id"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: not JSON"),
        ({**LINE, "quantity": "many"}, "line 2: quantity: .*many"),
        ({**LINE, "symbol": "XYZ"}, "line 2: symbol: 'XYZ'"),
        ({**LINE, "quantity": "1.5"}, "line 2: quantity .* 1.5"),
        ({**LINE, "account": "DU2"}, "line 2: account"),
    ],
)
def test_a_wrong_line_is_named_and_the_good_one_before_it_is_not_stored(
    add: Any, line: Any, words: str, database: Database
) -> None:
    with pytest.raises(InputError, match=words):
        add(LINE, line)
    assert PostgresIntents(database, "salt").intents() == []


def test_mode_live_takes_nothing_from_outside(add: Any) -> None:
    with pytest.raises(ConfigurationError, match="live"):
        add(LINE, mode=Mode.LIVE)
