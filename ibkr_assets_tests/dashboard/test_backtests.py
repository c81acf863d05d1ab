"""Backtests and sweeps as pages show them: real files of real runs, a server with them, and the form of a launch."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from fastapi import FastAPI

from ibkr_assets import bootstrap
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.past_runs import PostgresPastRuns
from ibkr_assets.backtest.commissions import parse_commission
from ibkr_assets.backtest.engine import Terms
from ibkr_assets.backtest.files import write_files
from ibkr_assets.backtest.metrics import compute_metrics
from ibkr_assets.backtest.sizes import parse_size
from ibkr_assets.backtest.slippage import parse_slippage
from ibkr_assets.backtest.study import backtest
from ibkr_assets.backtest.tape import tapes_of
from ibkr_assets.dashboard import past
from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.launch_form import Asked, read_form
from ibkr_assets.dashboard.strategy_draft import Draft
from ibkr_assets.domain.errors import DataError
from ibkr_assets.ports import StrategyRecord
from ibkr_assets.strategies.registry import build_strategy
from ibkr_assets_tests.dashboard.mlflow_server import Runs, serve
from ibkr_assets_tests.fakes.tape import real_bars

CASH = 50_000.0
#: Of a sweep as its file has it, best first: two parameters that vary and one that does not.
SWEEP = b"""rank,fast,short,slow,sharpe,cagr,max_drawdown,calmar,trades,turnover
1,5,False,20,1.5,0.2,-0.1,2.0,10,3.0
2,10,False,20,1.0,0.1,-0.2,0.5,8,2.0
3,5,False,100,0.5,0.05,-0.3,0.2,4,1.0
4,10,False,100,,,,,0,
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, float]]:
    """What a backtest of three years of IBM leaves, and its figures."""
    directory = tmp_path_factory.mktemp("files")
    bars = real_bars("IBM")
    bars = bars[bars["opened_at"].dt.year.between(2008, 2010)].reset_index(drop=True)
    terms = Terms(CASH, parse_size("fixed:100"), parse_commission("ibkr-fixed"), parse_slippage("none"))
    result = backtest(build_strategy("donchian", {"entry": 20, "exit": 10}), tapes_of(bars), terms)
    metrics = compute_metrics(result)
    written: list[Path] = write_files(directory, result, metrics, {})
    page = b"<script>document.title = 'run'</script><h1>sheet</h1>"
    known = {name: value for name, value in metrics.items() if value is not None}
    return {path.name: path.read_bytes() for path in written} | {"tear_sheet.html": page}, known


@pytest.fixture
def research(app: FastAPI, files, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    """A server with two backtests, a sweep, and a run that is none of them; the page reads from it."""
    contents, metrics = files
    about = {"strategy": "donchian", "params": "entry=20, exit=10", "symbols": "IBM", "from": "2008-01-02",
             "to": "2010-12-31", "bars": "757", "cash": str(CASH), "size": "fixed:100", "source": "database",
             "code_sha256": "ab"}  # fmt: skip
    runs = Runs()
    for run_id, exits in (("b1", 10), ("b2", 5)):
        runs.put(run_id, f"backtest donchian exit={exits}", tags={"run_kind": "backtest"}, files=contents,
                 params=about | {"params": f"entry=20, exit={exits}"},
                 metrics=metrics | {"sharpe": float(exits)})  # fmt: skip
    runs.put("s1", "sweep sma_cross", tags={"run_kind": "sweep"}, files={"sweep.csv": SWEEP},
             params=about | {"strategy": "sma_cross", "params": "", "ranked_by": "sharpe",
                             "best": "{'fast': 5, 'slow': 20, 'short': False}"},
             metrics={"sharpe": 1.5, "deflated_sharpe": 0.25})  # fmt: skip
    runs.put(
        "d1", "signals", tags={}, params={}, metrics={"signals": 5.0}, files={"a.html": contents["tear_sheet.html"]}
    )
    with serve(runs) as address:
        settings = app.state.sources.settings
        mlflow = settings.mlflow.model_copy(update={"tracking_uri": address})
        told = replace(app.state.sources, settings=settings.model_copy(update={"mlflow": mlflow}))
        monkeypatch.setattr(app.state, "sources", told)
        yield runs


def test_runs_are_listed_newest_or_best_first(research: Runs, browser) -> None:
    client = browser(Role.VIEWER)

    def order(**query: str) -> list[str]:
        return re.findall(r'name="run" value="(\w+)"', client.get("/backtests", params=query).text)

    assert order() == ["s1", "b2", "b1"]
    assert order(order="sharpe") == ["b1", "b2", "s1"]
    assert order(what="sweep") == ["s1"]
    assert client.get("/backtests", params={"order": "luck"}).status_code == 400


def test_a_backtest_is_shown_whole(research: Runs, browser, files) -> None:
    page = browser(Role.VIEWER).get("/backtests/b1").text
    for name in ("Equity by day", "Drawdown by day", "Sharpe ratio of the last 126 days"):
        assert f'aria-label="{name}"' in page
    assert re.findall(r'scope="row">(\d{4})<', page) == ["2010", "2009", "2008"]
    trades = files[0]["trades.csv"].decode().splitlines()[1:]
    assert f"Trades <small>{len(trades)}, newest first" in page
    assert page.count('<td><span class="up">long</span>') == min(len(trades), 50)
    assert f"{float(trades[-1].split(',')[-1]):+,.2f}" in page
    assert "2008-01-02 to 2010-12-31" in page
    assert "No session of these days is known to lack a bar." in page
    assert f"{files[1]['commission'] / CASH * 100:.2f} %" in page
    assert "code_sha256" not in page


def test_months_multiply_to_the_years_result(files) -> None:
    returns = past.read_equity(files[0]["equity.csv"])
    sheet = past.draw_sheet(returns, CASH, 1.0)
    year_2009 = dict(sheet.months)[2009]
    months = [float(cell[1].replace("−", "-")) / 100 for cell in year_2009[:12] if cell]
    whole = float(np.prod([1 + value for value in months])) - 1
    assert year_2009[12] is not None
    assert whole == pytest.approx(float(year_2009[12][1].replace("−", "-")) / 100, abs=0.01)


@pytest.mark.parametrize(
    "content",
    [b"", b"time,equity\n", b"a,b\n1,2\n", b"time,equity\nnever,1\n", b"time,equity\n2010-01-04T00:00:00Z,x\n"],
)
def test_a_file_of_another_form_fails_its_own_card(content: bytes) -> None:
    with pytest.raises(DataError, match=r"equity\.csv"):
        past.read_equity(content)


def test_a_sweep_is_a_heat_map_of_its_two_parameters_and_its_best_stands_out(research: Runs, browser) -> None:
    page = browser(Role.VIEWER).get("/backtests/s1").text
    cells = re.findall(r'<td class="n heat-(\d)( best)?">([\d.]+)</td>', page)
    assert cells == [("9", " best", "1.50"), ("0", "", "0.50"), ("4", "", "1.00")]
    assert "25 %" in page  # the probability that it is more than luck
    assert "fast 5, slow 20" in page
    by_drawdown = browser(Role.VIEWER).get("/backtests/s1", params={"figure": "max_drawdown"}).text
    assert re.findall(r'heat-(\d) best">(.*?)<', by_drawdown) == [("9", "-10.00%")]
    assert browser(Role.VIEWER).get("/backtests/s1", params={"figure": "luck"}).status_code == 400


def test_a_map_takes_two_parameters_that_vary() -> None:
    rows = past.read_table(b"rank,fast,slow,sharpe\n1,5,20,1\n2,10,20,0.5\n")
    assert past.grid_names(rows) == ["fast"]
    assert past.heat_map(rows, "sharpe") is None


def test_runs_are_compared_with_the_better_figure_marked(research: Runs, browser) -> None:
    client = browser(Role.VIEWER)
    page = html.unescape(client.get("/backtests/~compare", params={"run": ["b1", "b2", "s1"]}).text)
    assert page.count('class="line line-') == 2  # a sweep leaves no equity
    assert "Without a curve: sma_cross" in page
    assert re.findall(r'title="the better one">(.*?) ★', page)[0] == "10.00"
    assert '<tr class="differs"><td>params' in page
    for few in (["b1"], ["b1"] * 6):
        assert client.get("/backtests/~compare", params={"run": few}).status_code == 400


def test_a_page_among_the_files_is_nobodys_script_here(research: Runs, browser) -> None:
    client = browser(Role.VIEWER)
    for address in ("/backtests/b1/files/tear_sheet.html", "/experiments/d1/artifacts/a.html"):
        answer = client.get(address)
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert "allow-" not in answer.headers["content-security-policy"]
    assert "<iframe" in client.get("/experiments/d1", params={"path": "a.html"}).text
    assert re.search(r'<iframe[^>]* sandbox src="/experiments/d1/', client.get("/experiments/d1?path=a.html").text)
    assert client.get("/backtests/b1/files/trades.csv").headers["content-disposition"].startswith("attachment")
    assert client.get("/backtests/b1/files/passwd").status_code == 400
    assert client.get("/backtests/d1").status_code == 400
    assert client.get("/backtests/nothing").status_code == 400


def test_a_run_becomes_a_difference_to_a_strategy_and_nothing_is_stored(app, research: Runs, browser) -> None:
    store = bootstrap.strategy_store(app.state.sources.settings)
    record = StrategyRecord(
        id="cross", version=1, kind="sma_cross", params={"fast": 10, "slow": 20}, symbols=("FB",), bar_size="1d",
        schedule="weekly", sizing="percent:5", risk={}, account=None, is_enabled=True,
    )  # fmt: skip
    store.save_strategies([record], actor="test")
    client = browser(Role.OPERATOR)
    page = html.unescape(client.get("/backtests/s1/promote", params={"into": "cross"}).text)
    assert "<del>-     fast: 10" in page
    assert "<ins>+     fast: 5" in page
    assert "slow: 20" in page
    assert "weekly" in page  # what the run does not name stays
    new = html.unescape(client.get("/experiments/b1/promote").text)
    assert "<ins>+ - id: donchian_promoted" in new
    assert "<ins>+   - IBM" in new
    assert client.get("/experiments/d1/promote").status_code == 400
    assert [row.version for row in store.strategies()] == [1]
    assert browser(Role.VIEWER).get("/backtests/s1/promote").status_code == 403


@pytest.mark.parametrize("words", ["fast", "__import__('os')", "[1", "{'a': 1}.keys()"])
def test_words_that_are_no_parameters_are_refused(words: str) -> None:
    with pytest.raises(DataError, match="best: expected the parameters of a set"):
        past.promoted(Draft(), {"strategy": "sma_cross", "best": words})


def test_a_run_is_tagged_once_and_never_with_a_tag_of_the_platform(research: Runs, browser) -> None:
    client = browser(Role.OPERATOR)
    form = {"name": "note", "value": "<b>keep</b>", "key": "this-form"}
    assert [client.post("/experiments/b1/tag", data=form).status_code for _ in range(2)] == [303, 303]
    assert "&lt;b&gt;keep&lt;/b&gt;" in client.get("/experiments/b1").text
    for name in ("run_kind", "process", "dagster_run_id", "mlflow.user", ""):
        assert client.post("/experiments/b1/tag", data=form | {"name": name, "key": "other-form"}).status_code == 400
    assert browser(Role.VIEWER).post("/experiments/b1/tag", data=form).status_code == 403


def test_what_is_asked_for_becomes_the_configuration_of_the_job(shared_app) -> None:
    settings = shared_app.state.sources.settings
    asked = Asked(symbols="ibm, fb", start="2010-01-04", commission="bps:5")
    assert read_form(asked, settings) == (
        {
            "strategy": "sma_cross", "params": {"fast": 10, "slow": 30}, "symbols": ["IBM", "FB"],
            "start": "2010-01-04", "end": "", "cash": 100_000.0, "size": "percent:95", "commission": "bps:5",
            "slippage": "none", "risk": "none",
        },
        {},
    )  # fmt: skip
    config, problems = read_form(replace(asked, what="sweep", params="", grid="fast=5:20:5 slow=50:100:50"), settings)
    assert problems == {}
    assert (config["grid"], config["rank_by"], config["sample"]) == (["fast=5:20:5", "slow=50:100:50"], "sharpe", 0)
    assert "risk" not in config


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("strategy", "luck", "no such kind"), ("params", "fast: 0", "fast"), ("params", "[", "not valid YAML"),
        ("symbols", " ", "got none"), ("start", "yesterday", "start 'yesterday'"), ("end", "2009-13-01", "end '2009"),
        ("cash", "much", "cash 'much'"), ("cash", "nan", "cash 'nan'"), ("cash", "0.5", "cash '0.5'"),
        ("size", "lots", "lots"), ("commission", "cheap", "cheap"), ("slippage", "some", "some"),
        ("risk", "x", "risk 'x'"),
        ("grid", "", "name the values"), ("grid", "fast=5", ""),
        ("grid", "fast=1:1000:1 slow=1:1000:1", "1,000,000 sets"),
        ("rank_by", "luck", "rank_by 'luck'"), ("sample", "-1", "sample '-1'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_launch_stands_beside_its_field(
    shared_browser, field: str, value: str, words: str
) -> None:
    is_sweep = field in ("grid", "rank_by", "sample")
    form = {
        "what": "sweep" if is_sweep else "backtest", "strategy": "sma_cross", "params": "", "symbols": "IBM",
        "cash": "1000", "size": "fixed:1", "commission": "none", "slippage": "none", "grid": "fast=5:10:5",
        "key": "this-form",
    } | {field: value}  # fmt: skip
    answer = shared_browser(Role.OPERATOR).post("/backtests/~launch", data=form)
    if (field, value) == ("grid", "fast=5"):  # one value is a grid too; Dagster is away
        assert answer.status_code == 503
        return
    assert answer.status_code == 400
    found = re.search(rf'id="{field}-problem">(.*?)<', answer.text)
    assert found is not None, answer.text[:300]
    assert words in html.unescape(found[1])


def test_a_launch_that_cannot_be_asked_for_says_so(shared_browser) -> None:
    form = {"what": "backtest", "strategy": "sma_cross", "params": "", "symbols": "IBM", "cash": "1000",
            "size": "fixed:1", "commission": "none", "slippage": "none", "key": "this-key-1"}  # fmt: skip
    answer = shared_browser(Role.OPERATOR).post("/backtests/~launch", data=form)
    assert answer.status_code == 503
    assert "Dagster: no address" in answer.text
    assert shared_browser(Role.VIEWER).post("/backtests/~launch", data=form).status_code == 403


def test_what_dagster_ran_is_read_from_the_database_and_listed_once(
    app, research: Runs, postgres_server, browser, files
) -> None:
    name = urlsplit(app.state.sources.database.url).path.strip("/")
    database = Database(postgres_server.url(name, "ibkr_app"))
    about = {"strategy": "donchian", "symbols": "IBM", "from": "2008-01-02", "to": "2010-12-31", "cash": CASH}
    PostgresPastRuns(database).save(
        "7e9a", "backtest", title="donchian stored", params={"entry": 20}, about=about, metrics={"sharpe": 0.5},
        mlflow_page="/experiments/1/runs/m1", files={name: files[0][name] for name in ("equity.csv", "trades.csv")},
    )  # fmt: skip
    database.close()
    tags = {"run_kind": "backtest", "dagster_run_id": "7e9a"}
    research.put("m1", "backtest donchian", tags=tags, params={}, metrics={}, files={})
    client = browser(Role.VIEWER)
    listed = re.findall(r'name="run" value="(\w+)"', client.get("/backtests").text)
    assert sorted(listed) == ["7e9a", "b1", "b2", "s1"]
    page = client.get("/backtests/7e9a").text
    assert 'aria-label="Equity by day"' in page
    assert 'href="/runs/7e9a"' in page
    assert client.get("/backtests/7e9a/files/trades.csv").content == files[0]["trades.csv"]
