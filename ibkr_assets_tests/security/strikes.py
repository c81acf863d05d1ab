"""Every fault of the gateway's table, struck once against the platform with planted secrets; and all that it then says.

What goes here: what each fault is armed with and what makes it strike, the parts of the platform, and what they wrote.
What does not: what is searched for and how (`canaries`), and where the platform must end (`ibkr_assets_tests.faults`).

The submitter, the process that tells people, the pages and the asset of bars are the platform's own code over one
database, in one process with its logging as a process configures it. Faults that stop the account come last. F52,
another certificate, needs a gateway that has one.
"""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from ibkr_assets.cli.alert_sender import build_sender
from ibkr_assets.definitions import build
from ibkr_assets.domain.errors import InputError
from ibkr_assets.domain.order import OrderState
from ibkr_assets.settings import Settings
from ibkr_assets_tests.faults.trading import Trading
from ibkr_assets_tests.simulator.clients import connect

_S = OrderState
_SETTLED = frozenset({_S.WORKING, _S.FILLED, _S.REJECTED, _S.DENIED, _S.CANCELLED, _S.NOT_PLACED, _S.EXPIRED_UNSENT})
#: With hurried seconds a machine that is busy keeps the session alive too late by the submitter's own measure.
_AT_WORK = ("working", "keep-alive dead")
_BOUND_S = 6.0
_OPEN, _CANCEL, _NIGHT = "open", "cancel", "night"
_LISTS = ["orders", "trades", "snapshot"]
_HISTORY = {"routes": ["history"]}


@dataclass(frozen=True)
class Strike:
    """`spec` is how the fault is armed before a decision, `after` what else has to happen before it can strike.

    `beside` are faults that make room for it; `bars` is how it is armed before bars are fetched.
    """

    spec: dict[str, Any] | None = field(default_factory=dict)
    after: str = ""
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    bars: dict[str, Any] | None = None


def _bars(**spec: Any) -> Strike:
    return Strike(None, bars={**_HISTORY, **spec})


_LOST = {"F1": {}}
PLAN: dict[str, Strike] = {
    "F1": Strike(), "F2": Strike(), "F3": Strike({"late_s": 0.0}), "F4": Strike({"delay_s": 0.6}),
    "F5": Strike({"delay_s": 0.1}, bars={**_HISTORY, "delay_s": 0.1}), "F6": Strike(bars=_HISTORY), "F7": Strike(),
    "F8": Strike({"routes": ["submit"]}, bars=_HISTORY), "F9": Strike(bars=_HISTORY), "F10": Strike(bars=_HISTORY),
    "F11": Strike(), "F12": Strike(), "F13": Strike(), "F14": Strike({"message_ids": ["o10331"]}),
    "F15": Strike(beside={"F14": {}}), "F16": Strike(), "F17": Strike(beside={"F14": {}}), "F18": Strike(),
    "F19": Strike(), "F20": Strike({"seconds": 60.0}), "F21": Strike({"routes": ["submit"]}, bars=_HISTORY),
    "F22": Strike({"routes": _LISTS}), "F23": Strike({"routes": ["orders"]}), "F24": Strike({"routes": _LISTS}),
    "F25": Strike({"routes": ["submit"]}), "F26": Strike(), "F27": Strike(after=_NIGHT),
    "F28": Strike({"times": 2}, beside=_LOST), "F29": Strike({"working": True, "times": 2}, beside=_LOST),
    "F30": Strike({"times": 2}, beside=_LOST), "F31": Strike({"times": 2}, beside=_LOST),
    "F32": Strike({"times": 2}, _OPEN), "F33": Strike({"times": 2}, _OPEN), "F34": Strike({"times": 2}, _OPEN),
    "F35": Strike({"price": 100.5}, _OPEN), "F36": Strike({"times": 1}, _OPEN), "F37": Strike(),
    "F38": Strike({}, _CANCEL), "F39": Strike({}, _CANCEL), "F41": Strike({"times": 2}),
    "F44": Strike({"shape": "garbled", "routes": ["trades"], "fields": ["size", "price"]}, _OPEN, bars=_HISTORY),
    "F45": Strike({"times": 1}), "F46": Strike({"times": 1}), "F47": _bars(how="contradicting"),
    "F48": _bars(factor=0.5), "F49": _bars(factor=1.5), "F50": Strike({"skew_s": 86_400.0}), "F51": Strike(),
    "F53": Strike({"how": "giant", "megabytes": 9, "routes": ["submit"]}, bars={**_HISTORY, "megabytes": 9}),
    "F54": Strike({"times": 5}, bars=_HISTORY),
    "F42": Strike(), "F43": Strike({"routes": ["orders"]}, beside={"F40": {}}),
}  # fmt: skip


class Told(logging.Handler):
    """Log records as they were meant, before anything is taken out of them: their words and their tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.lines.append(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            self.lines += traceback.format_exception(record.exc_info[1])


@dataclass
class Platform:
    """What runs. `written` is what its logging wrote, `told` the same before secrets were taken out."""

    trading: Trading
    settings: Settings
    directory: Path
    written: io.StringIO
    told: Told
    events: list[str] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    struck: dict[str, int] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=lambda: {"lines": 0, "words": 0, "events": 0})

    def new_lines(self) -> str:
        """What was written since the last look."""
        text = self.written.getvalue()
        begin, self._seen["lines"] = self._seen["lines"], len(text)
        return text[begin:]

    def new_words(self) -> str:
        """What was meant since the last look."""
        return self._since("words", self.told.lines)

    def new_events(self) -> str:
        """What Dagster kept since the last look."""
        return self._since("events", self.events)

    def _since(self, kind: str, all_of_it: list[str]) -> str:
        begin, self._seen[kind] = self._seen[kind], len(all_of_it)
        return "\n".join(all_of_it[begin : self._seen[kind]])

    def strike(self, fault_id: str) -> None:
        """Arm it, do what makes it strike, and mend what it left."""
        plan = PLAN[fault_id]
        for name in (fault_id, *plan.beside):
            self.struck.setdefault(name, 0)
        self.trading.begin_days_of_our_own()
        if plan.bars is not None:
            self._arm(fault_id, plan.bars)
            self._fetch_bars()
            self._disarm()
        if plan.spec is not None:
            for other, spec in plan.beside.items():
                self.trading.gateway.arm_fault(other, **spec)
            self._arm(fault_id, plan.spec)
            self._decide(fault_id, plan.after)
            self._disarm()
        self._mend()

    def _arm(self, fault_id: str, spec: dict[str, Any]) -> None:
        if fault_id == "F51":
            spec = {**spec, "closes_at": (self.trading.evening - timedelta(hours=5)).isoformat(), "times": 1}
        self.trading.gateway.arm_fault(fault_id, **spec)

    def _disarm(self) -> None:
        for fault in self.trading.gateway.admin("GET", "/admin/fault"):
            if fault["id"] in self.struck:
                self.struck[fault["id"]] += int(fault["struck"])
            self.trading.gateway.disarm_fault(fault["id"])

    def _decide(self, fault_id: str, after: str) -> None:
        """An order, and what else it takes; until the fault has struck and the order stands somewhere."""
        trading = self.trading
        record = trading.propose(strategy_id=f"s{fault_id}")
        if after == _NIGHT:
            morning = trading.next_open.astimezone(ZoneInfo("America/New_York"))
            trading.gateway.set_clock(morning.replace(hour=1, minute=5))
        elif after:
            self._wait(lambda: trading.record(record).state in _SETTLED)
            if after == _OPEN:
                trading.open_market()
            else:
                self._control("kill_cancel")
        self._wait(lambda: trading.struck(fault_id) > 0)
        trading.gateway.step_clock(90)  # what shuts the gateway for a minute is over
        self._wait(lambda: trading.record(record).state in _SETTLED, bound_s=1.5)

    def _fetch_bars(self) -> None:
        """The asset of bars, as a run of Dagster; everything that Dagster would keep of it."""
        with dg.DagsterInstance.ephemeral() as instance:
            definitions = build(lambda: self.settings)
            result = dg.materialize(
                list(definitions.assets or ()), selection=dg.AssetSelection.assets("raw_bars"),
                resources=dict(definitions.resources or {}), instance=instance, raise_on_error=False,
                partition_key=str(self.trading.evening.date()),
            )  # fmt: skip
            run = instance.get_run_by_id(result.run_id)
            assert run is not None
            self.events += [str(run.tags), str(run.run_config)]
            self.events += [entry.to_json() for entry in instance.all_logs(result.run_id)]

    def _mend(self) -> None:
        """A person logs in again, cancels what works, and lets go on what was stopped."""
        trading = self.trading
        trading.gateway.set_session("ok")
        self._wait(lambda: trading.status() in _AT_WORK)
        with connect(trading.gateway) as api:
            self.sessions.add(str(api.post("/tickle").json()["session"]))
            api.cancel(-1)
        with trading.database.connect() as connection:
            killed = connection.execute(
                "select distinct c.scope from oms.control c where c.action like 'kill%' and not exists (select from "
                "oms.control r where r.scope = c.scope and r.action = 'resume' and r.control_id > c.control_id)"
            ).fetchall()
        for (scope,) in killed:
            self._wait(lambda scope=scope: self._control("resume", scope))

    def _control(self, action: str, scope: str = "global") -> bool:
        from ibkr_assets.adapters.postgres.ledger import PostgresLedger

        try:
            PostgresLedger(self.trading.database).control(
                action, scope=scope, actor="operator", session=f"of {action}", reason="a drill"
            )
        except InputError:
            return False
        return True

    def _wait(self, condition: Any, bound_s: float = _BOUND_S) -> None:
        """Until it holds; what does not come is seen by what did not strike."""
        deadline = time.monotonic() + bound_s
        while not condition() and time.monotonic() < deadline:
            if self.trading.failure is not None:
                raise self.trading.failure
            time.sleep(0.02)


@contextlib.contextmanager
def telling(settings: Settings) -> Iterator[None]:
    """The process that tells people, while the block lasts."""
    stop = threading.Event()
    sender = build_sender(settings, every_s=0.2)
    thread = threading.Thread(target=sender.run, args=(stop, lambda _: None), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
