"""What goes wrong in a chaos run, drawn from its seed: which happening next, and how each fault is armed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ibkr_assets.execution.crashpoints import CRASH_POINTS

_PLACING = ["submit", "reply"]
#: How each fault is armed; a call draws its parameters. Faults that only a person ends, or that change the books of
#: the broker behind everybody's back, are in the tests of faults instead.
FAULTS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "F1": lambda chance: {"times": chance.randint(1, 3)},
    "F2": lambda chance: {"times": chance.randint(1, 3)},
    "F3": lambda chance: {"late_s": chance.uniform(0, 60)},
    "F4": lambda _: {"delay_s": 2.5},
    "F5": lambda chance: {"booked": chance.random() < 0.5, "delay_s": 0.2},
    "F6": lambda chance: {"ending": chance.choice(["end", "reset"])},
    "F7": lambda chance: {"form": chance.choice(["cut", "nan", "duplicate_keys", "latin1", "bom"])},
    "F8": lambda chance: {"routes": _PLACING, "form": chance.choice(["page", "redirect"])},
    "F9": lambda chance: {"form": chance.choice(["json_as_text", "text_as_json"])},
    "F10": lambda chance: {
        "booked": chance.random() < 0.5, "form": chance.choice(["empty", "204", "null", "list", "object"]),
    },
    "F11": lambda _: {},
    "F12": lambda _: {},
    "F14": lambda chance: {"chain": chance.randint(1, 5), "message_ids": [chance.choice(["o403", "o163", "o99999"])]},
    "F15": lambda chance: {"form": chance.choice(["not_found", "unavailable"])},
    "F16": lambda chance: {"chain": chance.randint(1, 3)},
    "F17": lambda _: {},
    "F18": lambda _: {},
    "F19": lambda _: {},
    "F20": lambda _: {"seconds": 1.0, "times": 1},
    "F21": lambda _: {"routes": _PLACING},
    "F22": lambda _: {},
    "F23": lambda _: {},
    "F24": lambda _: {},
    "F25": lambda _: {"routes": ["submit", "reply", "orders"]},
    "F26": lambda chance: {"closed_s": chance.uniform(0.1, 1.0), "times": 1},
    "F28": lambda chance: {"times": chance.randint(1, 3)},
    "F29": lambda chance: {"times": chance.randint(1, 3)},
    "F30": lambda chance: {"times": chance.randint(1, 3)},
    "F31": lambda chance: {"lag_s": chance.uniform(5, 30), "times": chance.randint(1, 5)},
    "F32": lambda chance: {"times": chance.randint(1, 5)},
    "F33": lambda chance: {"copies": chance.randint(1, 5), "times": chance.randint(1, 5)},
    "F34": lambda chance: {"times": chance.randint(1, 3)},
    "F38": lambda _: {},
    "F39": lambda chance: {"form": chance.choice(["inactive", "unknown"])},
}  # fmt: skip
#: A gateway that forgets which ids it has seen, and whatever makes a second sending tempting.
FORGETFUL = ("F13", "F3", "F1", "F2", "F5", "F28", "F30", "F31")
FAULTS_OF_FORGETFUL: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    **FAULTS,
    "F13": lambda chance: {"restarts": chance.random() < 0.5, "times": chance.randint(1, 3)},
    "F3": lambda chance: {"late_s": chance.uniform(0, 60), "times": chance.randint(1, 4)},
}

#: What a profile, or a choice of faults, is about: armed on every evening, and a run in which one never struck fails.
OWN_FAULTS = {"everything": (), "forgetful": ("F13", "F3")}

#: Drills: every submitter is told to die at a point that none has died at. What is armed so that a sending passes it:
DRILLS_OF_SENDING: dict[str, dict[str, Any] | None] = {
    "expire.done": None, "doubt.adopted": {"id": "F1"}, "doubt.adopting": {"id": "F1"}, "doubt.ended": {"id": "F2"},
    "doubt.observed": {"id": "F2"}, "question.asked": {"id": "F14"}, "question.begun": {"id": "F14"},
    "question.answered": {"id": "F14"}, "question.recorded": {"id": "F14"}, "send.not_sent": {"id": "F26"},
    "start.doubted": None, "send.chosen": None, "send.begun": None, "send.last_look": None, "send.answered": None,
    "send.recorded": None,
}  # fmt: skip
#: Points that are passed once the evening's orders are at work,
DRILLS_OF_WATCHING = (
    "watch.orders", "start.followed", "start.account", "start.read", "start.ready", "start.session", "start.leased",
)  # fmt: skip
#: when an operator wants some of them back,
DRILLS_OF_CANCELLING = ("cancel.begun", "cancel.answered")
#: and when the market opens.
DRILLS_OF_OPENING = (
    "watch.status", "account.compared", "account.stored", "watch.booked", "watch.trades", "start.booked",
)  # fmt: skip

#: After these nothing goes on for half a minute: the platform waits for a person.
_RARELY = dict.fromkeys(("F8", "F20", "F21", "F22"), 0.1)
#: An order that arrives after it was looked for, and an id that is forgotten, tempt most to a second order.
_OFTEN = dict.fromkeys(("F3", "F13"), 3.0)
_WEIGHTS = {**_RARELY, **_OFTEN}
_PASSED_SELDOM = ("start.", "doubt.", "question.", "expire.", "cancel.", "send.not", "account.")
#: Happenings and how often each is drawn.
HAPPENINGS = {
    "kill submitter": 4, "pause submitter": 3, "arm fault": 14, "kill gateway": 0.7, "pause gateway": 2,
    "restart gateway": 1, "lose session": 1, "compete": 0.4, "kill Postgres": 1, "cut Postgres": 2,
    "kill_cancel": 2, "kill file": 0.6,
}  # fmt: skip

#: The same where the lease is what everything is about.
HAPPENINGS_OF_THEFT = {"steal lease": 10.0, "pause submitter": 4.0, "arm fault": 2.0, "kill submitter": 0.5}


class Fate:
    """The seed's choices. The order of choices is the seed's; when each strikes is the machine's."""

    def __init__(
        self, seed: int, faults: Iterable[str], happenings: Mapping[str, float], *, is_forgetful: bool
    ) -> None:
        self.chance = random.Random(seed)
        self._table = FAULTS_OF_FORGETFUL if is_forgetful else FAULTS
        self._happenings = happenings
        self._faults = [fault for fault in faults if fault in self._table]
        self._points = list(CRASH_POINTS)
        self.chance.shuffle(self._points)
        self._seen: set[str] = set()

    def next_happening(self) -> str:
        return self.chance.choices(list(self._happenings), list(self._happenings.values()))[0]

    def pause_s(self, mean_s: float) -> float:
        return min(self.chance.expovariate(1 / mean_s), mean_s * 4)

    def fault(self) -> dict[str, Any] | None:
        """One fault, armed for one of the next chances."""
        if not self._faults:
            return None
        name = self.chance.choices(self._faults, [_WEIGHTS.get(fault, 1.0) for fault in self._faults])[0]
        return {"id": name, "nth": self.chance.randint(1, 3), **self._table[name](self.chance)}

    def arm(self, name: str) -> dict[str, Any]:
        """This fault, armed for one of the next two chances."""
        return {"id": name, "nth": self.chance.randint(1, 2), **self._table[name](self.chance)}

    def crash(self) -> str | None:
        """Where the next submitter kills itself; points that were never reached come first."""
        unseen = [point for point in self._points if point not in self._seen]
        if self.chance.random() < (0.15 if unseen else 0.35):
            return None
        point = unseen[0] if unseen and self.chance.random() < 0.8 else self.chance.choice(self._points)
        if unseen and point == unseen[0]:  # its turn comes again after the others
            self._points.remove(point)
            self._points.append(point)
        is_early = point in unseen or point.startswith(_PASSED_SELDOM)
        return f"{point}:{1 if is_early else self.chance.randint(1, 6)}"

    def note_reached(self, point: str) -> None:
        self._seen.add(point)

    def not_reached(self) -> list[str]:
        return [point for point in CRASH_POINTS if point not in self._seen]
