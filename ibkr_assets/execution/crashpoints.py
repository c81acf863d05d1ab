"""Named places at which a process can be told to kill itself, to prove that it may die anywhere.

What goes here: the names, and the killing. What does not: a decision whether to; `settings` refuses it outside mode
sim. `IBKR_ASSETS_CRASH=<name>:<n>` kills at the n-th pass, with SIGKILL, so that nothing is tidied up.
"""

from __future__ import annotations

import os
import signal

from ibkr_assets.domain.errors import ConfigurationError

CRASH_POINTS: dict[str, str] = {
    "start.leased": "start-up: the lease is taken, nothing has been read",
    "start.session": "start-up: the gateway's session is open",
    "start.doubted": "start-up: orders left in flight are in doubt",
    "start.read": "start-up: orders and executions are read, nothing is stored",
    "start.booked": "start-up: executions are stored",
    "start.followed": "start-up: orders stand as the broker's list says",
    "start.account": "start-up: positions and cash are compared",
    "start.ready": "start-up: the run is closed, nothing has been sent",
    "send.chosen": "an approved order is next, nothing is written",
    "send.begun": "the wire call is committed, not one byte has left",
    "send.last_look": "the last look allowed it, not one byte has left",
    "send.answered": "the broker has answered, nothing of it is stored",
    "send.recorded": "the answer is stored",
    "send.not_sent": "it is stored that nothing left, the order is still in doubt",
    "question.asked": "a question is stored, no answer is chosen",
    "question.begun": "the answer is committed, not one byte of it has left",
    "question.answered": "the broker has answered the reply, nothing of it is stored",
    "question.recorded": "what the reply came to is stored",
    "cancel.begun": "a cancel is committed, not one byte has left",
    "cancel.answered": "the broker has answered the cancel, nothing of it is stored",
    "watch.status": "a changed order status is read, nothing is stored",
    "watch.trades": "executions are read, nothing is stored",
    "watch.booked": "executions are stored",
    "watch.orders": "the order list is read, nothing is stored",
    "doubt.observed": "a look that did not show the order is stored",
    "doubt.adopting": "an order in doubt was found, nothing is stored",
    "doubt.adopted": "an order in doubt stands as the broker has it",
    "doubt.ended": "an order in doubt is proven absent and stored so",
    "account.compared": "cash and positions are compared, nothing is stored",
    "account.stored": "a snapshot of the account is stored",
    "expire.done": "orders past their validity are ended",
}

_armed: dict[str, int] = {}


def arm(spec: str | None) -> None:
    """Choose the point and the pass, `name:n` with n from 1; None chooses none. Raises ConfigurationError."""
    _armed.clear()
    if not spec:
        return
    name, _, count = spec.partition(":")
    if name not in CRASH_POINTS:
        raise ConfigurationError(f"crash: unknown point {name!r}; `ibkr-assets crashpoints` lists them")
    if not (count or "1").isdigit() or int(count or "1") < 1:
        raise ConfigurationError(f"crash: the pass of {name} must be a number from 1, got {count!r}")
    _armed[name] = int(count or "1")


def die() -> None:
    """End this process as `kill -9` does: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


def reach(name: str) -> None:
    """Pass a named point; at the armed pass the process ends here, as by `kill -9`."""
    if name not in CRASH_POINTS:
        raise KeyError(name)
    left = _armed.get(name)
    if left is None:
        return
    if left == 1:
        die()
    _armed[name] = left - 1
