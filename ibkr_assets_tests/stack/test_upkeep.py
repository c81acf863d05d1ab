"""What `doctor` says of the disk, of backups, of minutes and of workers: well, late, away, or nothing known."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ibkr_assets.domain.errors import Unavailable
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.settings import Settings, load
from ibkr_assets.stack import health
from ibkr_assets.stack.upkeep import (
    BACKUPS,
    Unknown,
    judge_minutes,
    look_at_backups,
    look_at_disk,
    look_at_minutes,
    look_at_workers,
    require_answer,
)
from ibkr_assets_tests.cluster.broker import HAS_REDIS, PASSWORD, broker

NYSE = exchange_calendar("XNYS")
EVERY = timedelta(minutes=5)


def in_force(data_dir: Path, **variables: str) -> Settings:
    return load({"IBKR_ASSETS_DATA_DIR": str(data_dir), **variables})


def test_doctor_asks_after_all_of_it(tmp_path: Path) -> None:
    checks = {row["name"]: row for row in health.doctor(in_force(tmp_path))["checks"]}
    assert [checks[name]["ok"] for name in ("data_dir", "minutes", "workers")] == [True, True, True]
    assert checks["backups"]["ok"] is None
    assert f"none in {tmp_path / BACKUPS}" in checks["backups"]["detail"]


def test_the_disk_is_held_against_the_limit_that_orders_are(tmp_path: Path) -> None:
    assert "GB free" in look_at_disk(in_force(tmp_path))
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    wanted = in_force(tmp_path, IBKR_ASSETS__RISK__MIN_DISK_FREE_BYTES=str(free * 2))
    with pytest.raises(Unavailable, match="orders are denied below"):
        look_at_disk(wanted)
    with pytest.raises(Unknown, match="not there yet"):
        look_at_disk(in_force(tmp_path / "none"))


def test_a_backup_is_late_when_a_night_was_left_out(tmp_path: Path) -> None:
    for name in ("ibkr_assets-20121001T210000.000001Z", "ibkr_assets-20121002T210000.000001Z", ".work", "notes.txt"):
        (tmp_path / BACKUPS / name).mkdir(parents=True)
    settings, taken = in_force(tmp_path), datetime(2012, 10, 2, 21, tzinfo=UTC)
    assert look_at_backups(settings, taken + timedelta(hours=25)) == "newest of 2012-10-02 21:00 UTC, 25 h old"
    with pytest.raises(Unavailable, match="newest of 2012-10-02 21:00 UTC, 27 h old"):
        look_at_backups(settings, taken + timedelta(hours=27))


@pytest.mark.parametrize(
    ("now", "newest", "is_late"),
    [
        ("2012-10-02T14:11", "2012-10-02T14:04", False),  # until 14:05 is due: the next collection is under way
        ("2012-10-02T14:11", "2012-10-02T13:59", True),
        ("2012-10-02T13:33", "2012-10-01T19:59", False),  # the first five minutes are not over
        ("2012-10-02T23:00", "2012-10-02T19:59", False),
        ("2012-10-02T23:00", "2012-10-02T19:54", True),
        ("2012-10-07T12:00", "2012-10-05T19:59", False),  # a Sunday
        ("2012-10-02T14:11", None, True),
    ],
)
def test_minutes_are_late_by_the_sessions_of_the_exchange(now: str, newest: str | None, is_late: bool) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    stored = None if newest is None else datetime.fromisoformat(newest).replace(tzinfo=UTC)
    if is_late:
        with pytest.raises(Unavailable, match="are due"):
            judge_minutes(stored, moment, NYSE, EVERY)
    else:
        assert judge_minutes(stored, moment, NYSE, EVERY).endswith("collected every 5 min")


def test_minutes_that_are_collected_and_not_there_are_missed(tmp_path: Path, database_url: str) -> None:
    variables = {"IBKR_ASSETS_DATABASE_URL": database_url, "IBKR_ASSETS__MARKET__MINUTES_EVERY": "5"}
    with pytest.raises(Unavailable, match="there is none; those until"):
        look_at_minutes(in_force(tmp_path, **variables))


@pytest.mark.skipif(not HAS_REDIS, reason="no redis-server on this machine")
def test_a_broker_without_workers_is_told_and_its_password_is_not(tmp_path: Path) -> None:
    with broker() as url:
        with pytest.raises(Unavailable, match="the broker answers, and no worker does; 0 runs wait"):
            look_at_workers(in_force(tmp_path, IBKR_ASSETS__CLUSTER__BROKER_URL=url))
        wrong = url.replace(PASSWORD, "guessed-password")
        with pytest.raises(Unavailable, match="the broker does not answer: AuthenticationError") as refused:
            look_at_workers(in_force(tmp_path, IBKR_ASSETS__CLUSTER__BROKER_URL=wrong))
        assert "guessed" not in str(refused.value)


def test_a_broker_that_is_away_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    with pytest.raises(Unavailable, match="the broker does not answer: ConnectionError"):
        look_at_workers(in_force(tmp_path, IBKR_ASSETS__CLUSTER__BROKER_URL=url))


def test_a_provider_of_models_that_nobody_answers_for_is_told_without_a_question(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        require_answer(url)
    variables = {
        "IBKR_ASSETS__LLM__BASE_URL": url, "IBKR_ASSETS__LLM__MODEL": "m",
        "IBKR_ASSETS__LLM__PRICE": json.dumps(
            {"input_usd_per_million": 1, "output_usd_per_million": 1, "source": "a page", "as_of": "2026-11-01"}
        ),
        "IBKR_ASSETS__LLM__BUDGETS": '{"call_usd": "1", "strategy_usd": "1", "day_usd": "1"}',
    }  # fmt: skip
    checks = {row["name"]: row for row in health.doctor(in_force(tmp_path, **variables))["checks"]}
    assert checks["language model"]["ok"] is False
    assert "does not answer" in checks["language model"]["detail"]
