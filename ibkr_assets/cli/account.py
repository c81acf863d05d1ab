"""Commands about the account: what it holds and has made, how books and broker compare, and what people decide there.

Nothing here asks the broker: `reconcile` asks the submitter to, which owns the session, and waits for its answer.
"""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ibkr_assets import settings as configuration
from ibkr_assets.cli.output import emit, emit_json, say, table
from ibkr_assets.domain.errors import InputError, Unavailable

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions

AsJson = Annotated[bool, typer.Option("--json", help="write one JSON document to stdout")]

#: A submitter writes its heartbeat every second; one that is silent for so long does not run.
SILENT_S = 10.0

_POSITION_COLUMNS = [
    "conid", "symbol", "quantity", "average_cost", "price", "value", "realized", "unrealized", "commissions", "total",
]  # fmt: skip
_DAY_COLUMNS = [
    "day", "at", "nav", "nav_change", "paid_in", "realized", "unrealized_change", "commissions", "total", "other",
]  # fmt: skip
_BREAK_COLUMNS = ["break_id", "kind", "subject", "blocks", "conid", "client_order_id", "found_at", "detail"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    breaks = typer.Typer(help="Differences between the books and the broker.", no_args_is_help=True)
    breaks.command("list")(breaks_list)
    breaks.command("resolve")(breaks_resolve)
    app.add_typer(breaks, name="breaks")
    for command in (pnl, positions, reconcile):
        app.command()(command)


def pnl(
    by: Annotated[str, typer.Option(help="day, strategy or symbol")] = "symbol",
    as_json: AsJson = False,
) -> None:
    """Realised and unrealised results, commissions and net asset values, in USD, from executions and marks.

    Example: ibkr-assets pnl --by day
    """
    from ibkr_assets.portfolio.statement import results_by_position, results_by_strategy, results_of_days, sum_up

    if by not in ("day", "strategy", "symbol"):
        raise InputError(f"by: must be day, strategy or symbol, got {by!r}")
    history = _history()
    rows: list[Any]
    if by == "day":
        rows, columns = list(results_of_days(history)), _DAY_COLUMNS
    elif by == "strategy":
        rows, columns = list(results_by_strategy(history)), ["owner", *_POSITION_COLUMNS]
    else:
        rows, columns = list(results_by_position(history)), _POSITION_COLUMNS
    shown = [{name: getattr(row, name) for name in columns} for row in rows]
    totals = sum_up(history)
    if as_json:
        emit_json({"by": by, "rows": shown, "account": totals})
        return
    emit(table(shown, columns))
    emit("")
    emit(table([{name: getattr(totals, name) for name in totals.__slots__}], list(totals.__slots__)))


def positions(as_json: AsJson = False) -> None:
    """What the account holds by the platform's books, with cost and result.

    Example: ibkr-assets positions --json
    """
    from ibkr_assets.portfolio.statement import results_by_position

    history = _history()
    rows = [
        {name: getattr(row, name) for name in _POSITION_COLUMNS} for row in results_by_position(history) if row.quantity
    ]
    at = history.valuations[-1].at if history.valuations else None
    if as_json:
        emit_json({"priced_at": at, "positions": rows})
        return
    emit(table(rows, _POSITION_COLUMNS))


def reconcile(
    timeout: Annotated[float, typer.Option(min=1, max=600, help="seconds to wait for the submitter")] = 90.0,
    as_json: AsJson = False,
) -> None:
    """Have the submitter compare everything with the broker now; exit 1 on differences, 75 when none answers.

    Example: ibkr-assets reconcile --json
    """
    differences = _differences()
    _require_submitter(differences)
    run = _await_run(differences, timeout)
    breaks = differences.breaks()
    compared = run.pop("report") or {}
    orders, executions = run.pop("orders_seen"), run.pop("trades_seen")
    report = run | {"orders": orders, "executions": executions} | compared | {"breaks": breaks}
    if as_json:
        emit_json(report)
    else:
        emit(f"run {run['run_id']} at {run['market_at']}: {orders} orders and {executions} executions at the broker")
        emit(table(compared.get("positions", []), ["conid", "symbol", "books", "broker", "price"]))
        for name in ("cash", "dividends_owed", "nav"):
            figures = compared.get(name, {})
            emit(f"{name}: platform {figures.get('books', figures.get('platform'))}, broker {figures.get('broker')}")
        emit(table(breaks, _BREAK_COLUMNS) if breaks else "no differences")
    if breaks or not run["is_clean"]:
        raise typer.Exit(1)


def breaks_list(
    with_resolved: Annotated[bool, typer.Option("--all", help="resolved ones too")] = False,
    as_json: AsJson = False,
) -> None:
    """Differences that are open, what each blocks, and what it says.

    Example: ibkr-assets breaks list --json
    """
    rows = _differences().breaks(with_resolved=with_resolved)
    if as_json:
        emit_json(rows)
        return
    columns = [*_BREAK_COLUMNS, "resolved_by", "resolved_at"] if with_resolved else _BREAK_COLUMNS
    emit(table(rows, columns))


def breaks_resolve(
    number: Annotated[int, typer.Argument(metavar="ID", help="the difference's number, as `breaks list` shows it")],
    reason: Annotated[str, typer.Option(help="why; kept for ever")],
    adopt: Annotated[bool, typer.Option("--adopt", help="take the broker's shares or cash into the books")] = False,
    paid_in: Annotated[
        bool, typer.Option("--paid-in", help="with --adopt: it was brought in or taken out, and is no result")
    ] = False,
    split: Annotated[str, typer.Option(help="with --adopt: new:old shares of the split that it is")] = "",
) -> None:
    """Close a difference with a reason. One that is still there is found again by the next look.

    Example: ibkr-assets breaks resolve 17 --reason "bought by hand" --adopt --paid-in
    """
    from ibkr_assets import bootstrap

    if not adopt and (paid_in or split):
        raise InputError("adopt: --paid-in and --split say how a difference is adopted, and need --adopt")
    _differences().resolve(
        number,
        actor=getpass.getuser(),
        reason=reason,
        market_at=bootstrap.clock(configuration.load()).now(),
        is_adopted=adopt,
        is_paid_in=paid_in,
        split=_ratio(split) if split else None,
    )
    say(f"difference {number} resolved: {reason}")


def _history() -> Any:
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.account_history import load_history
    from ibkr_assets.domain.order import account_ref

    settings = configuration.load()
    return load_history(bootstrap.database(settings), account_ref(bootstrap.account(settings)))


def _differences() -> PostgresResolutions:
    from ibkr_assets import bootstrap
    from ibkr_assets.adapters.postgres.resolutions import PostgresResolutions
    from ibkr_assets.domain.order import account_ref

    settings = configuration.load()
    return PostgresResolutions(bootstrap.database(settings), account_ref(bootstrap.account(settings)))


def _require_submitter(differences: PostgresResolutions) -> None:
    beat = differences.heartbeat()
    if beat is None:
        raise Unavailable("no submitter has ever run for this account; start one with `ibkr-assets submitter run`")
    status, detail, age_s = beat
    if age_s > SILENT_S or status == "stopped":
        raise Unavailable(f"no submitter answers: the last was {status} {age_s:.0f} s ago {detail}".rstrip())


def _await_run(differences: PostgresResolutions, timeout_s: float) -> dict[str, Any]:
    request_id = differences.ask(getpass.getuser())
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        run = differences.run_of(request_id)
        if run is not None:
            return run
        _require_submitter(differences)
        time.sleep(0.2)
    status, detail, _ = differences.heartbeat() or ("silent", "", 0.0)
    raise Unavailable(f"no answer within {timeout_s:g} s: the submitter is {status} {detail}".rstrip())


def _ratio(text: str) -> tuple[int, int]:
    new, _, old = text.partition(":")
    if not (new.isdigit() and old.isdigit()) or int(new) < 1 or int(old) < 1:
        raise InputError(f"split: must be new:old shares such as 7:1, got {text!r}")
    return int(new), int(old)
