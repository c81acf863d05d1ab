"""Every rule, R1 to R24, in the order in which a denial is named.

What goes here: one row a rule: what it is called, when it is heard, which limits it is held against. What does not:
the rules themselves, which are in modules by topic. A number that is missing or not finite denies in every rule that
needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ibkr_assets.domain.order import OrderIntent
from ibkr_assets.risk import cash, data, exposure, instrument, loss, market, pace, permission, platform, price, size
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits

__all__ = ["APPROVAL", "DEPARTURE", "RULES", "UNASKED", "Check", "DenialCode", "Heard", "Rule"]

Check = Callable[[OrderIntent, Facts, Exposure, Limits], Finding]


class Heard(StrEnum):
    """When a rule is heard: before an order is approved, right before it leaves, or both times."""

    APPROVAL = "approval"
    DEPARTURE = "departure"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `limits` are names of `Limits`, whose names end with their unit; the check's docstring cites.

    An order that fails a rule when it is about to leave is denied, or waits while `is_patient`: what is wrong then
    passes by itself, or the order's time does.
    """

    id: str
    code: DenialCode
    description: str
    limits: tuple[str, ...]
    heard: Heard
    check: Check
    is_patient: bool = False

    def __call__(self, intent: OrderIntent, facts: Facts, exposed: Exposure, limits: Limits) -> Finding:
        """What the rule says of this order."""
        return self.check(intent, facts, exposed, limits)


_APPROVAL, _DEPARTURE, _BOTH = Heard.APPROVAL, Heard.DEPARTURE, Heard.BOTH
_CODE = DenialCode

_ROWS = (
    Rule("R1", _CODE.MODE, "the order's mode is neither dry_run nor the platform's", (), _BOTH,
         permission.check_mode, is_patient=True),
    Rule("R2", _CODE.KILL, "a kill or a disarm is active for the account, the strategy or the instrument", (),
         _BOTH, permission.check_kill, is_patient=True),
    Rule("R3", _CODE.RECONCILED, "books and broker were not compared lately, or differ",
         ("max_reconciled_age_s",), _BOTH, permission.check_reconciled, is_patient=True),
    Rule("R19", _CODE.VALIDITY, "the bar that was decided on is not over, or the order's time is past", (),
         _BOTH, market.check_validity, is_patient=True),
    Rule("R4", _CODE.ALLOW_LIST, "the symbol is not on the list of those that may be traded",
         ("allowed_symbols",), _APPROVAL, instrument.check_allow_list),
    Rule("R4", _CODE.CONTRACT, "the broker did not describe the contract lately, or it is not in USD",
         ("max_contract_age_hours",), _APPROVAL, instrument.check_contract),
    Rule("R8", _CODE.PRICE_COLLAR, "the limit is too far from the reference price, or there is none",
         ("price_collar_fraction", "price_collar_atr"), _APPROVAL, price.check_price_collar),
    Rule("R5", _CODE.ORDER_VALUE, "the order is worth more than one order may be",
         ("max_order_value_usd", "max_order_nav_fraction"), _APPROVAL, size.check_order_value),
    Rule("R6", _CODE.ORDER_SIZE, "the order has more shares than one order may have",
         ("max_order_shares", "max_order_volume_fraction"), _APPROVAL, size.check_order_size),
    Rule("R6", _CODE.RECENT_VOLUME, "the order is too much of what traded in the half hour before",
         ("max_order_recent_volume_fraction",), _APPROVAL, size.check_recent_volume),
    Rule("R7", _CODE.DECISION_SUM, "the orders of one decision are more than was decided", (), _APPROVAL,
         size.check_decision_sum),
    Rule("R9", _CODE.REPEATED, "the strategy traded this too often today without a person's leave",
         ("max_repeats_per_day",), _APPROVAL, pace.check_repeated),
    Rule("R10", _CODE.MESSAGES, "too many calls today, or too many orders of this side at work",
         ("max_messages_per_day", "max_working_orders"), _APPROVAL, pace.check_messages),
    Rule("R11", _CODE.ORDER_COUNT, "too many orders today, of the account or of the instrument",
         ("max_orders_per_day", "max_orders_per_day_and_instrument"), _APPROVAL, pace.check_order_count),
    Rule("R12", _CODE.LOOK_ALIKE, "another decision ordered the same a few minutes ago",
         ("look_alike_minutes", "look_alike_price_fraction"), _APPROVAL, pace.check_look_alike),
    Rule("R13", _CODE.POSITION, "the position could become larger than one position may be",
         ("max_position_nav_fraction",), _APPROVAL, exposure.check_position),
    Rule("R14", _CODE.GROSS, "all positions together could become larger than they may be",
         ("max_gross_nav_fraction",), _APPROVAL, exposure.check_gross),
    Rule("R14", _CODE.NET, "long less short could become more than it may be", ("max_net_nav_fraction",),
         _APPROVAL, exposure.check_net),
    Rule("R14", _CODE.SECTOR, "the positions of one sector could become larger than they may be",
         ("max_sector_nav_fraction", "sectors"), _APPROVAL, exposure.check_sector),
    Rule("R15", _CODE.NO_SHORT, "more would be sold than is held", ("may_short",), _APPROVAL,
         exposure.check_no_short),
    Rule("R16", _CODE.DAILY_NOTIONAL, "more would be ordered in one day than may be",
         ("max_daily_notional_nav_fraction",), _APPROVAL, pace.check_daily_notional),
    Rule("R17", _CODE.LOSS, "too much was lost today, or since net asset value was highest",
         ("day_loss_disarm_fraction", "day_loss_kill_fraction", "drawdown_disarm_fraction"), _APPROVAL,
         loss.check_loss),
    Rule("R18", _CODE.CASH, "the cash that is free does not pay for it", ("cash_reserve_fraction",),
         _APPROVAL, cash.check_cash),
    Rule("R18", _CODE.SETTLED_CASH, "the settled cash that is free does not pay for it", ("cash_reserve_fraction",),
         _APPROVAL, cash.check_settled_cash),
    Rule("R19", _CODE.SIGNAL_AGE, "the decision is too old", ("max_signal_age_bars",), _BOTH,
         market.check_signal_age),
    Rule("R21", _CODE.VERSION, "code, settings or schema are not those of the process that sends", (), _APPROVAL,
         platform.check_version),
    Rule("R22", _CODE.DATA, "bars or features behind the decision are not proven", (), _APPROVAL,
         data.check_data),
    Rule("R23", _CODE.MODEL, "a model is not approved, or a language model decides too much",
         ("max_llm_weight",), _APPROVAL, data.check_model),
    Rule("R24", _CODE.PLATFORM, "clock, disk or alarms of this machine are not well",
         ("max_clock_skew_s", "min_disk_free_fraction", "min_disk_free_bytes", "max_alert_age_s"), _APPROVAL,
         platform.check_platform),
    Rule("R24", _CODE.CLOCK, "the gateway's clock is not ours", ("max_gateway_skew_s",), _DEPARTURE,
         platform.check_gateway_clock),
    Rule("R19", _CODE.QUOTE, "the quote is old, not live, halted, or makes no sense", ("max_quote_age_s",),
         _DEPARTURE, market.check_newest_quote),
    Rule("R8", _CODE.COLLAR, "the limit is worse than the newest price by too much",
         ("price_collar_fraction",), _DEPARTURE, price.check_collar),
    Rule("R20", _CODE.NIGHTLY_RESET, "IBKR's nightly reset", (), _DEPARTURE, market.check_reset, is_patient=True),
    Rule("R20", _CODE.MARKET_HOURS, "the market is closed, or about to open or close",
         ("session_edge_minutes",), _DEPARTURE, market.check_market_hours, is_patient=True),
    Rule("R10", _CODE.THROTTLE, "too many calls in a second or a minute",
         ("max_messages_per_second", "max_messages_per_minute"), _DEPARTURE, pace.check_throttle, is_patient=True),
    Rule("R18", _CODE.MARGIN, "the account's equity would not cover its margin, or the broker does not say",
         ("may_lack_preview",), _DEPARTURE, cash.check_margin),
)  # fmt: skip

#: Every rule by its code, in the order in which a denial is named.
RULES: dict[DenialCode, Rule] = {rule.code: rule for rule in _ROWS}
#: Those that are heard before approval, and those that are heard right before an order leaves.
APPROVAL = tuple(rule for rule in _ROWS if rule.heard in (Heard.APPROVAL, Heard.BOTH))
DEPARTURE = tuple(rule for rule in _ROWS if rule.heard in (Heard.DEPARTURE, Heard.BOTH))
#: Those of a departure that can be heard before the broker is asked for a preview.
UNASKED = tuple(rule for rule in DEPARTURE if rule.code is not DenialCode.MARGIN)
