"""The names of denials. They are stored with orders, so a value once released keeps its meaning.

What goes here: the codes, in the order in which a denial is named. What each means is with its rule (`risk.rules`).
"""

from __future__ import annotations

from enum import StrEnum


class DenialCode(StrEnum):
    """Why an order was denied by us, before approval or when it was about to leave."""

    MODE = "mode"
    KILL = "kill"
    RECONCILED = "reconciled"
    VALIDITY = "validity"
    ALLOW_LIST = "allow_list"
    CONTRACT = "contract"
    PRICE_COLLAR = "price_collar"
    ORDER_VALUE = "order_value"
    ORDER_SIZE = "order_size"
    RECENT_VOLUME = "recent_volume"
    DECISION_SUM = "decision_sum"
    REPEATED = "repeated"
    MESSAGES = "messages"
    ORDER_COUNT = "order_count"
    LOOK_ALIKE = "look_alike"
    POSITION = "position"
    GROSS = "gross"
    NET = "net"
    SECTOR = "sector"
    NO_SHORT = "no_short"
    DAILY_NOTIONAL = "daily_notional"
    LOSS = "loss"
    CASH = "cash"
    SETTLED_CASH = "settled_cash"
    SIGNAL_AGE = "signal_age"
    VERSION = "version"
    DATA = "data"
    MODEL = "model"
    PLATFORM = "platform"
    CLOCK = "clock"
    QUOTE = "quote"
    COLLAR = "collar"
    NIGHTLY_RESET = "nightly_reset"
    MARKET_HOURS = "market_hours"
    THROTTLE = "throttle"
    MARGIN = "margin"
