"""The closing words of `up`: a table of the sessions for people, one JSON document for programs.

The gateway's own net liquidation is read here by plain HTTP, without the platform's client, so that the comparison
with the platform's books rests on nothing that both share.
"""

from __future__ import annotations

import ssl
import statistics
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ibkr_assets.adapters.ibkr.client import shared_limiter
from ibkr_assets.domain.errors import Unavailable

if TYPE_CHECKING:
    from ibkr_assets.domain.session import TradingSession
    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.stack.layout import Layout
    from ibkr_assets.stack.record import SessionRecord, StackRecord
    from ibkr_assets.stack.replay import Replayed

_COLUMNS = ("session", "bars", "signals", "orders", "fills", "NAV USD")
_CENT = Decimal("0.01")


def session_table(record: StackRecord, calendar: ExchangeCalendar, sessions: Sequence[TradingSession]) -> str:
    """One line a session: validated bars, signals, orders sent, fills, and NAV at the following opening."""
    rows = [record.session(session, calendar.next_session(session.day)) for session in sessions]
    cells = [_COLUMNS, *(_cells(row) for row in rows)]
    if rows:
        total = [sum(getattr(row, name) for row in rows) for name in ("bars", "signals", "orders", "fills")]
        cells.append(("together", *(str(number) for number in total), ""))
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    )  # fmt: skip


def _cells(row: SessionRecord) -> tuple[str, ...]:
    nav = "-" if row.nav_usd is None else f"{row.nav_usd:,.2f}"
    return (row.day.isoformat(), str(row.bars), str(row.signals), str(row.orders), str(row.fills), nav)


def summary(
    layout: Layout,
    record: StackRecord,
    replayed: Replayed,
    *,
    dagster_runs: dict[str, int],
    mlflow_runs: int,
    set_up_s: float,
) -> dict[str, Any]:
    """The document of `up --once --json`. Money as numbers with two decimals, None where there is none yet."""
    timings = replayed.timings
    snapshot = record.snapshot()
    return {
        "sessions": len(replayed.sessions),
        "symbols": list(layout.symbols),
        **record.totals(replayed.sessions),
        "nav": {
            "platform": None if snapshot is None else to_cents(snapshot.nav_usd),
            "gateway": to_cents(net_liquidation(layout)),
        },
        "dagster_runs": dagster_runs,
        "mlflow_runs": mlflow_runs,
        "seconds": {
            "set_up": round(set_up_s, 2),
            "replay": round(sum(timing.total for timing in timings), 2),
            "per_session_median": _median(timings, lambda timing: timing.total),
            "median_by_phase": {
                "run": _median(timings, lambda timing: timing.run),
                "send": _median(timings, lambda timing: timing.send),
                "fill": _median(timings, lambda timing: timing.fill),
            },
        },
        "urls": layout.urls,
    }


def net_liquidation(layout: Layout) -> Decimal:
    """The gateway's own figure for the account, in USD. Raises Unavailable when it does not come."""
    base = layout.gateway_url
    pem = layout.gateway_ca if layout.gateway_ca and not layout.gateway_ca.startswith("sha256:") else None
    verify = ssl.create_default_context(cafile=str(Path(pem))) if pem else True
    try:
        with httpx.Client(base_url=base, timeout=30, trust_env=False, verify=verify) as client:
            # The limits are those of the login, so this read takes its turn among the submitter's. IBKR answers it
            # once /portfolio/accounts was asked in the session, which the submitter has done.
            path = f"/portfolio/{layout.account}/summary"
            with shared_limiter(base).permit("GET", path.lstrip("/"), max_wait_s=30) as permit:
                permit.sent()
                answer = client.get(path)
            answer.raise_for_status()
            return Decimal(str(answer.json()["netliquidation"]["amount"]))
    except (httpx.HTTPError, KeyError, ValueError, ArithmeticError) as error:
        raise Unavailable(f"gateway {base}: no net liquidation: {type(error).__name__}: {error}") from None


def count_mlflow_runs(url: str, experiment: str) -> int:
    """Finished runs of the experiment and of its strategies'; 0 when there is none. Raises Unavailable."""
    count, token = 0, None
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            ids = _experiments(client, experiment)
            while ids:
                body = {"experiment_ids": ids, "max_results": 1000, "page_token": token,
                        "filter": "attributes.status = 'FINISHED'"}  # fmt: skip
                page = client.post("/api/2.0/mlflow/runs/search", json=body).raise_for_status().json()
                count += len(page.get("runs", ()))
                token = page.get("next_page_token")
                if not token:
                    break
            return count
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise Unavailable(f"MLflow {url}: runs cannot be counted: {type(error).__name__}: {error}") from None


def _experiments(client: httpx.Client, experiment: str) -> list[str]:
    """Ids of the experiment and of those beside it, one a strategy."""
    ids: list[str] = []
    token = None
    while True:
        body = {"max_results": 1000, "page_token": token, "filter": f"name LIKE '{experiment}%'"}
        page = client.post("/api/2.0/mlflow/experiments/search", json=body).raise_for_status().json()
        ids.extend(
            str(found["experiment_id"])
            for found in page.get("experiments", ())
            if found["name"] == experiment or found["name"].startswith(f"{experiment}/")
        )
        token = page.get("next_page_token")
        if not token:
            return ids


def to_cents(amount: Decimal) -> float:
    """An amount for JSON: a number, rounded half to even at the cent."""
    return float(amount.quantize(_CENT))


def _median(timings: Sequence[Any], of: Callable[[Any], float]) -> float | None:
    return round(statistics.median(map(of, timings)), 3) if timings else None
