"""The one process that sends orders: takes the lease, finds the truth, then works until it is stopped.

What goes here: the outer loop, the lease, the heartbeat and what happens when a peer is away. What does not: the
start (`reconcile`) and the work (`watch`). Crash-only: whatever went wrong, the way on is the same full start.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ibkr_assets.domain.errors import (
    BrokerRefusal,
    LedgerConflict,
    LoginRequired,
    NotTrusted,
    ShutOut,
    Unavailable,
    UnreadableAnswer,
)
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.execution.crashpoints import reach
from ibkr_assets.execution.gatekeeper import refused
from ibkr_assets.execution.heartbeat import Heartbeat
from ibkr_assets.execution.keep_alive import KeepAlive, require_session
from ibkr_assets.execution.kill import asks_to_cancel
from ibkr_assets.execution.reconcile import reconcile
from ibkr_assets.execution.repeats import Repeats
from ibkr_assets.execution.seat import Seat, SubmitterOptions, log
from ibkr_assets.execution.unrecorded_cancel import cancel_without_ledger
from ibkr_assets.execution.watch import Watch
from ibkr_assets.risk.changes import changed, tighter

if TYPE_CHECKING:
    from ibkr_assets.domain.broker import OrderTicket
    from ibkr_assets.execution.gatekeeper import Gatekeeper
    from ibkr_assets.execution.ledger import AccountLedger
    from ibkr_assets.ports import Broker, Clock, OrderStream
    from ibkr_assets.risk.limits import Limits

FIRST_WAIT_S = 0.5
_BEAT_EVERY_S = 1.0
#: Between two rounds of cancels that nothing records, while the ledger is away.
_CANCEL_EVERY_S = 15.0
_NOT_LOOKED = object()


class StopRequested(Exception):
    """The submitter was asked to stop while it waited."""


class Submitter:
    """The submitter of one account. `describe` gives the exact request of a ticket, without the account's id.

    With a `stream`, what it tells is read at once instead of at the next usual time. `newest_limits` gives the limits
    that any process of a mode was last seen to use: tighter ones bind this one at once, looser ones from its
    next start.
    """

    def __init__(
        self,
        *,
        account: str,
        mode: Mode,
        broker: Broker,
        ledger: AccountLedger,
        clock: Clock,
        options: SubmitterOptions,
        describe: Callable[[OrderTicket], dict[str, Any]],
        stream: OrderStream | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] | None = None,
        gatekeeper: Gatekeeper | None = None,
        newest_limits: Callable[[Mode], Limits | None] | None = None,
    ) -> None:
        self._account = account
        self._account_ref = account_ref(account)
        self._mode = mode
        self._broker = broker
        self._ledger = ledger
        self._clock = clock
        self._options = options
        self._describe = describe
        self._stream = stream
        self._keeper = KeepAlive(broker, every_s=options.keep_alive_every_s, monotonic=monotonic)
        self._monotonic = monotonic
        self._trouble = Repeats(log, monotonic)
        self._say = say or _say
        self._gatekeeper = gatekeeper
        self._newest_limits = newest_limits or (lambda _mode: None)
        self._noted: object = _NOT_LOOKED
        self._heart = Heartbeat(ledger.lease)
        self._cancelled_at = float("-inf")
        self._epoch: int | None = None
        self._was_ready = False
        self._is_stream_up = False
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Peers that are away are waited for; a wrong configuration is raised.

        So is NotTrusted: a gateway with another certificate is not asked again.
        """
        self._stop = stop
        self._heart.start()
        try:
            self._run()
        finally:
            self._heart.stop()
            if self._stream is not None:
                self._stream.close()
            self._keeper.stop()
            self._ledger.lease.release()

    def _run(self) -> None:
        stop, failures = self._stop, 0
        while not stop.is_set():
            self._was_ready = False
            try:
                self._work()
            except StopRequested:
                break
            except NotTrusted as error:
                log.error("the gateway is not who it must be; nothing is sent to it: %s", error)
                raise
            except LoginRequired as error:
                self._trouble.tell(logging.ERROR, f"a person is needed: {error}")
                self._wait_after("login required", str(error), self._options.longest_wait_s)
            except ShutOut as error:
                self._kill_if_in_doubt(str(error))
                self._trouble.tell(logging.ERROR, f"shut out for too many requests: {error}")
                self._wait_after("shut out", str(error), self._options.longest_wait_s)
            except (Unavailable, BrokerRefusal, UnreadableAnswer, LedgerConflict) as error:
                failures = 1 if self._was_ready else failures + 1
                longest_s = self._options.longest_wait_s
                wait_s = min(longest_s, FIRST_WAIT_S * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
                self._trouble.tell(logging.WARNING, f"nothing is sent; trying again in {wait_s:.1f} s: {error}")
                self._wait_after("away", str(error), wait_s)

    def _work(self) -> None:
        seat = self._take_seat()
        looks = reconcile(seat, self._pause)
        watch = Watch(seat, looks)
        self._was_ready = True
        self._say(f"ready submitter {self._account_ref} epoch={seat.epoch}")
        due_renew = self._monotonic()
        while not self._stop.is_set():
            now = self._monotonic()
            if now >= due_renew:
                self._ledger.lease.renew(seat.epoch)
                due_renew = now + self._options.lease_s / 4
                self._heed_limits()
            require_session(self._keeper.supervise(), seat.gateway_session)
            seat.require_session()
            self._hear(watch)
            market_at = watch.turn()
            status = "working" if self._keeper.is_healthy else "keep-alive dead"
            self._heart.say(status, detail=self._describe_peers(), epoch=seat.epoch, market_at=market_at)
            self._ledger.lease.wait(self._options.poll_interval_s)
        self._heart.say("stopped", epoch=seat.epoch)
        raise StopRequested

    def _take_seat(self) -> Seat:
        """The lease, an open session and permission to start. Waits while another writer lives.

        Nothing of the mode is written before it is permitted: a refused start must not make a database live for life.
        """
        if self._gatekeeper is not None:
            self._gatekeeper.require_role()
        epoch = self._ledger.lease.acquire(f"{socket.gethostname()}:{os.getpid()}", self._options.lease_s)
        if epoch is None:
            raise Unavailable(f"another submitter holds the lease of {self._account_ref}")
        self._epoch = epoch
        self._heart.say("starting", epoch=epoch)
        reach("start.leased")
        status = self._broker.open_session()
        if not status.is_ready:
            raise Unavailable(f"the brokerage session is not ready: {status.message or 'no reason given'}")
        if self._gatekeeper is not None:
            self._gatekeeper.admit(self._broker.identity())
        try:
            self._ledger.lease.register(self._account, self._mode)
        except LedgerConflict as error:
            raise refused(error, self._mode) from error
        gateway_session = self._broker.session_id()
        self._keeper.begin()
        if self._stream is not None:
            self._stream.start()
        reach("start.session")
        return Seat(
            account=self._account,
            account_ref=self._account_ref,
            mode=self._mode,
            epoch=epoch,
            gateway_session=gateway_session,
            broker=self._broker,
            ledger=self._ledger,
            clock=self._clock,
            options=self._options,
            describe=self._describe,
            monotonic=self._monotonic,
            openings=self._broker.openings(),
        )

    def _heed_limits(self) -> None:
        """Limits that another process began to use bind here too where they are tighter; then all begins anew.

        Raises Unavailable when they do. What was in use before this process began was replaced by its own start.
        """
        noted, newest = self._noted, self._newest_limits(self._mode)
        self._noted = newest
        if noted is _NOT_LOOKED or newest is None or newest == noted:
            return
        bound = tighter(newest, self._options.limits)
        if names := changed(self._options.limits, bound):
            self._options = replace(
                self._options,
                limits=bound,
                max_order_value_usd=bound.max_order_value_usd,
                price_collar_fraction=bound.price_collar_fraction,
            )
            raise Unavailable(f"limits were tightened: {', '.join(names)}; everything begins anew under them")

    def _hear(self, watch: Watch) -> None:
        if self._stream is None:
            return
        news = self._stream.news()
        self._is_stream_up = news.is_up
        if news.is_troubled:
            self._keeper.hurry()
        watch.hear(news)

    def _describe_peers(self) -> str:
        """What a person wants to know beside `working`."""
        age_s = self._keeper.age_s()
        kept = "no keep-alive yet" if age_s is None else f"keep-alive {age_s:.0f} s ago"
        restarts = f", its thread started again {self._keeper.restarts} times" if self._keeper.restarts else ""
        stream = "" if self._stream is None else f", order stream {'up' if self._is_stream_up else 'down'}"
        return f"{kept}{restarts}{stream}"

    def _kill_if_in_doubt(self, reason: str) -> None:
        """Nobody can look for an order while the gateway answers nothing, so nothing is added to what is in doubt."""
        try:
            if self._ledger.permission.kill(f"orders are in doubt, and {reason}", is_only_in_doubt=True):
                log.error("the account is killed: orders are in doubt, and %s", reason)
        except (Unavailable, LedgerConflict) as error:
            log.error("the account could not be killed: %s", error)

    def _wait_after(self, status: str, detail: str, seconds: float) -> None:
        """Keep the heartbeat going while nothing is sent."""
        deadline = self._monotonic() + seconds
        while not self._stop.is_set():
            try:
                self._heart.say(status, detail=detail, epoch=self._epoch)
            except (Unavailable, LedgerConflict) as error:
                log.debug("no heartbeat: %s", error)
                self._cancel_without_ledger()
            left_s = deadline - self._monotonic()
            if left_s <= 0:
                return
            self._stop.wait(min(left_s, _BEAT_EVERY_S))

    def _cancel_without_ledger(self) -> None:
        """The ledger is away: what the kill file asks for is done all the same, as far as this process was admitted."""
        now = self._monotonic()
        if self._epoch is None or now - self._cancelled_at < _CANCEL_EVERY_S:
            return
        if asks_to_cancel(self._options.kill_file) and self._mode is not Mode.DRY_RUN:
            self._cancelled_at = now
            cancel_without_ledger(self._broker)

    def _pause(self, seconds: float) -> None:
        if self._epoch is not None:
            self._heart.say("starting", epoch=self._epoch)
        if self._stop.wait(seconds):
            raise StopRequested


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
