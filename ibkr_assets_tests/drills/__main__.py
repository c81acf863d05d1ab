"""`python -m ibkr_assets_tests.drills`: kills under load, also with Postgres down, by the gateway's own log."""

from __future__ import annotations

import argparse
import itertools
import sys
import time

from ibkr_assets_tests.drills.drill import WAYS, Outcome, drill, drill_without_postgres
from ibkr_assets_tests.drills.stage import open_stage


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every drill was good."""
    parser = argparse.ArgumentParser(prog="python -m ibkr_assets_tests.drills", description=__doc__)
    parser.add_argument("--drills", type=int, default=50, help="with everything up; default 50")
    parser.add_argument("--postgres-down", type=int, default=10, help="with Postgres stopped; default 10")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with open_stage() as stage:
        stage.start_submitter()
        for number, way in enumerate(itertools.islice(itertools.cycle(WAYS), given.drills), 1):
            outcomes.append(drill(stage, way))
            _say(f"{number:3} {_line(outcomes[-1])}")
        for number in range(given.postgres_down):
            outcomes.append(drill_without_postgres(stage))
            _say(f"{given.drills + number + 1:3} {_line(outcomes[-1])}")
    _summarise(outcomes, time.monotonic() - began)
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _line(outcome: Outcome) -> str:
    said = "" if outcome.is_good else f"  BAD {', '.join(outcome.violations)}"
    return (
        f"{outcome.way:<20} streamed {outcome.streamed:3}  last send {outcome.last_send_s:.3f} s  "
        f"after restart {outcome.after_restart}, waiting {outcome.waiting}{said}"
    )


def _summarise(outcomes: list[Outcome], seconds: float) -> None:
    _say("")
    _say(f"{'way':<20} {'drills':>6} {'last send, s: median':>21} {'worst':>7} {'after restart':>14} {'bad':>4}")
    for way in [*WAYS, "Postgres down, file"]:
        of_way = sorted((o for o in outcomes if o.way == way), key=lambda o: o.last_send_s)
        if of_way:
            median, worst = of_way[len(of_way) // 2].last_send_s, of_way[-1].last_send_s
            bad = sum(not o.is_good for o in of_way)
            _say(
                f"{way:<20} {len(of_way):>6} {median:>21.3f} {worst:>7.3f} "
                f"{sum(o.after_restart for o in of_way):>14} {bad:>4}"
            )
    _say(f"{len(outcomes)} drills in {seconds:.0f} s, bad: {sum(not o.is_good for o in outcomes)}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
