"""The replay over fakes: what it asks for in which order, what it does not do twice, and how it fails."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from ibkr_assets.adapters.dagster_api import Run, count_ends
from ibkr_assets.defs import due, run_config
from ibkr_assets.domain.errors import RunFailure, StackFailure
from ibkr_assets.domain.order import Mode
from ibkr_assets.domain.session import TradingSession
from ibkr_assets.market.calendar import exchange_calendar
from ibkr_assets.stack import replay as module
from ibkr_assets.stack.record import UNSENT, SessionRecord, Snapshot
from ibkr_assets.stack.replay import AFTER_CLOSE, AFTER_OPEN, RUN_KEY_TAG, Replay, Replayed, run_key

CALENDAR = exchange_calendar("XNYS")
#: Friday before the storm, then Wednesday: the exchange was closed in between.
FRIDAY, WEDNESDAY = CALENDAR.session(date(2012, 10, 26)), CALENDAR.session(date(2012, 10, 31))
THURSDAY = CALENDAR.session(date(2012, 11, 1))


@dataclass
class World:
    """A market, a Dagster and a ledger in one: time moves, runs end, orders go out and fill at once."""

    now: datetime
    ends: list[str] = field(default_factory=list)
    known: list[Run] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    dry_run: list[bool] = field(default_factory=list)
    asked: dict[str | None, list[str]] = field(default_factory=dict)
    snapshot_lag: timedelta = timedelta(0)
    due: dict[str, list[str]] = field(default_factory=lambda: {"cross": []})
    later: dict[date, dict[str, list[str]]] = field(default_factory=dict)

    def set(self, moment: datetime) -> None:
        assert moment > self.now
        self.now = moment
        self.log.append(f"clock {moment:%m-%d %H:%M}")

    def launch(self, job: str, *, partition: date, config: dict, tags: dict) -> str:
        asked = config["ops"]["orders"]["config"]
        self.log.append(f"run {partition} {asked.get('strategy_id', 'bars')}".removesuffix(" cross"))
        self.asked[asked.get("strategy_id")] = asked["symbols"]
        self.dry_run = [config["ops"][name]["config"]["dry_run"] for name in config["ops"]]
        status = self.ends.pop(0) if self.ends else "SUCCESS"
        self.known.insert(0, Run(f"run-{len(self.known)}", status, tags))
        return self.known[0].run_id

    def status(self, run_id: str) -> Run:
        run = next(run for run in self.known if run.run_id == run_id)
        if run.status == "STARTED":  # the next look finds it ended, as the daemon's watch would have it
            self.known[self.known.index(run)] = Run(run_id, "FAILURE", run.tags)
        return run

    def runs(self, job: str, tags: dict) -> list[Run]:
        return [run for run in self.known if tags.items() <= run.tags.items()]

    def why_failed(self, run_id: str) -> str:
        return "signals: no such column"

    def snapshot(self, until: datetime | None = None) -> Snapshot:
        return Snapshot(self.now - self.snapshot_lag, Decimal(100_000))

    def intents_in(self, states: tuple) -> list[str]:
        return self.stuck if states == UNSENT else []

    def session(self, session: TradingSession, following: TradingSession) -> SessionRecord:
        return SessionRecord(session.day, 5, 5, 1, 0, Decimal("100123.456"))


def replay(world: World, sessions: list[TradingSession], mode: Mode = Mode.SIM) -> tuple[Replayed, list[str]]:
    said: list[str] = []

    class Market:
        set = world.set

        def now(self) -> datetime:
            return world.now

    machine = Replay(
        dagster=world,  # type: ignore[arg-type]
        market=Market(),  # type: ignore[arg-type]
        record=world,  # type: ignore[arg-type]
        calendar=CALENDAR,
        mode=mode,
        due=lambda session: world.due | world.later.get(session.day, {}),
        check=lambda: None,
        say=said.append,
    )
    return machine.run(sessions), said


def run_of(session: TradingSession, status: str) -> Run:
    return Run(f"earlier-{session.day}", status, {RUN_KEY_TAG: run_key(session, "cross")})


def test_each_session_is_decided_after_its_close_and_settled_after_the_next_opening() -> None:
    world = World(FRIDAY.opens_at)
    done, said = replay(world, [FRIDAY, WEDNESDAY])
    assert world.log == [
        "clock 10-26 20:20",
        "run 2012-10-26",
        "clock 10-31 13:31",
        "clock 10-31 20:20",
        "run 2012-10-31",
        "clock 11-01 13:31",
    ]
    assert done.sessions == [FRIDAY, WEDNESDAY]
    assert len(done.timings) == 2
    assert said[0].startswith("[1/2] 2012-10-26  5 bars  5 signals  1 order  0 fills  NAV 100,123.46  ")


def test_the_runs_carry_the_key_that_the_schedules_look_for() -> None:
    assert run_key(FRIDAY) == due.run_key(module.JOB, FRIDAY)
    assert run_key(FRIDAY, "cross") == due.run_key(module.JOB, FRIDAY, "cross")
    world = World(FRIDAY.opens_at)
    replay(world, [FRIDAY])
    assert world.known[0].tags[RUN_KEY_TAG] == run_key(FRIDAY, "cross")
    assert module.STRATEGY_TAG == run_config.STRATEGY_TAG
    assert world.known[0].tags[module.STRATEGY_TAG] == "cross"
    assert world.dry_run == [False] * 5


def test_strategies_that_are_due_decide_in_runs_of_their_own_and_those_done_do_not_again() -> None:
    world = World(FRIDAY.closes_at + AFTER_CLOSE, known=[run_of(FRIDAY, "SUCCESS")])
    world.due = {"cross": [], "wide": ["IBM", "KO"], "rank": []}
    replay(world, [FRIDAY])
    assert world.log == ["run 2012-10-26 wide", "run 2012-10-26 rank", "clock 10-31 13:31"]
    assert world.asked == {"wide": ["IBM", "KO"], "rank": []}


def test_a_strategy_that_is_added_meanwhile_decides_at_the_next_session() -> None:
    world = World(FRIDAY.opens_at)
    world.later = {WEDNESDAY.day: {"late": []}}
    replay(world, [FRIDAY, WEDNESDAY])
    assert [line for line in world.log if line.startswith("run")] == [
        "run 2012-10-26", "run 2012-10-31", "run 2012-10-31 late",
    ]  # fmt: skip


def test_without_a_strategy_bars_are_kept_up_to_date() -> None:
    world = World(FRIDAY.opens_at, due={})
    done, _ = replay(world, [FRIDAY])
    assert world.log[1] == "run 2012-10-26 bars"
    assert world.known[0].tags[RUN_KEY_TAG] == run_key(FRIDAY)
    assert done.sessions == [FRIDAY]


def test_one_of_several_that_fails_ends_the_replay() -> None:
    world = World(FRIDAY.opens_at, ends=["SUCCESS", "FAILURE"], due={"a": [], "b": []})
    with pytest.raises(RunFailure, match="run run-1 of session 2012-10-26: FAILURE"):
        replay(world, [FRIDAY])


def test_a_rehearsal_replays_dry_runs() -> None:
    world = World(FRIDAY.opens_at)
    replay(world, [FRIDAY], Mode.DRY_RUN)
    assert world.dry_run == [True] * 5


def test_what_is_done_and_settled_is_not_done_again() -> None:
    world = World(WEDNESDAY.opens_at + AFTER_OPEN, known=[run_of(FRIDAY, "SUCCESS")])
    done, said = replay(world, [FRIDAY])
    assert (world.log, said, done.timings) == ([], [], [])
    assert done.sessions == [FRIDAY]


def test_a_replay_goes_on_after_the_last_session_of_an_earlier_one() -> None:
    world = World(WEDNESDAY.opens_at + AFTER_OPEN, known=[run_of(FRIDAY, "SUCCESS")])
    done, _ = replay(world, [FRIDAY, WEDNESDAY])
    assert world.log == ["clock 10-31 20:20", "run 2012-10-31", "clock 11-01 13:31"]
    assert done.sessions == [FRIDAY, WEDNESDAY]


def test_a_decision_whose_orders_were_cut_off_is_settled_and_not_made_again() -> None:
    world = World(FRIDAY.closes_at + AFTER_CLOSE, known=[run_of(FRIDAY, "SUCCESS")])
    replay(world, [FRIDAY])
    assert world.log == ["clock 10-31 13:31"]


def test_a_run_that_an_earlier_stack_took_with_it_is_waited_for_and_then_replaced() -> None:
    world = World(FRIDAY.closes_at + AFTER_CLOSE, known=[run_of(FRIDAY, "STARTED")])
    replay(world, [FRIDAY])
    assert world.log == ["run 2012-10-26", "clock 10-31 13:31"]


def test_a_run_that_failed_before_is_tried_once_more() -> None:
    world = World(FRIDAY.closes_at + AFTER_CLOSE, known=[run_of(FRIDAY, "FAILURE")])
    replay(world, [FRIDAY])
    assert world.log == ["run 2012-10-26", "clock 10-31 13:31"]


def test_the_newest_run_of_a_session_counts() -> None:
    world = World(WEDNESDAY.opens_at + AFTER_OPEN, known=[run_of(FRIDAY, "SUCCESS"), run_of(FRIDAY, "FAILURE")])
    assert replay(world, [FRIDAY])[0].timings == []


def test_what_a_sensor_or_a_schedule_did_counts_and_what_a_person_tried_does_not() -> None:
    by_hand = Run("by-hand", "FAILURE", {"dagster/partition": "2012-10-26"})
    world = World(WEDNESDAY.opens_at + AFTER_OPEN, known=[by_hand, run_of(FRIDAY, "SUCCESS")])
    done, _ = replay(world, [FRIDAY])
    assert (done.sessions, done.timings, world.log) == ([FRIDAY], [], [])


def test_the_clock_never_goes_back_for_a_session_that_it_has_passed() -> None:
    world = World(THURSDAY.opens_at)
    done, _ = replay(world, [FRIDAY, WEDNESDAY])
    assert done.passed_by == [FRIDAY]
    assert world.log == ["run 2012-10-31", "clock 11-01 13:31"]


def test_a_run_that_fails_ends_the_replay_with_its_id_and_its_error() -> None:
    world = World(FRIDAY.opens_at, ends=["FAILURE"])
    with pytest.raises(RunFailure, match="run run-0 of session 2012-10-26: FAILURE: signals: no such column") as caught:
        replay(world, [FRIDAY])
    assert caught.value.exit_code == 1


def test_orders_that_do_not_go_out_end_the_replay_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SUBMITTER_LIMIT_S", 0.1)
    world = World(FRIDAY.opens_at, stuck=["BUY 10 AAPL of 2012-10-26 APPROVED held back: killed"])
    with pytest.raises(StackFailure, match=r"waited 0 s for orders to go out: BUY 10 AAPL .* killed"):
        replay(world, [FRIDAY])


def test_a_snapshot_of_before_the_opening_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SUBMITTER_LIMIT_S", 0.1)
    world = World(FRIDAY.opens_at, snapshot_lag=timedelta(seconds=1))
    with pytest.raises(StackFailure, match="the newest account snapshot is of 2012-10-31T13:30:59"):
        replay(world, [FRIDAY])


def test_runs_under_way_count_neither_as_success_nor_as_failure() -> None:
    runs = [run_of(FRIDAY, status) for status in ("SUCCESS", "SUCCESS", "FAILURE", "CANCELED", "STARTED", "QUEUED")]
    assert count_ends(runs) == {"success": 2, "failure": 2}
