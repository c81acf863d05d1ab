"""What the sender looks at once a round beside its outbox: the ledger, the broker's session, the disk.

What goes here: when what is seen becomes an alert. What does not: SQL (`adapters.postgres.alert_sources`), and the
sending (`execution.alert_sender`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from ibkr_assets.domain.alert import Alert, AlertCode

#: A session that is mended within a minute is nobody's concern: IBKR's nightly reset takes longer, and is told once.
LOST_S = 60.0
#: What the submitter's row says is worth that long; older, and it is silent, which the watchdog tells.
_FRESH_S = 30.0
_FINE = ("working", "starting", "stopped")


class Ledger(Protocol):
    """What the ledger gives rise to. Both raise Unavailable and LedgerConflict."""

    def collect(self) -> None:
        """An alert of everything new in it."""

    def session(self) -> tuple[str, str, float] | None:
        """The submitter's status, why, and its age in seconds."""

    def spent_today(self) -> dict[str, Decimal]:
        """What language models cost today, in USD by strategy."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What may be spent on a language model: at most for one request, for one strategy and for all in a day, in USD."""

    call_usd: Decimal
    strategy_usd: Decimal
    day_usd: Decimal


class AlertRound:
    """One look at everything. `disk` gives free and all bytes of the data directory's disk, None where unknown."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        raise_alert: Callable[[Alert], bool],
        settle: Callable[..., int],
        disk: Callable[[], tuple[int, int] | None],
        least_free: tuple[float, float],
        monotonic: Callable[[], float],
        budgets: Spending | None = None,
    ) -> None:
        self._ledger = ledger
        self._raise_alert = raise_alert
        self._settle = settle
        self._disk = disk
        self._least_fraction, self._least_bytes = least_free
        self._monotonic = monotonic
        self._budgets = budgets
        self._lost_since: float | None = None
        self._open = {AlertCode.SESSION_LOST, AlertCode.DISK_LOW, AlertCode.BUDGET_SPENT}

    def look(self) -> None:
        """Once. Raises Unavailable and LedgerConflict."""
        self._ledger.collect()
        self._look_at_session()
        self._look_at_disk()
        if self._budgets is not None:
            self._look_at_budgets(self._budgets)

    def _look_at_session(self) -> None:
        found = self._ledger.session()
        if found is None or found[2] > _FRESH_S:
            return
        status, detail, _ = found
        if status in _FINE:
            self._lost_since = None
            self._end(AlertCode.SESSION_LOST)
            return
        now = self._monotonic()
        if self._lost_since is None:
            self._lost_since = now
        if status == "login required" or now - self._lost_since >= LOST_S:
            self._open.add(AlertCode.SESSION_LOST)
            self._raise_alert(
                Alert(AlertCode.SESSION_LOST, "submitter", f"nothing is sent: {status}, {detail}", {"status": status})
            )

    def _look_at_disk(self) -> None:
        found = self._disk()
        if found is None:
            return
        free, size = found
        if free < self._least_bytes or free < self._least_fraction * size:
            self._open.add(AlertCode.DISK_LOW)
            text = f"{free / 1e9:.1f} GB of {size / 1e9:.1f} GB are free where the data directory is; orders are denied"
            self._raise_alert(Alert(AlertCode.DISK_LOW, "data_dir", text, {"free_bytes": free}))
        else:
            self._end(AlertCode.DISK_LOW)

    def _look_at_budgets(self, budgets: Spending) -> None:
        """A budget counts as spent when the dearest request that is allowed does not fit any more."""
        spent = self._ledger.spent_today()
        found = {
            f"strategy {name}": f"{usd:.2f} of {budgets.strategy_usd:.2f} USD are spent on a language model by {name}"
            for name, usd in spent.items()
            if usd + budgets.call_usd > budgets.strategy_usd
        }
        if (total := sum(spent.values(), Decimal(0))) + budgets.call_usd > budgets.day_usd:
            found["day"] = f"{total:.2f} of {budgets.day_usd:.2f} USD are spent on language models today"
        for subject, text in found.items():
            self._open.add(AlertCode.BUDGET_SPENT)
            self._raise_alert(Alert(AlertCode.BUDGET_SPENT, subject, f"{text}; what asks them holds"))
        if AlertCode.BUDGET_SPENT in self._open:
            self._settle(AlertCode.BUDGET_SPENT, keep=tuple(found))

    def _end(self, code: AlertCode) -> None:
        if code in self._open:
            self._settle(code)
            self._open.discard(code)
