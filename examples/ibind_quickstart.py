# ruff: noqa: T201 - an example says what it does
"""The public client ibind against a simulated gateway: python examples/ibind_quickstart.py http://127.0.0.1:5055/v1/api

Nothing here knows that the gateway is simulated; with IBKR's own only the URL is another (and `cacert`).
"""

from __future__ import annotations

import os
import sys
import uuid

os.environ.setdefault("IBIND_LOG_TO_CONSOLE", "False")
os.environ.setdefault("IBIND_LOG_TO_FILE", "False")

from ibind import IbkrClient, QuestionType
from ibind.client.ibkr_utils import OrderRequest

ANSWERS = {QuestionType.PRICE_PERCENTAGE_CONSTRAINT: True, QuestionType.MISSING_MARKET_DATA: True}


def main(url: str) -> None:
    """Look around, place an order far below the price, find it, and cancel it."""
    # Without retries: an order that got no answer may still have arrived, and must not be sent again.
    client = IbkrClient(url=url, cacert=False, max_retries=0)
    print("gateway is healthy" if client.check_health() else "gateway needs a login")
    account = client.receive_brokerage_accounts().data["selectedAccount"]
    client.portfolio_accounts()
    client.account_id = account

    conid = client.stock_conid_by_symbol("AAPL").data["AAPL"]
    print(f"AAPL is conid {conid}")
    bars = client.marketdata_history_by_conid(str(conid), bar="1d", period="5d").data["data"]
    last = bars[-1]["c"]
    print(f"last price {last}")

    order = OrderRequest(
        conid=conid, side="BUY", quantity=1, order_type="LMT", price=round(last * 0.9, 2), acct_id=account, tif="GTC",
        coid=f"example-{uuid.uuid4().hex[:12]}",
    )  # fmt: skip
    placed = client.place_order(order, ANSWERS).data
    print(f"order {placed['order_id']}: order_status {placed['order_status']}")
    print(f"its limit price is {client.order_status(placed['order_id']).data['limit_price']}")
    print(client.cancel_order(placed["order_id"]).data["msg"])
    print(f"worth {client.get_ledger().data['BASE']['netliquidationvalue']:,.2f} USD")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:5055/v1/api")
