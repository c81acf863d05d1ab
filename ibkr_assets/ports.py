"""The doors between what decides and what reaches the outside world.

Each is the smallest interface its caller needs; `adapters` implements them, `bootstrap` picks which. Nothing here
runs. Market data and orders are two doors on purpose: whoever computes signals never holds the one for orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from ibkr_assets.features.state import FeatureStore

if TYPE_CHECKING:
    import pandas as pd

    from ibkr_assets.domain import broker
    from ibkr_assets.domain.account import Fill
    from ibkr_assets.domain.bar import BarSize
    from ibkr_assets.domain.instrument import Instrument
    from ibkr_assets.domain.lineage import Basis
    from ibkr_assets.domain.order import Mode, OrderIntent, OrderState
    from ibkr_assets.domain.permission import GatewayIdentity
    from ibkr_assets.domain.signal import Signal
    from ibkr_assets.market.adjustment import CorporateAction
    from ibkr_assets.risk.engine import Decision, Exposure
    from ibkr_assets.risk.facts import Circumstances
    from ibkr_assets.risk.limits import Limits


class Clock(Protocol):
    """The market's time. Everything that decides asks this, never the machine."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""


class BarSource(Protocol):
    """Market data of the broker: contracts, history, quotes. No order can be reached from here."""

    def resolve(self, symbol: str) -> Instrument:
        """The one US stock of this symbol. Raises InputError when there is none or more than one."""

    def describe(self, instruments: Sequence[Instrument]) -> dict[int, tuple[str, str]]:
        """Symbol and currency of these contracts by conid, as the broker has them now."""

    def fetch_bars(self, instrument: Instrument, size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        """Bars opened in [start, end), columns BAR_COLUMNS, ascending, as the broker gave them.

        Only bars that are over by the market clock. Bars of a delayed feed have `availability` and `delay_s`; rows of
        an answer that cannot be used follow with a `reason`. Raises Unavailable, BrokerRefusal, UnreadableAnswer.
        """

    def fetch_quotes(self, instruments: Sequence[Instrument]) -> dict[int, broker.Quote]:
        """The newest quote by conid, pre-flight included. An instrument without any price is absent."""

    def session(self) -> broker.SessionStatus:
        """Both gateway sessions as they stand, without trying to mend them."""


class Broker(Protocol):
    """The broker's order side and the account. Held by the submitter alone."""

    def open_session(self) -> broker.SessionStatus:
        """Bring the brokerage session up and read the accounts first, as IBKR wants it.

        Raises LoginRequired when only a person can help, Unavailable when the gateway does not answer, and
        ConfigurationError when the pinned account is not among the gateway's accounts.
        """

    def session(self) -> broker.SessionStatus: ...

    def identity(self) -> GatewayIdentity: ...

    def keep_alive(self) -> broker.SessionStatus:
        """IBKR's tickle, wanted about once a minute; the status names the session. Called from another thread."""

    def session_id(self) -> str:
        """The gateway's session identity; another one means that lists of the old session are gone."""

    def openings(self) -> int:
        """How often the brokerage session was opened anew so far, also by a read that found it gone.

        What is known of an older one is no evidence: its lists began with answers that mean nothing.
        """

    def preview(self, ticket: broker.OrderTicket) -> broker.OrderPreview:
        """What the order would do to the account, asked once; nothing is ordered.

        Raises Unavailable where nothing was asked or the session is away, BrokerRefusal for the broker's no, and
        UnreadableAnswer for all else, silence included.
        """

    def place(self, ticket: broker.OrderTicket) -> broker.PlaceAnswer:
        """Send once, never again. Every outcome is a value; nothing is raised for what came back."""

    def reply(self, reply_id: str, *, is_confirmed: bool) -> broker.PlaceAnswer:
        """Answer a question, once."""

    def modify(self, broker_order_id: str, ticket: broker.OrderTicket) -> broker.PlaceAnswer:
        """Replace an order by the whole ticket, once. It may be asked about and answered as a placement is."""

    def cancel(self, broker_order_id: str) -> broker.CancelAnswer:
        """Ask for a cancel, once."""

    def live_orders(self) -> broker.OrdersRead:
        """The order list, unfiltered, as one read of it came."""

    def order_status(self, broker_order_id: str) -> broker.BrokerOrder | None:
        """One order, or None where the broker does not know the id. Carries no client order id."""

    def trades(self) -> tuple[Fill, ...]:
        """Executions of today and the six days before, as one read of them came; the first may be empty."""

    def positions(self) -> tuple[broker.BrokerPosition, ...]: ...
    def cash_ledger(self) -> broker.CashLedger: ...
    def quotes(self, instruments: Sequence[Instrument]) -> dict[int, broker.Quote]: ...
    def open_line(self, conid: int) -> None:
        """Have market data of the contract, without which the broker questions an order."""

    def clock_skew_s(self) -> float | None:
        """Seconds by which the gateway's clock was ahead of this machine's at its newest answer; None: not known."""


class OrderStream(Protocol):
    """The broker's stream of order events: reasons to read sooner, never evidence. All works without it."""

    def start(self) -> None:
        """Follow it in the background, and again whenever it ends."""

    def news(self) -> broker.StreamNews:
        """What was told since the last call; returns at once."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class BarsSaved:
    """What a save did: rows of new bars, of bars whose values changed, and of bars already there as they are."""

    inserted: int
    revised: int
    unchanged: int


class BarStore(FeatureStore, Protocol):
    """Bars of the system of record, in append-only versions."""

    def save_instruments(self, instruments: Sequence[Instrument]) -> None: ...

    def instruments(self, symbols: Sequence[str] | None = None) -> list[Instrument]:
        """Known instruments, by symbol. Raises InputError naming a symbol that is not known."""

    def save_bars(self, bars: pd.DataFrame, size: BarSize, *, source: str, known_from: datetime) -> BarsSaved:
        """Store bars as fetched. The same values again write nothing; other values close the old version."""

    def save_rejected(self, rows: pd.DataFrame, size: BarSize, *, source: str, known_from: datetime) -> None:
        """Keep rows that are no bars: any columns, of them `conid` (which may be missing) and `reason`."""

    def load_bars(
        self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime, *,
        is_validated: bool = False, has_verdicts: bool = False, has_versions: bool = True,
    ) -> pd.DataFrame:  # fmt: skip
        """Current versions opened in [start, end): BAR_COLUMNS, and with `has_versions` `version` and `row_sha` (hex).

        With `is_validated` only bars that passed validation; `has_verdicts` adds `is_accepted`. By conid and time.
        """

    def save_delays(self, bars: pd.DataFrame, size: BarSize, *, now: datetime) -> None:
        """Mark bars that came from a delayed feed (`availability`, `delay_s`), and unmark those that came without."""

    def load_marks(self, bars: pd.DataFrame, size: BarSize) -> pd.DataFrame:
        """What is known of these versions beside their values, for those of which anything is."""

    def input_faults(self, signals: Sequence[Signal], order_day: date | None = None) -> dict[Signal, str]:
        """Stored signals that do not rest on proven bars, or whose contract's hours of `order_day` are not certain."""

    def save_verdicts(self, size: BarSize, accepted: pd.DataFrame, quarantined: pd.DataFrame) -> None:
        """Store what validation said of these bar versions. `quarantined` has a column `reason` beside the bar."""

    def load_decisions(self, conids: Sequence[int], size: BarSize, start: datetime, end: datetime) -> pd.DataFrame:
        """What people decided on bars opened in [start, end): conid, opened_at, version, decision, found."""

    def save_gaps(
        self, size: BarSize, missing: Iterable[tuple[str, date]], *, conids: Sequence[int], sessions: Sequence[date]
    ) -> None:
        """Register the missing bars (symbol, session) among these instruments and sessions, and close the others."""

    def save_holds(self, suspects: pd.DataFrame) -> None:
        """Keep the instruments of these bar versions from trading until an operator resumes them."""

    def load_actions(self, conids: Sequence[int]) -> list[CorporateAction]:
        """Splits and special dividends that hold now, by conid and day."""


@dataclass(frozen=True, slots=True)
class StrategyRecord:
    """A strategy as the database keeps it: its newest version."""

    id: str
    version: int
    kind: str
    params: dict[str, Any]
    symbols: tuple[str, ...]
    bar_size: str
    schedule: str
    sizing: str
    risk: dict[str, Any]
    account: str | None
    is_enabled: bool
    is_dry_run: bool = False


class StrategyStore(Protocol):
    """Strategies and their signals in the system of record."""

    def save_strategies(self, records: Sequence[StrategyRecord], *, actor: str) -> int:
        """Store those that differ from what is there, each as a new version. Returns how many were written."""

    def strategies(self, *, is_enabled_only: bool = False) -> list[StrategyRecord]: ...

    def save_signals(
        self, signals: Sequence[Signal], *, dagster_run_id: str, mlflow_run_id: str | None,
        mlflow_page: str | None = None, bases: Mapping[Signal, Basis] = ...,
    ) -> int:  # fmt: skip
        """Store signals with what they rest on; the same content again writes nothing. Returns signals written."""

    def signals(self, session_date: date, strategy_id: str | None = None, *, since: date | None = None) -> list[Signal]:
        """Signals of one session, or of all sessions from `since` to it."""


@dataclass(frozen=True, slots=True)
class IntentRecord:
    """An intent as the ledger keeps it."""

    intent_id: str
    intent: OrderIntent
    client_order_id: str
    state: OrderState
    version: int
    filled: Decimal
    average_price: Decimal | None
    broker_order_id: str | None
    reason: str
    send_count: int
    is_new: bool = False


class IntentBook(Protocol):
    """The ledger as those who decide see it: propose, and read what became of it. Nothing here can send."""

    def propose(
        self,
        intent: OrderIntent,
        review: Callable[[OrderIntent, Exposure], Decision],
        *,
        now: datetime,
        dagster_run_id: str | None,
        created_by: str,
        limits: Limits | None = None,
    ) -> IntentRecord:
        """Store an intent with its risk decision, both in one transaction that holds the account's lock.

        `now` is the market clock. `review` is called with the exposure read under that lock, grouped by `limits`. The
        same decision again returns the stored record with `is_new=False` and calls nothing; with another payload it
        raises IdempotencyMismatch. An intent whose validity is past is stored as EXPIRED_UNSENT, never approved.
        """

    def plan_once(
        self,
        signals: Sequence[Signal],
        plan: Callable[[Sequence[Signal], dict[int, Decimal], Decimal], Sequence[OrderIntent]],
        *,
        account_ref: str,
        mode: Mode,
        dagster_run_id: str | None,
        sizing: Mapping[int, dict[str, Any]] | None = None,
    ) -> list[OrderIntent]:
        """The intents of one strategy's signals: planned and stored the first time, read back ever after.

        `plan` gets new signals, shares held and working by conid, and the NAV, under the account's lock; `sizing`, by
        conid, is kept with the plan. Raises Unavailable without a NAV, IdempotencyMismatch for a changed signal.
        """

    def intents(
        self,
        *,
        session_date: date | None = None,
        strategy_id: str | None = None,
        states: Sequence[OrderState] | None = None,
    ) -> list[IntentRecord]: ...

    def circumstances(self, intent: OrderIntent) -> Circumstances:
        """What is known of the order alone: its contract, its bars, its signal, the platform."""

    def average_true_range(self, conid: int, bar_end: datetime) -> Decimal | None:
        """In USD, over the twenty newest daily bars up to `bar_end`; None where there are not as many."""
