"""The asset `orders`: intents and their risk decisions, recorded; then what has become of them. Nothing is sent here.

The submitter alone sends (`execution.submitter`). Materialising again, at once twice, or in a backfill finds the
intents that are there; one whose time is past is recorded as expired, and a backfill orders nothing that is not.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from ibkr_assets import bootstrap
from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.order_checks import judge_ledger, ledger_is_consistent
from ibkr_assets.defs.resources import Calendar, Clock, Postgres, SettingsInForce
from ibkr_assets.defs.run_config import ChainConfig, is_backfill, session_days
from ibkr_assets.defs.tracking import Mlflow
from ibkr_assets.domain.order import OrderState, account_ref
from ibkr_assets.execution.decisions import wanted_strategies
from ibkr_assets.execution.proposals import propose_sessions
from ibkr_assets.settings import Settings

if TYPE_CHECKING:
    from ibkr_assets.ports import IntentRecord

COLUMNS = ("session", "mode", "strategy", "symbol", "side", "quantity", "limit", "state", "filled", "reason")


@dg.multi_asset(
    name="orders",
    specs=[
        dg.AssetSpec(
            "orders",
            deps=["signals"],
            group_name="trading",
            kinds={"postgres"},
            description="Order intents with their risk decision (oms.order_intent). The submitter sends what was "
            "approved.",
        )
    ],
    check_specs=[ledger_is_consistent],
    can_subset=True,
    pool="orders",
)
def orders(
    context: dg.AssetExecutionContext,
    config: ChainConfig,
    postgres: Postgres,
    clock: Clock,
    calendar: Calendar,
    mlflow: Mlflow,
    settings: dg.ResourceParam[SettingsInForce],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    """Propose what the stored signals ask for, show where every intent of these sessions stands, check the ledger.

    Either is left out when the run asks for the other alone.
    """
    if context.selected_asset_keys:
        yield _propose(context, config, postgres, clock, calendar, mlflow, settings.get())
    if context.selected_asset_check_keys:
        yield judge_ledger(postgres.invariants())


def _propose(
    context: dg.AssetExecutionContext,
    config: ChainConfig,
    postgres: Postgres,
    clock: Clock,
    calendar: Calendar,
    mlflow: Mlflow,
    in_force: Settings,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    book, days = postgres.intents(), session_days(context)
    mode = config.mode(in_force)
    proposals = propose_sessions(
        calendar.sessions(days),
        strategies=wanted_strategies(postgres.strategies(), config.strategy_id, mode, in_force.account),
        symbols=config.wanted_symbols(postgres, days),
        bar_store=postgres.bars(),
        strategy_store=postgres.strategies(),
        book=book,
        calendar=calendar.load(),
        clock=clock,
        limits=bootstrap.limits_in_force(in_force),
        account_ref=account_ref(bootstrap.account(in_force)),
        mode=mode,
        platform_mode=in_force.mode,
        dagster_run_id=context.run.run_id,
        created_by=f"dagster:{context.run.job_name}",
        is_backfill=is_backfill(context),
    )
    new = Counter(_outcome(record) for record in proposals.records if record.is_new)
    existing = sum(not record.is_new for record in proposals.records)
    mlflow.log(context.run, metrics={**{f"orders_{k}": new[k] for k in OUTCOMES}, "orders_existing": existing})
    stand = [record for day in days for record in book.intents(session_date=day)]
    held_back = [
        {"session": signal.session_date, "strategy": signal.strategy_id, "symbol": signal.symbol, "why": why}
        for signal, why in proposals.held_back
    ]
    return dg.MaterializeResult(
        asset_key="orders",
        metadata={
            "dagster/row_count": len(proposals.records),
            "mode": mode.value,
            "sessions": show.date_range(days),
            **{outcome: new[outcome] for outcome in OUTCOMES},
            "existing": existing,
            "intents": show.table([_row(record) for record in reversed(stand)], COLUMNS),
            "held_back": show.table(held_back, ("session", "strategy", "symbol", "why")),
        },
    )


OUTCOMES = ("approved", "denied", "expired")


def _outcome(record: "IntentRecord") -> str:
    if record.state is OrderState.DENIED:
        return "denied"
    return "expired" if record.state is OrderState.EXPIRED_UNSENT else "approved"


def _row(record: "IntentRecord") -> dict[str, object]:
    intent = record.intent
    return {
        "session": intent.session_date,
        "strategy": intent.strategy_id,
        "mode": intent.mode.value,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "quantity": intent.quantity,
        "limit": intent.limit_price,
        "state": record.state.value,
        "filled": record.filled,
        "reason": record.reason,
    }
