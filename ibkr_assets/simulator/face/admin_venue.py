"""The admin call that changes what one venue does differently from another: limits, questions, cancels.

The settings are `simulator.venue_rules`'; they last as long as the process.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ibkr_assets.simulator.answers import Answer
from ibkr_assets.simulator.face.admin_fields import check_fields, read_positive, read_span
from ibkr_assets.simulator.face.exchange import BadRequest, Call
from ibkr_assets.simulator.gateway import Gateway
from ibkr_assets.simulator.questions import ON_DEMAND

_FIELDS = {
    "price_fraction", "size_limit", "value_limit_usd", "tick_limit", "asked", "cancel_after_s", "stale_order_taken",
}  # fmt: skip


def read_venue(call: Call) -> Answer:
    """The rules as they are."""
    return Answer(_describe(call.gateway))


def set_venue(call: Call) -> Answer:
    """Sets any of the rules; null for `tick_limit` and `cancel_after_s` takes them away.

    `price_fraction`, `size_limit`, `value_limit_usd`, `tick_limit`: above these an order is questioned. `asked`: ids
    of questions that are asked besides. `cancel_after_s`: for how long (market seconds) a working order is
    PendingCancel. `stale_order_taken`: whether the order of a stale question goes live all the same.
    """
    rules, body = call.gateway.venue.rules, call.json_object()
    check_fields(body, _FIELDS)
    asked, is_taken = body.get("asked", []), body.get("stale_order_taken", False)
    if not isinstance(asked, list) or not set(map(str, asked)) <= set(ON_DEMAND):
        raise BadRequest(f"asked: must be a list of {', '.join(ON_DEMAND)}, got {asked!r}")
    if not isinstance(is_taken, bool):
        raise BadRequest(f"stale_order_taken: must be true or false, got {is_taken!r}")
    for name in ("price_fraction", "size_limit", "value_limit_usd"):
        if name in body:
            setattr(rules, name, read_positive(body, name))
    if "tick_limit" in body:
        rules.tick_limit = None if body["tick_limit"] is None else int(read_positive(body, "tick_limit"))
    if "cancel_after_s" in body:
        is_off = body["cancel_after_s"] is None
        rules.cancel_after = None if is_off else timedelta(seconds=read_span(body, "cancel_after_s"))
    if "asked" in body:
        rules.asked = set(asked)
    if "stale_order_taken" in body:
        rules.is_stale_order_taken = is_taken
    return Answer(_describe(call.gateway))


def _describe(gateway: Gateway) -> dict[str, Any]:
    rules = gateway.venue.rules
    return {
        "price_fraction": float(rules.price_fraction), "size_limit": float(rules.size_limit),
        "value_limit_usd": float(rules.value_limit_usd), "tick_limit": rules.tick_limit,
        "asked": sorted(rules.asked),
        "cancel_after_s": None if rules.cancel_after is None else rules.cancel_after.total_seconds(),
        "stale_order_taken": rules.is_stale_order_taken,
    }  # fmt: skip
