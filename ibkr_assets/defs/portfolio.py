"""The assets `portfolio` and `reconciliation`: what the account is worth and holds, and whether the broker agrees.

What goes here: what is shown, the checks, and the alert of a portfolio that drifts. What does not: valuing and
comparing, which the submitter does all day; this reads what it wrote and asks it for one more comparison.
"""

from datetime import timedelta

import dagster as dg

from ibkr_assets import bootstrap
from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.resources import Calendar, Clock, Postgres, SettingsInForce
from ibkr_assets.domain.alert import Alert, AlertCode
from ibkr_assets.domain.errors import Unavailable

nav_is_fresh = dg.AssetCheckSpec(
    "nav_is_fresh", asset="portfolio", description="The net asset value of the last closed session is known."
)
holdings_follow_decisions = dg.AssetCheckSpec(
    "holdings_follow_decisions",
    asset="portfolio",
    description="What is held differs from what was decided by less than alerts.drift_fraction of the account.",
)
books_agree = dg.AssetCheckSpec(
    "books_agree",
    asset="reconciliation",
    description="Books and broker were compared within a day, and no difference is open.",
)
_DAYS = 30
_OLD = timedelta(days=1)
DRIFT_COLUMNS = ("strategy", "symbol", "wanted", "held", "gap_usd")
BREAK_COLUMNS = ("id", "kind", "subject", "blocks", "since")


@dg.asset(
    group_name="trading",
    kinds={"postgres"},
    check_specs=[nav_is_fresh, holdings_follow_decisions],
    description="Net asset value by session (oms.nav_day), and how far holdings lie from what was decided.",
)
def portfolio(
    postgres: Postgres, clock: Clock, calendar: Calendar, settings: dg.ResourceParam[SettingsInForce]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Read, measure, tell where the drift is too wide."""
    from ibkr_assets.adapters.postgres.drift import read_days, read_holdings
    from ibkr_assets.portfolio.drift import measure_drift

    in_force, last = settings.get(), calendar.load().last_closed(clock.now())
    database, ref = bootstrap.database(in_force), bootstrap.alert_ref(in_force)
    days = read_days(database, ref, _DAYS)
    if not days:
        raise Unavailable("no session of the account was ever valued: the submitter does it after each close")
    found = measure_drift(read_holdings(database, ref, in_force.mode, last.opens_at), days[0]["nav_usd"])
    allowed = in_force.alerts.drift_fraction
    alerts, subject = postgres.alerts(), "account"
    gaps = [one for one in found.holdings if one.gap_usd]
    if found.fraction > allowed:
        widest = f"{gaps[0].symbol} of {gaps[0].strategy_id}"
        text = f"holdings lie {found.fraction:.1%} of the account from what was decided, the widest gap: {widest}"
        payload = {"fraction": str(found.fraction), "gaps": len(gaps)}
        alerts.raise_alert(Alert(AlertCode.PORTFOLIO_DRIFT, subject, text, payload))
    else:
        alerts.settle(AlertCode.PORTFOLIO_DRIFT)
    rows = [
        {"strategy": one.strategy_id, "symbol": one.symbol, "wanted": one.wanted, "held": one.held,
         "gap_usd": round(one.gap_usd, 2)}
        for one in gaps
    ]  # fmt: skip
    return dg.MaterializeResult(
        metadata={
            "nav_usd": show.number(days[0]["nav_usd"]),
            "session": str(days[0]["session_date"]),
            "drift_fraction": show.number(found.fraction),
            "history": show.table(days, ("session_date", "nav_usd", "nav_broker_usd", "cash_usd", "paid_in_usd")),
            "gaps": show.table(rows, DRIFT_COLUMNS),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=nav_is_fresh.name,
                passed=days[0]["session_date"] >= last.day,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"newest": str(days[0]["session_date"]), "due": str(last.day)},
            ),
            dg.AssetCheckResult(
                check_name=holdings_follow_decisions.name,
                passed=found.fraction <= allowed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"fraction": show.number(found.fraction), "allowed": show.number(allowed)},
            ),
        ],
    )


@dg.asset(
    group_name="trading",
    kinds={"postgres"},
    check_specs=[books_agree],
    description="The newest comparison of books and broker (oms.recon_run) with every open difference.",
)
def reconciliation(settings: dg.ResourceParam[SettingsInForce]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Ask the submitter for a comparison, and show the newest there is: nobody waits for it here."""
    from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions
    from ibkr_assets.adapters.postgres.views.condition import condition, last_comparison

    in_force = settings.get()
    database, ref = bootstrap.database(in_force), bootstrap.alert_ref(in_force)
    differences, newest = PostgresResolutions(database, ref), last_comparison(database, ref)
    if newest is None:
        raise Unavailable("books and broker were never compared: the submitter has not run for this account")
    differences.ask("dagster:reconciliation")
    age = condition(database, ref)["at"] - newest["finished_at"]
    rows = [
        {"id": row["break_id"], "kind": row["kind"], "subject": row["subject"], "blocks": row["blocks"],
         "since": row["found_at"].isoformat(timespec="seconds")}
        for row in differences.breaks()
    ]  # fmt: skip
    return dg.MaterializeResult(
        metadata={
            "compared": newest["finished_at"].isoformat(timespec="seconds"),
            "is_clean": bool(newest["is_clean"]),
            "orders_seen": newest["orders_seen"] or 0,
            "trades_seen": newest["trades_seen"] or 0,
            "open": show.table(rows, BREAK_COLUMNS),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=books_agree.name,
                passed=not rows and age <= _OLD,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"open": len(rows), "age_s": show.number(age.total_seconds())},
            )
        ],
    )
