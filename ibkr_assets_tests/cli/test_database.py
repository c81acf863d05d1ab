"""A backup that was not made is told to people, and one that is made ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.cli.database import backup
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.order import account_ref

ACCOUNT = "DU1000001"


def test_a_failed_backup_is_an_alert_until_one_succeeds(
    database: Any, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IBKR_ASSETS_DATABASE_URL", database_url)
    monkeypatch.setenv("IBKR_ASSETS_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("IBKR_ASSETS_DATA_DIR", str(tmp_path))
    (tmp_path / "no-directory").write_text("a file")
    alerts = PostgresAlerts(database, account_ref(ACCOUNT), "test")
    with pytest.raises(ConfigurationError):
        backup(tmp_path / "no-directory", None)
    (told,) = alerts.list_alerts(is_open_only=True)
    assert (told["kind"], told["subject"]) == ("backup_failed", "db backup")
    assert told["text"].startswith("no backup was made: out: cannot write to ")
    backup(tmp_path / "backups", None)
    assert alerts.list_alerts(is_open_only=True) == []
