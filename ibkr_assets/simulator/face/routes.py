"""Every path of the API port, with the handler and what must be there before it answers.

The names are those that pacing, faults and the wire log know.
"""

from __future__ import annotations

from ibkr_assets.simulator.face import (
    accounts,
    balances,
    contracts,
    history,
    order_reads,
    orders,
    performance,
    portfolio,
    preview,
    scanner,
    schedules,
    sessions,
    snapshots,
)
from ibkr_assets.simulator.face.exchange import Needs, Routes

_LOGIN, _PORTFOLIO = Needs.LOGIN, Needs.PORTFOLIO
_BROKERAGE, _ACCOUNTS = Needs.BROKERAGE, Needs.ACCOUNTS
_SUMMARY = "/iserver/account/{account}/summary"
_ORDER = "/iserver/account/{account}/order/{order_id}"

API_ROUTES = Routes(
    [
        ("GET POST", "/tickle", "tickle", sessions.tickle, _LOGIN),
        ("GET POST", "/iserver/auth/status", "auth_status", sessions.status, _LOGIN),
        ("POST", "/iserver/auth/ssodh/init", "init", sessions.init, Needs.NOTHING),
        ("GET POST", "/iserver/reauthenticate", "reauthenticate", sessions.reauthenticate, _LOGIN),
        ("GET", "/sso/validate", "sso_validate", sessions.validate, _LOGIN),
        ("POST", "/logout", "logout", sessions.logout, _LOGIN),
        ("GET", "/iserver/accounts", "accounts", accounts.accounts, _BROKERAGE),
        ("POST", "/iserver/account", "switch_account", accounts.switch, _BROKERAGE),
        ("GET", "/portfolio/accounts", "portfolio_accounts", accounts.portfolio_accounts, _LOGIN),
        ("GET", "/portfolio/subaccounts", "portfolio_subaccounts", accounts.portfolio_accounts, _LOGIN),
        ("GET", "/portfolio/{account}/meta", "portfolio_meta", accounts.meta, _PORTFOLIO),
        ("GET", "/portfolio/{account}/summary", "summary", balances.summary, _PORTFOLIO),
        ("GET", "/portfolio/{account}/ledger", "ledger", balances.ledger, _PORTFOLIO),
        ("GET", "/portfolio/{account}/allocation", "allocation", portfolio.allocation, _PORTFOLIO),
        ("POST", "/portfolio/{account}/positions/invalidate", "invalidate", portfolio.invalidate, _PORTFOLIO),
        ("GET", "/portfolio/positions/{conid}", "position_everywhere", portfolio.position_everywhere, _PORTFOLIO),
        ("GET", "/portfolio/{account}/positions/{page}", "positions", portfolio.positions, _PORTFOLIO),
        ("GET", "/portfolio/{account}/position/{conid}", "position", portfolio.position, _PORTFOLIO),
        ("GET", "/portfolio2/{account}/positions", "positions2", portfolio.positions2, _PORTFOLIO),
        ("GET", "/iserver/account/pnl/partitioned", "pnl", portfolio.pnl, _BROKERAGE),
        ("GET", _SUMMARY, "account_summary", balances.account_summary, _ACCOUNTS),
        ("GET", f"{_SUMMARY}/available_funds", "available_funds", balances.available_funds, _ACCOUNTS),
        ("GET", f"{_SUMMARY}/balances", "balances", balances.balances, _ACCOUNTS),
        ("GET", f"{_SUMMARY}/margins", "margins", balances.margins, _ACCOUNTS),
        ("GET", f"{_SUMMARY}/market_value", "market_value", balances.market_value, _ACCOUNTS),
        ("POST", "/pa/performance", "pa_performance", performance.performance, _LOGIN),
        ("POST", "/pa/allperiods", "pa_allperiods", performance.all_periods, _LOGIN),
        ("POST", "/pa/transactions", "pa_transactions", performance.transactions, _LOGIN),
        ("GET", "/fyi/unreadnumber", "unread_number", scanner.unread, _LOGIN),
        ("GET", "/iserver/scanner/params", "scanner_params", scanner.params, _BROKERAGE),
        ("POST", "/iserver/scanner/run", "scanner_run", scanner.run, _BROKERAGE),
        ("GET POST", "/iserver/secdef/search", "search", contracts.search, _BROKERAGE),
        ("GET", "/trsrv/stocks", "stocks", contracts.stocks, _LOGIN),
        ("GET", "/trsrv/futures", "futures", contracts.futures, _LOGIN),
        ("GET", "/trsrv/all-conids", "all_conids", contracts.all_conids, _LOGIN),
        ("GET", "/iserver/secdef/strikes", "strikes", contracts.strikes, _BROKERAGE),
        ("GET", "/iserver/secdef/info", "secdef_info", contracts.secdef_info, _BROKERAGE),
        ("GET", "/iserver/contract/{conid}/algos", "contract_algos", contracts.algos, _BROKERAGE),
        ("GET", "/trsrv/secdef", "secdef", contracts.secdef, _LOGIN),
        ("GET", "/trsrv/secdef/schedule", "schedule", schedules.schedule, _LOGIN),
        ("GET", "/contract/trading-schedule", "trading_schedule", schedules.trading_schedule, _LOGIN),
        ("GET", "/iserver/contract/{conid}/info", "contract_info", contracts.info, _BROKERAGE),
        ("GET", "/iserver/contract/{conid}/info-and-rules", "info_rules", contracts.info_and_rules, _BROKERAGE),
        ("POST", "/iserver/contract/rules", "contract_rules", contracts.rules, _BROKERAGE),
        ("GET", "/iserver/marketdata/snapshot", "snapshot", snapshots.snapshot, _ACCOUNTS),
        ("POST", "/iserver/marketdata/unsubscribe", "unsubscribe", snapshots.unsubscribe, _BROKERAGE),
        ("GET", "/iserver/marketdata/unsubscribeall", "unsubscribe_all", snapshots.unsubscribe_all, _BROKERAGE),
        ("GET", "/iserver/marketdata/history", "history", history.history, _BROKERAGE),
        ("GET", "/iserver/account/orders", "orders", order_reads.live_orders, _ACCOUNTS),
        ("GET", "/iserver/account/trades", "trades", order_reads.trades, _BROKERAGE),
        ("GET", "/iserver/account/order/status/{order_id}", "order_status", order_reads.order_status, _ACCOUNTS),
        ("POST", "/iserver/account/{account}/orders", "submit", orders.submit, _ACCOUNTS),
        ("POST", "/iserver/account/{account}/orders/whatif", "whatif", preview.preview, _ACCOUNTS),
        ("POST", "/iserver/reply/{reply_id}", "reply", orders.reply, _ACCOUNTS),
        ("POST", "/iserver/notification", "notification", orders.answer_prompt, _ACCOUNTS),
        ("POST", "/iserver/questions/suppress", "suppress", orders.suppress, _BROKERAGE),
        ("POST", "/iserver/questions/suppress/reset", "suppress_reset", orders.suppress_reset, _BROKERAGE),
        ("POST", _ORDER, "modify", orders.modify, _ACCOUNTS),
        ("DELETE", _ORDER, "cancel", orders.cancel, _ACCOUNTS),
    ]
)
