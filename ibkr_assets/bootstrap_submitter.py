"""Puts the process that sends orders together: the one module through which its order rights can be reached.

Nothing of Dagster's and nothing of the dashboard's imports it. What other processes are made of is in `bootstrap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ibkr_assets import bootstrap
from ibkr_assets.domain.order import Mode

if TYPE_CHECKING:
    from ibkr_assets.adapters.ibkr.client import IbkrBroker
    from ibkr_assets.execution.gatekeeper import Gatekeeper
    from ibkr_assets.execution.submitter import Submitter
    from ibkr_assets.ports import OrderStream
    from ibkr_assets.settings import Settings


def _order_stream(settings: Settings, side: IbkrBroker) -> OrderStream | None:
    """The order events of the same gateway session, where they are wanted."""
    from ibkr_assets.adapters.ibkr.client import stream

    gateway = settings.gateway
    if not gateway.has_stream:
        return None
    return stream(
        side,
        bootstrap.gateway_url(settings),
        ca=gateway.ca,
        connect_timeout_s=gateway.connect_timeout_s,
        pace=gateway.pace,
    )


def gatekeeper(settings: Settings) -> Gatekeeper:
    """Who decides whether a submitter may start in the mode of the settings."""
    import os
    from datetime import UTC, datetime

    from ibkr_assets.adapters.config_file import read_config_file
    from ibkr_assets.domain.order import account_ref
    from ibkr_assets.execution.gatekeeper import Gatekeeper

    file = read_config_file(os.environ.get("IBKR_ASSETS_CONFIG"))
    return Gatekeeper(
        mode=settings.mode, account=bootstrap.account(settings), gateway_url=bootstrap.gateway_url(settings),
        file_mode=file.mode, config_sha256=file.sha256, live_arm=settings.live_arm,
        records=bootstrap.order_ledger(settings).of_account(account_ref(bootstrap.account(settings))).permission,
        now=lambda: datetime.now(UTC),
    )  # fmt: skip


def submitter(settings: Settings) -> Submitter:
    """The one process that sends orders. Arms the crash point of the settings, which mode sim alone allows."""
    from ibkr_assets.adapters.ibkr.parse import order_body
    from ibkr_assets.domain.broker import OrderTicket
    from ibkr_assets.domain.order import account_ref
    from ibkr_assets.execution import crashpoints
    from ibkr_assets.execution.kill import kill_file
    from ibkr_assets.execution.seat import LIST_EVERY_S, LONGEST_WAIT_S, SubmitterOptions
    from ibkr_assets.execution.submitter import Submitter

    def describe(ticket: OrderTicket) -> dict[str, Any]:
        return {"orders": [order_body(ticket) | {"acctId": account_ref(ticket.account)}]}

    crashpoints.arm(settings.crash)
    side = bootstrap.broker(settings)
    return Submitter(
        account=bootstrap.account(settings), mode=settings.mode, broker=side, stream=_order_stream(settings, side),
        ledger=bootstrap.order_ledger(settings).of_account(account_ref(bootstrap.account(settings))),
        clock=bootstrap.clock(settings),
        options=SubmitterOptions(
            max_order_value_usd=settings.risk.max_order_value_usd,
            price_collar_fraction=settings.risk.price_collar_fraction,
            kill_file=kill_file(settings.data_dir),
            settle_s=settings.submitter.settle_s, lease_s=settings.submitter.lease_s,
            poll_interval_s=settings.submitter.poll_interval_s,
            list_every_s=LIST_EVERY_S / settings.gateway.pace,
            # Never below a second: a start is work, whatever the pace.
            longest_wait_s=LONGEST_WAIT_S / min(settings.gateway.pace, LONGEST_WAIT_S),
            may_resend=settings.submitter.may_resend,
            reset_zone=ZoneInfo(settings.gateway.reset_zone),
            calendar=settings.market.calendar,
            # A raised limit waits in live only, so only there does a start need the database.
            limits=bootstrap.limits_in_force(settings) if settings.mode is Mode.LIVE else bootstrap.limits(settings),
            hears_departure=True, salt=settings.submitter.salt,
        ),
        describe=describe, gatekeeper=gatekeeper(settings), newest_limits=bootstrap.limits_store(settings).newest,
    )  # fmt: skip
