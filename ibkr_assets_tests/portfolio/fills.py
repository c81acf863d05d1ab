"""Executions for tests of positions and results."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from ibkr_assets.domain.account import Fill
from ibkr_assets.domain.order import Side

WHEN = datetime(2012, 10, 2, 13, 30, tzinfo=UTC)
SYMBOLS = {8314: "IBM", 272093: "MSFT"}


def fill(
    number: int,
    side: Side,
    quantity: int | Decimal,
    price: str | Decimal,
    *,
    commission: str | Decimal = "1",
    at: datetime = WHEN,
    conid: int = 8314,
    revision: int = 1,
) -> Fill:
    return Fill(
        execution_id=f"0000e0d5.{number:08x}.01.{revision:02d}", client_order_id=None, broker_order_id="1", conid=conid,
        symbol=SYMBOLS[conid], side=side, quantity=Decimal(quantity), price=Decimal(price),
        commission=Decimal(commission), executed_at=at,
    )  # fmt: skip


def _numbered(rows: list[tuple[Side, int, Decimal, Decimal, int, int]]) -> list[Fill]:
    return [
        fill(n, side, size, price, commission=commission, at=WHEN + timedelta(hours=9 * hours), conid=conid)
        for n, (side, size, price, commission, hours, conid) in enumerate(rows)
    ]


#: Executions of two instruments over some days, many of them in the same instant.
TRADES = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(1, 500),
        st.decimals("0.0001", "1000", places=4),
        st.decimals("0", "2", places=4),
        st.integers(0, 6),
        st.sampled_from(sorted(SYMBOLS)),
    ),
    max_size=24,
).map(_numbered)
