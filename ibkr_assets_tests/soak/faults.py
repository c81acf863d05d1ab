"""Which fault strikes on which day of a soak, and where.

What goes here: the plan, the same for every run. What does not: arming it (`run`). A fault by day strikes a collection
of one symbol that nobody trades, so that what it spoils is the same in every run; one of the evening strikes the
first order that leaves, or the lists that are read of it. Those that only a person ends, or that change the broker's
books behind everybody's back, come on the last evening.
"""

from __future__ import annotations

from typing import Any

_HISTORY = {"routes": ["history"], "times": 1}
#: Faults of transport, session and data, armed before a collection.
BY_DAY: tuple[dict[str, Any], ...] = (
    {"id": "F4", "delay_s": 2.5, **_HISTORY}, {"id": "F5", "delay_s": 0.2, **_HISTORY}, {"id": "F6", **_HISTORY},
    {"id": "F8", **_HISTORY}, {"id": "F9", **_HISTORY}, {"id": "F10", **_HISTORY},
    {"id": "F20", "seconds": 1.0, **_HISTORY}, {"id": "F21", **_HISTORY}, {"id": "F22", **_HISTORY},
    {"id": "F23", **_HISTORY}, {"id": "F24", **_HISTORY}, {"id": "F25", **_HISTORY},
    {"id": "F26", "closed_s": 0.5, **_HISTORY}, {"id": "F44", "shape": "text", **_HISTORY},
    {"id": "F47", "how": "contradicting", **_HISTORY}, {"id": "F48", "factor": 0.5, **_HISTORY},
    {"id": "F49", "times": 1}, {"id": "F50", "skew_s": 5.0, **_HISTORY},
    {"id": "F53", "how": "giant", "megabytes": 20, **_HISTORY}, {"id": "F54", **_HISTORY},
)  # fmt: skip
#: Faults of one order and of the lists, of which the platform is rid by itself; armed before a decision.
BY_EVENING: tuple[dict[str, Any], ...] = (
    {"id": "F1"}, {"id": "F2"}, {"id": "F3", "late_s": 0.0}, {"id": "F6", "ending": "reset"}, {"id": "F7"},
    {"id": "F10", "form": "null", "booked": True}, {"id": "F11"}, {"id": "F12"}, {"id": "F14", "chain": 2},
    {"id": "F16"}, {"id": "F19"}, {"id": "F28"}, {"id": "F29", "times": 2}, {"id": "F30"},
    {"id": "F31", "times": 2}, {"id": "F33", "times": 2}, {"id": "F34", "times": 2}, {"id": "F41", "times": 2},
    {"id": "F5", "booked": True, "delay_s": 0.2},
)  # fmt: skip
#: The others, all at once; F15 and F17 strike replies, which F14 provokes. F38 and F39 strike cancels. F52 needs TLS.
ON_THE_LAST_EVENING: tuple[dict[str, Any], ...] = (
    {"id": "F13"}, {"id": "F14", "nth": 2}, {"id": "F15"}, {"id": "F17"}, {"id": "F18", "nth": 3},
    {"id": "F32", "times": 2}, {"id": "F35"}, {"id": "F36", "times": 1}, {"id": "F37"}, {"id": "F38"}, {"id": "F39"},
    {"id": "F40"}, {"id": "F42"}, {"id": "F43", "nth": 4}, {"id": "F45", "times": 1}, {"id": "F46", "times": 1},
    {"id": "F51", "times": 2}, {"id": "F27"},
)  # fmt: skip
