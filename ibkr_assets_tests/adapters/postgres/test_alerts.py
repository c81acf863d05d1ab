"""Alerts as rows: one open at a time of each kind and subject, and nothing of them is ever rewritten."""

from __future__ import annotations

import psycopg
import pytest

from ibkr_assets.adapters.postgres.alerts import PostgresAlerts
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.alert import SEVERITIES, Alert, AlertCode, Severity
from ibkr_assets.domain.errors import InputError, LedgerConflict

REF = "acct-1"


@pytest.fixture
def alerts(database_url_of):
    """Alerts as the role of the platform's processes."""
    database = Database(database_url_of("ibkr_app"))
    yield PostgresAlerts(database, REF, "test")
    database.close()


def test_the_list_of_codes_in_the_database_is_the_list_in_the_code(database):
    with database.connect() as connection:
        rows = connection.execute("select code, severity from oms.alert_code").fetchall()
    assert dict(rows) == {code.value: severity.value for code, severity in SEVERITIES.items()}


def test_the_same_alert_is_open_once_and_comes_again_when_it_was_over(alerts):
    alert = Alert(AlertCode.GAP_GIVEN_UP, "IBM 2026-11-20", "nobody has the bar", {"tries": 5})
    assert alerts.raise_alert(alert)
    assert not alerts.raise_alert(alert)
    assert alerts.raise_alert(Alert(AlertCode.GAP_GIVEN_UP, "AAPL 2026-11-20", "nor this one"))
    assert alerts.settle(AlertCode.GAP_GIVEN_UP, keep=("AAPL 2026-11-20",)) == 1
    assert alerts.raise_alert(alert)
    listed = alerts.list_alerts()
    assert [row["subject"] for row in listed] == ["IBM 2026-11-20", "AAPL 2026-11-20", "IBM 2026-11-20"]
    assert [row["subject"] for row in alerts.list_alerts(is_open_only=True)] == ["IBM 2026-11-20", "AAPL 2026-11-20"]
    assert listed[0]["payload"] == {"tries": 5}
    assert listed[0]["severity"] == Severity.WARNING


def test_what_goes_on_is_counted_once_a_minute(alerts, database):
    alert = Alert(AlertCode.DISK_LOW, "data_dir", "9 MB free")
    alerts.raise_alert(alert)
    alerts.raise_alert(alert)
    assert alerts.list_alerts()[0]["repeats"] == 0
    with database.connect() as connection:
        connection.execute("update oms.alert set last_seen_at = last_seen_at - interval '61 seconds'")
    assert not alerts.raise_alert(alert)
    assert alerts.list_alerts()[0]["repeats"] == 1


def test_a_code_that_nobody_listed_is_refused(database):
    invented = (
        "insert into oms.alert (account_ref, severity, kind, subject, text, raised_by) "
        "values (%s, 'page', 'invented', 's', 't', 'test')"
    )
    with database.connect() as connection:
        connection.execute("insert into oms.account (account_ref) values (%s)", (REF,))
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="known_code"), database.connect() as connection:
        connection.execute(invented, (REF,))


@pytest.mark.parametrize(
    "statement",
    [
        "update oms.alert set text = 'never mind'",
        "update oms.alert set severity = 'info'",
        "update oms.alert set resolved_at = null",
        "delete from oms.alert",
        "truncate oms.alert cascade",
        "update oms.alert_code set severity = 'info'",
    ],
)
def test_what_people_were_told_is_not_rewritten(alerts, database, statement):
    alerts.raise_alert(Alert(AlertCode.KILLED, "1", "killed"))
    alerts.settle(AlertCode.KILLED)
    refusal = r"never changed|not opened again|append-only"
    with pytest.raises(psycopg.errors.RaiseException, match=refusal), database.connect() as connection:
        connection.execute(statement)


def test_an_alert_is_acknowledged_by_one_person_once(alerts):
    alerts.raise_alert(Alert(AlertCode.KILLED, "1", "killed"))
    number = alerts.list_alerts()[0]["alert_id"]
    alerts.acknowledge(number, "anna")
    alerts.acknowledge(number, "anna")
    with pytest.raises(LedgerConflict, match="anna"):
        alerts.acknowledge(number, "berta")
    with pytest.raises(InputError, match="no alert 999"):
        alerts.acknowledge(999, "anna")
    assert alerts.list_alerts()[0]["acknowledged_by"] == "anna"
