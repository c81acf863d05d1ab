"""The asset `backtests`: one strategy over bars of the past, with its tear sheet as metadata and in MLflow.

What goes here: the way from a run's configuration to what it shows. What does not: the work (`backtest`), and many
parameter sets (`defs.sweeps`). It proposes nothing, and nothing that trades depends on it.
"""

import tempfile
from pathlib import Path

import dagster as dg
from pydantic import Field

from ibkr_assets import bootstrap
from ibkr_assets.defs import metadata as show
from ibkr_assets.defs.past_config import Asked, PastConfig, past_runs, read_files
from ibkr_assets.defs.resources import SettingsInForce
from ibkr_assets.defs.tracking import Mlflow, rests_on
from ibkr_assets.domain.errors import ConfigurationError, InputError

FIGURES = ("figure", "value", "convention")
#: So many of the largest gains and losses are shown in Dagster's page; all are in `trades.csv`.
_LISTED = 20


class BacktestConfig(PastConfig):
    """One run over the past."""

    risk: str = Field(default="none", description="none, or settings: openings keep the limits of the configuration")


@dg.asset(
    group_name="research",
    kinds={"postgres", "mlflow"},
    description="A strategy traded over bars of the past: figures, tear sheet, trades, equity.",
)
def backtests(
    context: dg.AssetExecutionContext,
    config: BacktestConfig,
    mlflow: Mlflow,
    settings: dg.ResourceParam[SettingsInForce],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Trade, draw, keep, and track."""
    from ibkr_assets.backtest import study
    from ibkr_assets.backtest.about import describe_run, describe_terms, title_of
    from ibkr_assets.backtest.files import write_files
    from ibkr_assets.backtest.metrics import CONVENTIONS, compute_metrics
    from ibkr_assets.backtest.picture import draw_picture
    from ibkr_assets.backtest.tape import tapes_of
    from ibkr_assets.backtest.tear_sheet import draw_tear_sheet
    from ibkr_assets.backtest.tear_sheet import show as in_words

    in_force = settings.get()
    try:
        asked = Asked(config, in_force)
        strategy, terms = asked.build(asked.params), asked.terms(config.risk)
        frame = asked.bars()
    except (InputError, ConfigurationError) as error:
        raise show.expected_failure(error) from error
    title = title_of(asked.kind, asked.params)
    mlflow.begin(context.run, {"run_kind": "backtest"}, f"backtest {title}")
    result = study.backtest(strategy, tapes_of(frame), terms)
    metrics = compute_metrics(result)
    about = describe_run(asked.kind, asked.params, frame) | describe_terms(terms, asked.size)
    picture = draw_picture(result, metrics, title=title)
    with tempfile.TemporaryDirectory(prefix="ibkr_assets_") as directory:
        files = read_files(write_files(Path(directory), result, metrics, about))
    files |= {
        "tear_sheet.html": draw_tear_sheet(result, metrics, title=title, about=about).encode(),
        "tear_sheet.png": picture,
    }
    known = {name: value for name, value in metrics.items() if value is not None}
    words = {name: str(value) for name, value in about.items() if value != ""}
    mlflow.log(context.run, metrics=known, params=words | rests_on(bootstrap.version(in_force), ()), files=files)
    tracked = mlflow.tracked(context.run)
    past_runs(in_force).save(
        context.run.run_id, "backtest", title=title, params=asked.params, about=about, metrics=metrics,
        mlflow_page=tracked.page, files=files,
    )  # fmt: skip
    largest = sorted(result.trades, key=lambda trade: -abs(trade.pnl_net))[:_LISTED]
    rows = [
        {"symbol": one.symbol, "opened": str(one.entry_time)[:10], "closed": str(one.exit_time)[:10],
         "shares": one.direction * one.size, "pnl_net": one.pnl_net}
        for one in largest
    ]  # fmt: skip
    figures = [
        {"figure": name, "value": in_words(name, value), "convention": CONVENTIONS[name]}
        for name, value in metrics.items()
    ]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(result.trades),
            "strategy": title,
            **{name: str(about[name]) for name in ("symbols", "from", "to", "commission", "slippage", "risk")},
            **{name: show.number(metrics[name]) for name in ("sharpe", "cagr", "max_drawdown", "final_equity")},
            "figures": show.table(figures, FIGURES),
            "tear_sheet": show.picture(picture),
            "largest_trades": show.table(rows, ("symbol", "opened", "closed", "shares", "pnl_net")),
            "mlflow": show.link(tracked.word),
        }
    )


backtest_job = dg.define_asset_job(
    "backtest",
    selection=dg.AssetSelection.assets("backtests"),
    description="A strategy over bars of the past. Proposes nothing.",
    executor_def=dg.in_process_executor,
)
