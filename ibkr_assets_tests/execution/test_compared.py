"""A strategy that ranks its symbols rests on the bars of all of them: at order time, in lineage and in quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from psycopg.types.json import Jsonb

from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.proofs import NO_COMPARISON
from ibkr_assets.adapters.postgres.quarantine import PostgresQuarantine
from ibkr_assets.adapters.postgres.strategies import PostgresStrategies
from ibkr_assets.cli.story import tell
from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.signal import Signal
from ibkr_assets.execution.decisions import decide_sessions
from ibkr_assets.execution.proof import split_by_proof
from ibkr_assets.strategies.input_proof import input_digest
from ibkr_assets_tests.databases import fresh_database
from ibkr_assets_tests.execution.decided import DAY, NYSE, SESSION, STRATEGY, Decided, decide
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS, real_bars

RANKED = replace(
    STRATEGY, id="rank", kind="momentum_rank", params={"lookback": 15, "hold": 1}, symbols=("FB", "IBM", "MSFT")
)
IBM = CONIDS["IBM"]
WITHIN, BEFORE = DAY - timedelta(days=4), DAY - timedelta(days=40)
SHOWN = 16
FIRST = NYSE.sessions_before(DAY, SHOWN - 1)[0].opens_at.isoformat()


@pytest.fixture(scope="module")
def ranked(postgres_server, _template, tmp_path_factory) -> Iterator[Decided]:
    """FB is bought because it rose most of three; whoever changes something puts it back."""
    with fresh_database(postgres_server, _template) as name:
        database = Database(postgres_server.url(name, "ibkr_platform"))
        yield decide(database, tmp_path_factory.mktemp("ranked"), RANKED, is_filled=False)
        database.close()


def signals(ranked: Decided) -> list[Signal]:
    return PostgresStrategies(ranked.database).signals(DAY)


def faults(ranked: Decided) -> dict[str, str]:
    return {signal.symbol: text for signal, text in ranked.store.input_faults(signals(ranked)).items()}


def bar(ranked: Decided, day: object) -> pd.DataFrame:
    session = NYSE.session(day)  # type: ignore[arg-type]
    return ranked.store.load_bars([IBM], BarSize.DAY, session.opens_at, session.closes_at)


@contextmanager
def in_quarantine(ranked: Decided, day: object) -> Iterator[str]:
    """The bar's id, while it is there."""
    own = bar(ranked, day)
    none = own.head(0)
    ranked.store.save_verdicts(BarSize.DAY, none, own.assign(reason="too_big_jump"))
    try:
        yield f"{IBM}-1d-{own['opened_at'][0]:%Y%m%dT%H%M%SZ}-1"
    finally:
        ranked.store.save_verdicts(BarSize.DAY, own, none.assign(reason=""))


def test_no_signal_becomes_an_order_while_a_bar_of_a_peer_is_doubted(ranked: Decided) -> None:
    assert faults(ranked) == {}
    with in_quarantine(ranked, WITHIN) as name:
        text = f"bar {name} of {WITHIN} is in quarantine: too_big_jump"
        assert faults(ranked) == dict.fromkeys(RANKED.symbols, text)
        proven, refused = split_by_proof(signals(ranked), ranked.store, SESSION, NYSE.next_session(DAY).day)
        assert (proven, [why for _, why in refused]) == ([], [text] * 3)
    assert faults(ranked) == {}


def test_a_bar_that_was_not_shown_is_no_matter(ranked: Decided) -> None:
    """Features were computed from it; a rank is found from the closes alone."""
    with in_quarantine(ranked, BEFORE):
        assert faults(ranked) == {}


def test_the_fault_of_an_own_bar_goes_before_that_of_a_peer(ranked: Decided) -> None:
    close = ranked.store.load_bars([CONIDS["MSFT"]], BarSize.DAY, SESSION.opens_at, SESSION.closes_at)
    none = close.head(0)
    with in_quarantine(ranked, DAY) as name:
        ranked.store.save_verdicts(BarSize.DAY, none, close.assign(reason="stuck"))
        found = faults(ranked)
        ranked.store.save_verdicts(BarSize.DAY, close, none.assign(reason=""))
    assert name in found["IBM"]
    assert "stuck" in found["MSFT"]
    assert found["FB"] in (found["IBM"], found["MSFT"])


def test_without_a_record_of_what_was_compared_there_is_no_proof(ranked: Decided) -> None:
    with ranked.database.connect() as connection:
        rows = connection.execute("select * from research.comparison_bars").fetchall()
    ranked.forge("research.comparison_bars", "delete from research.comparison_bars")
    try:
        assert faults(ranked) == dict.fromkeys(RANKED.symbols, NO_COMPARISON)
        assert not ranked.replay().is_identical
        assert "the bars that it was compared by were not kept" in tell(ranked.document(), width=120)
    finally:
        with ranked.database.connect() as connection:
            for *values, actions in rows:
                connection.execute(
                    "insert into research.comparison_bars values (%s, %s, %s, %s, %s)", (*values, Jsonb(actions))
                )


def test_what_a_peers_bar_touches_is_named_before_anybody_decides_on_it(ranked: Decided) -> None:
    quarantine = PostgresQuarantine(ranked.database)
    for day, symbols in ((WITHIN, ["FB", "IBM", "MSFT"]), (BEFORE, ["IBM"])):
        with in_quarantine(ranked, day) as name:
            assert quarantine.rests_on(name).signals == [(DAY, "rank", symbol) for symbol in symbols]


def test_an_order_leads_back_to_all_that_was_compared_and_comes_out_again(ranked: Decided) -> None:
    document = ranked.document()
    assert document["missing"] == []
    assert [(one["symbol"], one["bars"], one["last"]) for one in document["compared"]] == [
        (symbol, SHOWN, SESSION.opens_at.isoformat()) for symbol in sorted(RANKED.symbols, key=CONIDS.__getitem__)
    ]
    assert "compared with 2 others, by their bars: IBM 16, MSFT 16" in tell(document, width=120)
    result = ranked.replay()
    assert (result.difference, result.is_identical) == (None, True)


OF_IBM = f"conid = {IBM} and opened_at = '{NYSE.session(WITHIN).opens_at.isoformat()}' and version = 1"
FORGERIES = {
    "a price of a peer": ("md.bar", f"close = close + 1 where {OF_IBM}", f"close = close - 1 where {OF_IBM}", "IBM"),
    "a version of a peer's bar": (
        "research.comparison_bars", f"versions[3] = 2 where conid = {IBM}", f"versions[3] = 1 where conid = {IBM}",
        "version 2",
    ),
    "which bars of a peer": (
        "research.comparison_bars",
        f"opened_at = opened_at[2:], versions = versions[2:] where conid = {IBM}",
        f"opened_at = timestamptz '{FIRST}' || opened_at, versions = 1 || versions where conid = {IBM}",
        "comparison",
    ),
    "a split of a peer": (
        "research.comparison_bars", f"""actions = '[["{DAY}", "split", "2"]]' where conid = {IBM}""",
        f"actions = '[]' where conid = {IBM}", "comparison",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_what_was_forged_of_a_peer_shows_in_the_bars(ranked: Decided, name: str) -> None:
    table, change, back, field = FORGERIES[name]
    with ranked.forged(table, change, back):
        difference = ranked.replay().difference
    assert difference is not None
    assert difference.stage == "bars"
    assert field in difference.field
    assert ranked.replay().is_identical


def test_a_signal_from_before_comparisons_were_kept_is_replayed_by_what_it_was_shown(ranked: Decided) -> None:
    own = input_digest(
        pd.DataFrame(ranked.document()["bars"]).assign(
            opened_at=lambda bars: pd.to_datetime(bars["opened_at"], utc=True)
        )
    )
    signal_id = ranked.document()["signal"]["signal_id"]
    with ranked.database.connect() as connection:
        (name, digest), *_ = connection.execute(
            "select comparison, input_digest from research.signal_basis join research.signal using (signal_id) "
            "where signal_id = %s",
            (signal_id,),
        ).fetchall()

    def say(value: str) -> str:
        return f"signal = jsonb_set(signal, '{{input_digest}}', to_jsonb('{value}'::text))"

    with (
        ranked.forged("research.signal_basis", f"comparison = null where signal_id = {signal_id}",
                      f"comparison = '{name}' where signal_id = {signal_id}"),
        ranked.forged("research.signal", f"input_digest = '{own}' where signal_id = {signal_id}",
                      f"input_digest = '{digest}' where signal_id = {signal_id}"),
        ranked.forged("oms.plan", say(own), say(digest)),
    ):  # fmt: skip
        found = ranked.replay().difference
    assert found is None


def test_a_corrected_bar_of_a_peer_makes_every_signal_a_new_one_that_is_proven(
    database: Database, tmp_path: Path
) -> None:
    ranked = decide(database, tmp_path, RANKED, is_filled=False)
    corrected = bar(ranked, WITHIN).assign(volume=lambda bars: bars["volume"] + 1)
    ranked.store.save_bars(
        corrected.drop(columns=["version", "row_sha"]), BarSize.DAY, source="test", known_from=SESSION.closes_at
    )
    ranked.store.save_verdicts(BarSize.DAY, bar(ranked, WITHIN), corrected.head(0).assign(reason=""))
    assert set(faults(ranked)) == set(RANKED.symbols)
    before = signals(ranked)
    strategies = PostgresStrategies(database)
    found = decide_sessions(
        ranked.store, NYSE, strategies=[RANKED], instruments=[INSTRUMENTS[symbol] for symbol in RANKED.symbols],
        sessions=[SESSION], window_sessions=120,
    )  # fmt: skip
    assert strategies.save_signals(found.signals, bases=found.bases, dagster_run_id="d3", mlflow_run_id=None) == 3
    assert faults(ranked) == {}
    after = signals(ranked)
    assert [replace(one, input_digest="") for one in after] == [replace(one, input_digest="") for one in before]
    assert strategies.save_signals(found.signals, bases=found.bases, dagster_run_id="d4", mlflow_run_id=None) == 0
    with database.connect() as connection:
        rows = connection.execute("select versions from research.comparison_bars where conid = %s", (IBM,)).fetchall()
    assert sorted(sum(versions) for (versions,) in rows) == [SHOWN, SHOWN + 1]


def test_the_price_that_was_ranked_is_the_tapes(ranked: Decided) -> None:
    """By hand: FB rose most of the three over fifteen sessions."""
    closes = {symbol: real_bars(symbol, end=DAY)["close"].tail(SHOWN).tolist() for symbol in RANKED.symbols}
    rises = {symbol: own[-1] / own[0] - 1 for symbol, own in closes.items()}
    assert max(rises, key=rises.__getitem__) == "FB"
    assert {s.symbol: s.direction.value for s in signals(ranked)} == {"FB": "long", "IBM": "flat", "MSFT": "flat"}
    assert Decimal(ranked.record.intent.quantity) > 0
