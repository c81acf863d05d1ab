"""Who may do what: every route of the dashboard with the role that it takes, in one table.

What goes here: roles and the table. What does not: who somebody is (`dashboard.login`), and refusing
(`dashboard.guard`).
A route that is not in the table is refused for everybody, so a new one is shut until somebody decides on it.
"""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """What somebody may do. Each role may do what those below it may.

    A viewer looks. An operator launches runs, changes strategies and withdraws permission to trade. The last one also
    gives permission back.
    """

    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2
    ARM = 3


#: (method, path as the route is declared) -> the role it takes. WS is a WebSocket.
ROUTES: dict[tuple[str, str], Role] = {
    ("GET", "/health"): Role.NOBODY,
    ("GET", "/health/live"): Role.NOBODY,
    ("GET", "/health/ready"): Role.NOBODY,
    ("GET", "/metrics"): Role.NOBODY,
    ("GET", "/openapi.json"): Role.VIEWER,
    ("GET", "/login"): Role.NOBODY,
    ("POST", "/login"): Role.NOBODY,
    ("GET", "/login/{token}"): Role.NOBODY,
    ("POST", "/login/{token}"): Role.NOBODY,
    ("GET", "/static"): Role.NOBODY,
    ("POST", "/logout"): Role.VIEWER,
    ("POST", "/theme"): Role.VIEWER,
    ("GET", "/"): Role.VIEWER,
    ("GET", "/api/chart/{conid}"): Role.VIEWER,
    ("GET", "/positions"): Role.VIEWER,
    ("GET", "/signals"): Role.VIEWER,
    ("GET", "/orders"): Role.VIEWER,
    ("GET", "/orders.csv"): Role.VIEWER,
    ("GET", "/orders/{order}"): Role.VIEWER,
    ("GET", "/orders/{order}/doubt"): Role.VIEWER,
    ("GET", "/positions/{conid}/close"): Role.VIEWER,
    ("GET", "/runs"): Role.VIEWER,
    ("GET", "/runs/{run_id}"): Role.VIEWER,
    ("GET", "/api/runs/{run_id}/log"): Role.VIEWER,
    ("GET", "/experiments"): Role.VIEWER,
    ("GET", "/experiments/compare"): Role.VIEWER,
    ("GET", "/experiments/{run_id}"): Role.VIEWER,
    ("GET", "/experiments/{run_id}/artifacts/{path:path}"): Role.VIEWER,
    ("GET", "/backtests"): Role.VIEWER,
    ("GET", "/backtests/~compare"): Role.VIEWER,
    ("GET", "/backtests/{run_id}"): Role.VIEWER,
    ("GET", "/backtests/{run_id}/files/{name}"): Role.VIEWER,
    ("GET", "/strategies"): Role.VIEWER,
    ("GET", "/strategies/~export"): Role.VIEWER,
    ("GET", "/strategies/{strategy_id}"): Role.VIEWER,
    ("GET", "/strategies/{strategy_id}/export"): Role.VIEWER,
    ("GET", "/quarantine"): Role.VIEWER,
    ("GET", "/quarantine/{identity}"): Role.VIEWER,
    ("GET", "/alerts"): Role.VIEWER,
    ("GET", "/system"): Role.VIEWER,
    ("GET", "/stop"): Role.VIEWER,
    ("WS", "/live"): Role.VIEWER,
    ("POST", "/stop"): Role.OPERATOR,
    ("POST", "/orders/{order}/cancel"): Role.OPERATOR,
    ("POST", "/orders/{order}/look"): Role.OPERATOR,
    ("POST", "/positions/{conid}/close"): Role.OPERATOR,
    ("POST", "/runs/launch"): Role.OPERATOR,
    ("POST", "/runs/{run_id}/terminate"): Role.OPERATOR,
    ("POST", "/runs/{run_id}/retry"): Role.OPERATOR,
    ("POST", "/runs/instigators/{kind}/{name}"): Role.OPERATOR,
    ("GET", "/backtests/~new"): Role.OPERATOR,
    ("POST", "/backtests/~launch"): Role.OPERATOR,
    ("GET", "/backtests/{run_id}/promote"): Role.OPERATOR,
    ("GET", "/experiments/{run_id}/promote"): Role.OPERATOR,
    ("POST", "/experiments/{run_id}/tag"): Role.OPERATOR,
    ("POST", "/quarantine/~decide"): Role.OPERATOR,
    ("POST", "/quarantine/~hold"): Role.OPERATOR,
    ("GET", "/strategies/~new"): Role.OPERATOR,
    ("GET", "/strategies/{strategy_id}/edit"): Role.OPERATOR,
    ("POST", "/strategies/~review"): Role.OPERATOR,
    ("POST", "/strategies/~save"): Role.OPERATOR,
    ("POST", "/strategies/{strategy_id}/switch"): Role.OPERATOR,
    ("POST", "/strategies/{strategy_id}/pause"): Role.OPERATOR,
    ("POST", "/alerts/{alert_id}/acknowledge"): Role.OPERATOR,
    ("POST", "/alerts/~test"): Role.OPERATOR,
    ("POST", "/alerts/~test-over"): Role.OPERATOR,
    ("POST", "/system/reconcile"): Role.OPERATOR,
    ("POST", "/resume"): Role.ARM,
    ("POST", "/quarantine/~lift"): Role.ARM,
    ("POST", "/orders/{order}/doubt"): Role.ARM,
    ("POST", "/strategies/{strategy_id}/resume"): Role.ARM,
}
