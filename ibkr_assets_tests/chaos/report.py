"""The one table at the end of a chaos run, and what to type to have it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ibkr_assets.execution.crashpoints import CRASH_POINTS
from ibkr_assets_tests.chaos.run import Options, Outcome

_MOST = 10


def print_outcome(outcome: Outcome, say: Callable[[str], None]) -> None:
    """Counts first, then whatever is wrong."""
    options, found = outcome.options, outcome.comparison
    reached = {name: outcome.kills[name] for name in CRASH_POINTS if outcome.kills[name]}
    table = {
        "seed": str(options.seed),
        "profile": options.profile,
        "orders (distinct decisions)": str(options.orders),
        "accepted at the gateway": f"{found.accepted} of {outcome.meant} that were meant to leave",
        "executions": str(found.executions),
        "ended as": _counts(found.states),
        "kills -9": f"{outcome.kills.total()}, {outcome.kills['at any moment']} of them at any moment",
        "kills per named point": _counts(Counter(reached)),
        "points reached": f"{len(reached)} of {len(CRASH_POINTS)}",
        "points never reached": ", ".join(outcome.not_reached) or "none",
        "happenings": _counts(outcome.happenings),
        "leases stolen": str(outcome.happenings["steal lease"]),
        "faults struck": f"{outcome.struck.total()}: {_counts(outcome.struck)}",
        "sent twice under one id": str(found.sent_twice),
        "second arrivals refused": str(found.refused_again),
        "resumed by the operator": str(outcome.resumed),
        "duplicates": str(len(found.duplicates)),
        "lost": str(len(found.lost)),
        "differences": str(len(found.differences)),
        "violations": str(len(found.violations)),
        "not ended after calm": f"{len(found.unfinished)} ({outcome.calm_took_s:.1f} s of calm)",
        "seconds": f"{outcome.seconds:.0f}",
    }
    width = max(len(name) for name in table)
    say("")
    for name, value in table.items():
        say(f"{name:<{width}}  {value}")
    wrong = (*found.duplicates, *found.lost, *found.differences, *found.violations, *found.unfinished)
    for line in (*outcome.troubles, *wrong)[: _MOST * 3]:
        say(f"WRONG  {line}")
    if not outcome.is_good:
        say(f"the submitters' log is in {outcome.directory}; the same choices again: {replay_command(options)}")


def replay_command(options: Options) -> str:
    """What makes the same choices again. When each strikes is the machine's, so a failure may need several tries."""
    words = [f"make chaos N={options.orders} SEED={options.seed}"]
    more = [f"--profile {options.profile}"] if options.is_forgetful else []
    more += [f"--faults {','.join(options.faults)}"] if options.faults else []
    more += [f"--thefts {options.thefts}"] if options.thefts else []
    more += [f"--pace {options.pace:g}"] if options.pace != Options.pace else []
    more += [f"--every {options.every_s:g}"] if options.every_s != Options.every_s else []
    return " ".join([*words, f'ARGS="{" ".join(more)}"'] if more else words)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()) if count) or "none"
