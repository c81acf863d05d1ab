"""What pandera can say of bars as its users write it: ranges, order of prices, sessions, and copies of a bar.

Runs in the environment of the peers. `load` keeps the bars, `judge` says how many rows are wrong.
"""

import numpy as np
import pandas as pd
import pandera.pandas as pa

kept: dict[str, pd.DataFrame] = {}
schemas: dict[str, pa.DataFrameSchema] = {}


def load(path: str) -> None:
    """Bars of a numpy file, its instants in nanoseconds since 1970, and the openings that there are."""
    with np.load(path) as file:
        columns = {name: file[name] for name in file.files if name != "opens"}
        opens = pd.DatetimeIndex(pd.to_datetime(file["opens"], utc=True))
    kept["bars"] = pd.DataFrame({**columns, "opened_at": pd.to_datetime(columns["opened_at"], utc=True)})
    price = pa.Column(float, [pa.Check.gt(0), pa.Check.lt(np.inf)], nullable=False)
    schemas["bars"] = pa.DataFrameSchema(
        {
            "conid": pa.Column(int),
            "opened_at": pa.Column(checks=pa.Check(lambda moments: moments.isin(opens)), nullable=False),
            **dict.fromkeys(("open", "high", "low", "close"), price),
            "volume": pa.Column(float, [pa.Check.ge(0), pa.Check.lt(np.inf)], nullable=False),
        },
        checks=[
            pa.Check(lambda bars: bars["high"] >= bars[["open", "low", "close"]].max(axis=1)),
            pa.Check(lambda bars: bars["low"] <= bars[["open", "high", "close"]].min(axis=1)),
            pa.Check(lambda bars: (bars["volume"] > 0) | (bars["high"] == bars["low"])),
        ],
        unique=["conid", "opened_at"],
    )


def judge() -> int:
    """Every check of every row, as `lazy` asks for."""
    try:
        schemas["bars"].validate(kept["bars"], lazy=True)
    except pa.errors.SchemaErrors as errors:
        return len(errors.failure_cases)
    return 0
