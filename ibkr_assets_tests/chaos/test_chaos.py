"""A small run of real processes that are killed, stopped and cut off: both ledgers agree afterwards."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from ibkr_assets.execution.crashpoints import CRASH_POINTS
from ibkr_assets_tests.chaos.__main__ import main
from ibkr_assets_tests.chaos.comparison import Comparison, compare_executions, compare_orders
from ibkr_assets_tests.chaos.decisions import decide, sessions
from ibkr_assets_tests.chaos.report import print_outcome
from ibkr_assets_tests.chaos.run import Options, Outcome, Run
from ibkr_assets_tests.chaos.troubles import FAULTS, HAPPENINGS, Fate

RUNS = {
    "everything": Options(orders=12, seed=5, per_evening=12, every_s=0.5, evening_s=8.0, happenings=10, drills=1),
    "the lease is stolen": Options(
        orders=6, seed=5, per_evening=6, every_s=0.15, evening_s=4.0, submitters=4, thefts=15
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_whatever_dies_both_ledgers_agree():
    """Side by side: each mostly waits."""
    said: list[str] = []
    with ThreadPoolExecutor(len(RUNS)) as pool:
        outcomes = list(pool.map(lambda options: Run(options, said.append).run(), RUNS.values()))
    for outcome in outcomes:
        print_outcome(outcome, said.append)
    assert all(outcome.is_good for outcome in outcomes), "\n".join(said)
    assert [sum(outcome.comparison.states.values()) for outcome in outcomes] == [12, 6]
    assert outcomes[1].happenings["steal lease"] >= 15


def test_a_seed_makes_the_same_choices_again():
    def choices(seed: int) -> list[object]:
        fate = Fate(seed, FAULTS, HAPPENINGS, is_forgetful=False)
        first, second = sessions(2)[:2]
        return [
            [fate.next_happening() for _ in range(30)], [fate.fault() for _ in range(30)],
            [fate.crash() for _ in range(30)], decide(fate.chance, range(30), "acct-1", first, second),
        ]  # fmt: skip

    assert choices(7) == choices(7)
    assert choices(7) != choices(8)


def test_every_named_point_has_its_turn_before_one_comes_again():
    fate = Fate(1, FAULTS, HAPPENINGS, is_forgetful=False)
    for _ in range(10 * len(CRASH_POINTS)):
        crash = fate.crash()
        if crash is not None:
            fate.note_reached(crash.partition(":")[0])
    assert fate.not_reached() == []


def test_what_is_wrong_is_told_with_the_command_to_have_it_again():
    said: list[str] = []
    wrong = Comparison(duplicates=["q1-a was accepted 2 times"])
    outcome = Outcome(Options(orders=20, seed=9, profile="forgetful"), wrong, not_reached=["send.begun"])
    print_outcome(outcome, said.append)
    assert not outcome.is_good
    assert "WRONG  q1-a was accepted 2 times" in said
    assert 'make chaos N=20 SEED=9 ARGS="--profile forgetful"' in said[-1]
    assert any(line.startswith("points never reached") and line.endswith("send.begun") for line in said)


def test_a_run_whose_own_fault_never_struck_or_whose_orders_stayed_at_home_has_shown_nothing():
    run = Run(Options(orders=100, seed=1, profile="forgetful"), print)
    run.directory.rmdir()
    struck = Counter({"F13": 3, "F3": 2})
    run.judge(Outcome(run.options, Comparison(accepted=70), struck=struck, meant=100))
    assert run.troubles == []
    run.judge(Outcome(run.options, Comparison(accepted=69), struck=Counter({"F13": 1}), meant=100))
    assert run.troubles == ["F3 never struck", "only 69 of 100 that were meant to leave were accepted"]


def test_a_second_acceptance_and_a_missing_execution_are_found():
    accept = {"event": "accept", "coid": "q1-a", "order_id": 1, "conid": 8314, "side": "BUY", "qty": 10, "price": 100}
    fill = {**accept, "event": "fill", "exec_id": "e1"}
    found = Comparison()
    order = {
        "decision_key": "one", "client_order_id": "q1-a", "state": "NOT_PLACED", "broker_order_id": None,
        "quantity": 10, "filled": 0, "conid": 8314, "side": "BUY", "limit_price": 100, "send_count": 1,
    }  # fmt: skip
    compare_orders(found, [accept, accept, fill], [order], {"one", "two"})
    compare_executions(found, [fill], [])
    assert found.duplicates == ["q1-a was accepted 2 times"]
    assert "no row of two" in found.lost
    assert any(line.startswith("q1-a is NOT_PLACED") for line in found.lost)
    assert any(line.startswith("execution e1") for line in found.lost)
    assert "q1-a filled 0, at the gateway 10" in found.differences


def test_a_number_of_orders_that_cannot_be_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--orders", "0"])
    assert ended.value.code == 2
    assert "--orders: must be 1 or more, got 0" in capsys.readouterr().err
