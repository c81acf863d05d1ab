"""A gateway that says of itself what IBKR's live one says: the simulated venue under another name, for tests alone.

The product's own gateway always says that it is simulated and paper, so that nothing can trade live on it by mistake.
"""

from __future__ import annotations

import sys
from typing import Any

from ibkr_assets.simulator.command import run
from ibkr_assets.simulator.face import accounts, sessions
from ibkr_assets.simulator.gateway import Gateway


def disguise() -> None:
    """Another server name, and accounts that are not paper."""
    told = accounts.accounts_object

    def accounts_object(gateway: Gateway) -> dict[str, Any]:
        return told(gateway) | {"isPaper": False}

    sessions.SERVER["serverName"] = "JifN17091"
    accounts.accounts_object = accounts_object


if __name__ == "__main__":
    disguise()
    run(sys.argv[1:], program="live_venue")
