"""Puts the process that tells people together: its channels, its outbox, and what it looks at.

What it does is in `execution.alert_sender`, when somebody is told in `execution.alerting`.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ibkr_assets import bootstrap
from ibkr_assets.adapters.channels import AppriseChannel, ask_heartbeat, read_address
from ibkr_assets.adapters.clock import SystemClock
from ibkr_assets.adapters.machine import disk_room
from ibkr_assets.adapters.postgres.alert_digest import read_digest
from ibkr_assets.adapters.postgres.alert_outbox import PostgresOutbox
from ibkr_assets.adapters.postgres.alert_sources import PostgresAlertSources
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.domain.alert import Channel, Severity
from ibkr_assets.execution.alert_round import AlertRound, Spending
from ibkr_assets.execution.alert_sender import Sender
from ibkr_assets.execution.alerting import Terms

if TYPE_CHECKING:
    from ibkr_assets.sections import AlertSettings, ChannelSettings
    from ibkr_assets.settings import Settings


def build_sender(settings: Settings, *, every_s: float = 1.0) -> Sender:
    """The sender of the settings' account. Raises ConfigurationError for an address that is none."""
    wanted = settings.alerts
    # Bounds are short: what waits is told later, and that it waits is told otherwise.
    database = Database(
        bootstrap.database_url(settings),
        application_name="ibkr-assets alerts",
        statement_timeout_s=10,
        lock_timeout_s=2,
    )
    ref, alerts = bootstrap.alert_ref(settings), bootstrap.alerts(settings, "alerts")
    limits = bootstrap.limits(settings)
    look = AlertRound(
        PostgresAlertSources(database, ref),
        raise_alert=alerts.raise_alert,
        settle=alerts.settle,
        disk=lambda: disk_room(settings.data_dir),
        least_free=(float(limits.min_disk_free_fraction), float(limits.min_disk_free_bytes)),
        monotonic=time.monotonic,
        budgets=_budgets(settings),
    )
    heartbeat = None if wanted.heartbeat_url is None else wanted.heartbeat_url.get_secret_value()
    return Sender(
        PostgresOutbox(database, ref),
        [_open(one, wanted.timeout_s) for one in wanted.channels],
        terms=_terms(wanted),
        place=f"ibkr_assets {settings.mode.value}",
        gather=look.look,
        raise_alert=alerts.raise_alert,
        settle=alerts.settle,
        digest=lambda: read_digest(database, ref),
        now=SystemClock().now,
        heartbeat=None if heartbeat is None else lambda: ask_heartbeat(heartbeat, timeout_s=wanted.timeout_s),
        heartbeat_every_s=wanted.heartbeat_every_s,
        every_s=every_s,
        holder=f"{socket.gethostname()}:{os.getpid()}",
    )


def _open(wanted: ChannelSettings, timeout_s: float) -> tuple[Channel, AppriseChannel]:
    if wanted.url is not None:
        url = wanted.url.get_secret_value()
    else:
        assert wanted.url_file is not None
        url = read_address(wanted.url_file)
    target = AppriseChannel(wanted.name, url, timeout_s=timeout_s)
    return Channel(wanted.name, target.scheme, Severity(wanted.min_severity)), target


def _budgets(settings: Settings) -> Spending | None:
    found = settings.llm.budgets
    return None if found is None else Spending(found.call_usd, found.strategy_usd, found.day_usd)


def _terms(wanted: AlertSettings) -> Terms:
    quiet = None
    if wanted.quiet_from is not None and wanted.quiet_until is not None:
        quiet = (wanted.quiet_from, wanted.quiet_until)
    return Terms(
        zone=ZoneInfo(wanted.zone),
        quiet=quiet,
        digest_at=wanted.digest_at,
        messages_per_minute=wanted.messages_per_minute,
        remind_every=timedelta(seconds=wanted.remind_every_s),
    )
