"""What a soak came to: exceptions in every log, memory, the hash of what was decided and done, and what a run costs.

What goes here: reading and reckoning. What does not: the days (`run`). The hash covers business events alone: every
signal (session, strategy, symbol, direction, strength, price, reason), every intent (session, strategy, symbol, side,
quantity, limit, how it ended, filled, average price) and every fill of the gateway's ledger (symbol, side, quantity,
price, market time), of all sessions but the last evening's, whose faults need a person. No ids, no machine's times.
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ibkr_assets.adapters.postgres.invariants import check_invariants
from ibkr_assets.domain import errors
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets_tests.security import canaries
from ibkr_assets_tests.soak.run import Options, Soaked
from ibkr_assets_tests.soak.stage import Stage

_TRACE = "Traceback (most recent call last)"
_RAISED = re.compile(
    r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Unavailable|Required|Refusal|Answer|Conflict|Out|Lasts)\w*)\b"
)
#: Errors that the platform knows by name and has an answer to.
FORESEEN = frozenset(name for name in vars(errors) if isinstance(getattr(errors, name), type)) | {
    "PacedOut",
    "PenaltyLasts",
    "GatewayNotTrusted",
}


@dataclass
class Report:
    """The figures of one soak."""

    options: Options
    seconds: float
    digest: str
    signals: int
    intents: dict[str, int]
    fills: int
    minutes: int
    unforeseen: dict[str, int]
    tracebacks: dict[str, int]
    growth: dict[str, tuple[float, float, float]]
    ticks: dict[str, dict[str, float]]
    struck: dict[str, int]
    not_struck: list[str]
    ended: dict[str, int]
    restarts: dict[str, int]
    lifted: int
    broken: list[str]
    hits: list[str]
    places: int
    events: list[list[Any]] = field(repr=False, default_factory=list)

    @property
    def is_good(self) -> bool:
        """No exception that was not foreseen, no process that had to be started again, no invariant broken."""
        return not self.unforeseen and not any(self.restarts.values()) and not self.hits


def make_report(stage: Stage, done: Soaked) -> Report:
    """Everything, while the stack still stands."""
    last = done.sessions[-1]
    closed_at = exchange_calendar("XNYS").session(last).closes_at
    signals = stage.rows(
        "select session_date, strategy_id, symbol, direction, strength, reference_price, reason "
        "from research.current_signal order by 1, 2, 3"
    )
    intents = stage.rows(
        "select session_date, strategy_id, symbol, side, quantity, limit_price, state, filled, average_price "
        "from oms.order_intent where mode = 'sim' order by 1, 2, 3, 4"
    )
    ledger = [row for row in stage.gateway.ledger() if row["event"] == "fill"]
    until = max(str(row["t_virtual"]) for row in ledger) if ledger else ""
    fills = sorted(
        [row["t_virtual"], row["conid"], row["side"], row["qty"], row["price"]]
        for row in ledger
        if not done.options.with_faults or datetime.fromisoformat(row["t_virtual"]) <= closed_at
    )
    kept = [["signal", *map(str, row)] for row in signals if not done.options.with_faults or row[0] < last] + [
        ["intent", *map(str, row)] for row in intents if not done.options.with_faults or row[0] < last
    ]
    kept += [["fill", *map(str, row)] for row in fills]
    (minutes,) = stage.rows("select count(*) from md.bar where bar_size = '1min' and known_to is null")[0]
    unforeseen, tracebacks = read_logs(
        [*sorted((stage.data_dir / "logs").glob("*")), *stage.data_dir.parent.glob("*.log")]
    )
    unforeseen += read_failures(stage)
    secrets = canaries.planted(stage.data_dir, stage.gateway.token, done.gateway_sessions)
    hits, places = canaries.search(stage.data_dir, stage.state(), stage.link(), secrets)
    return Report(
        options=done.options,
        seconds=done.seconds,
        digest=hashlib.sha256(json.dumps(kept).encode()).hexdigest(),
        signals=len(signals),
        intents=dict(Counter(str(row[6]) for row in intents)),
        fills=len(ledger),
        minutes=minutes,
        unforeseen=dict(unforeseen),
        tracebacks=dict(tracebacks),
        growth=measure_growth(done.weights),
        ticks=measure_ticks(done),
        struck=dict(done.struck),
        not_struck=sorted((name for name in done.armed if not done.struck[name]), key=lambda name: int(name[1:])),
        ended=dict(done.ended),
        restarts=done.restarts,
        lifted=done.lifted,
        broken=[str(one["id"]) for one in check_invariants(stage.database) if one["violations"]],
        hits=sorted(f"{hit.secret} in {hit.place}" for hit in hits),
        places=places,
        events=[*kept, ["until", until]],
    )


def read_logs(paths: Sequence[Path]) -> tuple[Counter[str], Counter[str]]:
    """Unforeseen exceptions by file and error, and all tracebacks by file."""
    unforeseen: Counter[str] = Counter()
    tracebacks: Counter[str] = Counter()
    for path in paths:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace").replace("\\n", "\n")
        for part in text.split(_TRACE)[1:]:
            tracebacks[path.name] += 1
            name = raised_in(part)
            if name not in FORESEEN:
                unforeseen[f"{path.name}: {name}"] += 1
    return unforeseen, tracebacks


def raised_in(part: str) -> str:
    """The class that a traceback ends with."""
    for line in part.splitlines()[1:]:
        if line and not line[0].isspace() and (found := _RAISED.match(line)):
            return found[1]
    return "unknown"


def read_failures(stage: Stage) -> Counter[str]:
    """Runs that failed of something that is no error of the platform's own."""
    query = "{ runsOrError(filter: {statuses: [FAILURE, CANCELED]}) { ... on Runs { results { runId jobName } } } }"
    found: Counter[str] = Counter()
    for run in stage.dagster.ask(query)["runsOrError"]["results"]:
        why = stage.dagster.why_failed(run["runId"])
        names = re.findall(r"\b(?:[\w]+\.)*(\w+)(?=: )", why)
        if not FORESEEN & set(names):
            found[f"run of {run['jobName']}: {why[:160]}"] += 1
    return found


def measure_growth(weights: Sequence[dict[str, int]]) -> dict[str, tuple[float, float, float]]:
    """By process: MB after the warm-up (a quarter of the sessions), MB at the end, and the growth.

    Each is the median of three sessions where there are as many; one session alone has not grown.
    """
    first = min(max(1, len(weights) // 4), len(weights) - 1)
    found = {}
    for name in weights[-1]:
        early = [one[name] for one in weights[first : first + 3] if name in one]
        late = [one[name] for one in weights[-3:] if name in one]
        if early and late:
            before, after = statistics.median(early), statistics.median(late)
            found[name] = (before / 1e6, after / 1e6, after / before - 1)
    total = [sum(one.values()) for one in weights]
    before, after = statistics.median(total[first : first + 3]), statistics.median(total[-3:])
    found["all together"] = (before / 1e6, after / 1e6, after / before - 1)
    return found


def measure_ticks(done: Soaked) -> dict[str, dict[str, float]]:
    """By kind of run: how many, median seconds of a run, of its steps, and of what is left: its overhead."""
    found = {}
    for kind in ("collection", "chain"):
        own = [tick for tick in done.ticks if tick.what == kind]
        if own:
            found[kind] = {
                "runs": len(own),
                "total_s": statistics.median(tick.total_s for tick in own),
                "steps_s": statistics.median(tick.steps_s for tick in own),
                "overhead_s": statistics.median(tick.total_s - tick.steps_s for tick in own),
            }
    return found


def tell(report: Report) -> list[str]:
    """Lines for a person."""
    options, struck = report.options, {name: count for name, count in report.struck.items() if count}
    again = {name: count for name, count in report.restarts.items() if count}
    lines = [
        f"{options.sessions} sessions, {options.symbols} symbols, seed {options.seed}, {report.seconds:.0f} s",
        f"minutes stored {report.minutes}, signals {report.signals}, fills {report.fills}, intents {report.intents}",
        f"runs {report.ended}",
        f"faults struck: {len(struck)} kinds, {sum(struck.values())} times; kills lifted: {report.lifted}",
        f"armed and without a chance: {', '.join(report.not_struck) or 'none'}",
        f"processes started again: {again or 'none'}",
        f"invariants broken: {', '.join(report.broken) or 'none'}",
        f"tracebacks in logs: {report.tracebacks or 'none'}",
        f"unhandled exceptions: {report.unforeseen or 0}",
        f"planted secrets: {len(report.hits)} hits in {report.places} places",
        *report.hits[:40],
        f"{'process':<22} {'warm MB':>9} {'end MB':>9} {'growth':>8}",
    ]
    for name, (before, after, growth) in report.growth.items():
        lines.append(f"{name:<22} {before:>9.1f} {after:>9.1f} {growth:>8.1%}")
    for kind, row in report.ticks.items():
        lines.append(
            f"{kind}: {row['runs']:.0f} runs, median {row['total_s']:.2f} s, of it steps {row['steps_s']:.2f} s, "
            f"overhead {row['overhead_s']:.2f} s"
        )
    return [*lines, f"events {report.digest}"]
