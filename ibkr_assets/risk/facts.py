"""What a review is given: about the order's surroundings, and about what all orders of the account share.

What goes here: values. What does not: the rules, and where the facts come from (`execution.propose` before approval,
`execution.departure` before sending, the ledger for what is shared). A fact that is None or not finite is not known,
and every rule that needs it denies.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ibkr_assets.domain.broker import OrderPreview, Quote
from ibkr_assets.domain.order import Mode
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.risk.finding import Finding
from ibkr_assets.risk.limits import Limits

__all__ = [
    "Circumstances", "DataFacts", "DepartureFacts", "Exposure", "Facts", "Finding", "InstrumentFacts", "Limits",
    "PlatformFacts", "Versions",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentFacts:
    """The instrument as stored: when the broker last described it, and its bars up to the one decided on.

    `average_volume` (shares a session) and `average_true_range` (USD) are over the twenty newest of these bars.
    `recent_volume` is what traded in the half hour up to the end of the bar decided on, in shares, by proven minute
    bars; `without_recent_volume` says why an order has none to be held against, and is empty for one that has.
    """

    currency: str | None = None
    contract_age_s: Decimal | None = None
    average_volume: Decimal | None = None
    average_true_range: Decimal | None = None
    recent_volume: Decimal | None = None
    without_recent_volume: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What the decision rests on. Bars are those of the twenty sessions up to the one decided on.

    `signal_age_bars` counts sessions since the bar's end by the exchange calendar, a running one in part.
    `unproven_bars` were quarantined or never validated, `revised_bars` changed after the signal was made. `features`
    and `infinite_features` are counted in the row that the signal names. An order from outside has no signal
    (`has_signal` False): nothing is known, and nothing asked, of what it was decided on but the bars.
    """

    has_signal: bool | None = None
    signal_age_bars: Decimal | None = None
    bars: int | None = None
    unproven_bars: int | None = None
    revised_bars: int | None = None
    features: int | None = None
    infinite_features: int | None = None
    score: Decimal | None = None
    #: The model that the strategy names, "" for one that names none, and whether it is registered and approved.
    model: str | None = None
    is_model_approved: bool | None = None
    #: The part of the score that a language model may decide; zero for strategies without one.
    llm_weight: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What a process runs: hashes of its code and of the settings that decide, and the schema it works on."""

    code: str
    configuration: str
    schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFacts:
    """The machine and its peers. `own` runs here, `submitter` is what the sending process said of itself.

    `clock_skew_s` is between this machine and the database. `alert_age_s` is how long ago somebody who would hear an
    alarm last answered; None where there is no such channel.
    """

    own: Versions | None = None
    submitter: Versions | None = None
    clock_skew_s: Decimal | None = None
    disk_free_bytes: int | None = None
    disk_size_bytes: int | None = None
    alert_age_s: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartureFacts:
    """What is known only when an order is about to leave. `session` is the exchange's running one, or None.

    `quoted_at` is the market time when the quote was read. `preview` is what the broker says the order would do, and
    `preview_failure` why it did not say; both are unknown until it is asked.
    """

    quote: Quote | None = None
    quoted_at: datetime | None = None
    gateway_skew_s: float | None = None
    session: TradingSession | None = None
    is_calendar_known: bool = False
    reset_zone: str | None = None
    preview: OrderPreview | None = None
    preview_failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the ledger knows of one order before anything is locked; see `Facts`."""

    nav_usd: Decimal | None
    killed_by: str | None
    instrument: InstrumentFacts
    data: DataFacts
    platform: PlatformFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known when the review happens. `now` is the market clock; `mode` is the platform's.

    `nav_usd` is None before the first reconciliation; `killed_by` is the reason of an active kill, or None.
    """

    now: datetime
    mode: Mode
    nav_usd: Decimal | None
    killed_by: str | None
    instrument: InstrumentFacts = InstrumentFacts()
    data: DataFacts = DataFacts()
    platform: PlatformFacts = PlatformFacts()
    departure: DepartureFacts = DepartureFacts()


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the orders of one account share, read under its lock, so that two cannot pass one limit together.

    `held` is signed shares of the order's instrument and comes from fills; `open_buys` and `open_sells` are what is
    left of orders that hold risk, orders in doubt included; both are positive. The `others_` are the worst case of
    all other instruments in USD: gross, the most that may be long less short, the least of it, and gross within the
    order's sector. Counts and sums of a day are of New York by the market clock. A rehearsal sees rehearsals too.
    Settled cash is without the proceeds of sales that have not settled, once by the platform's own books and once by
    the broker's newest figure less what was bought since; purchases count from the trade on.
    """

    held: Decimal
    open_buys: Decimal
    open_sells: Decimal
    others_gross_usd: Decimal | None = None
    others_net_high_usd: Decimal | None = None
    others_net_low_usd: Decimal | None = None
    others_sector_usd: Decimal | None = None
    cash_usd: Decimal | None = None
    settled_cash_usd: Decimal | None = None
    broker_settled_cash_usd: Decimal | None = None
    open_buy_cost_usd: Decimal | None = None
    approved_today_usd: Decimal | None = None
    orders_today: int | None = None
    orders_today_of_instrument: int | None = None
    working_orders: int | None = None
    messages_last_second: int | None = None
    messages_last_minute: int | None = None
    messages_today: int | None = None
    #: Orders of the strategy, instrument and side that were filled today since a person last allowed more.
    repeats_today: int | None = None
    #: Client order id of the newest order of another decision that looks like this one; "" for none.
    look_alike: str | None = None
    #: What the decision wants on this side, and what its other orders took of it: fills, and all that is open.
    decided_quantity: Decimal | None = None
    taken_quantity: Decimal | None = None
    reconciled_age_s: Decimal | None = None
    #: What the last comparison with the broker left open against this order; "" for nothing.
    difference: str | None = None
    day_loss_fraction: Decimal | None = None
    drawdown_fraction: Decimal | None = None
