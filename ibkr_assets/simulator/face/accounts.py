"""Handlers that name the account: the list that must come first, the switch, and the portfolio's own list."""

from __future__ import annotations

from typing import Any

from ibkr_assets.simulator.face.exchange import Answer, BadRequest, Call, refusal
from ibkr_assets.simulator.face.formats import millis
from ibkr_assets.simulator.face.sessions import SERVER
from ibkr_assets.simulator.gateway import Gateway


def check_account(call: Call) -> str:
    """The account of the path. Raises BadRequest when it is not the gateway's."""
    name = call.params["account"]
    if name != call.gateway.options.account:
        raise BadRequest(f"accountId is not valid: {name}")
    return name


def accounts(call: Call) -> Answer:
    """The first call of every brokerage session."""
    call.gateway.session.memory.is_accounts_read = True
    return Answer(accounts_object(call.gateway))


def accounts_object(gateway: Gateway) -> dict[str, Any]:
    """The accounts of the brokerage session, with what they may do."""
    name = gateway.options.account
    properties = {
        "hasChildAccounts": False, "supportsCashQty": False, "liteUnderPro": False, "noFXConv": False, "isProp": False,
        "supportsFractions": False, "allowCustomerTime": False, "autoFx": False,
    }  # fmt: skip
    features = {
        "showGFIS": True, "showEUCostReport": False, "allowEventContract": False, "allowFXConv": False,
        "allowFinancialLens": False, "allowMTA": False, "allowTypeAhead": True, "allowEventTrading": False,
        "snapshotRefreshTimeout": 30, "liteUser": False, "showWebNews": False, "research": False, "debugPnl": True,
        "showTaxOpt": True, "showImpactDashboard": False, "allowDynAccount": False, "allowCrypto": False,
        "allowFA": False, "allowLiteUnderPro": False, "allowedAssetTypes": "STK", "restrictTradeSubscription": False,
        "showUkUserLabels": False, "sideBySide": True,
    }  # fmt: skip
    return {
        "accounts": [name], "acctProps": {name: properties}, "aliases": {name: name}, "allowFeatures": features,
        "chartPeriods": {"STK": ["*"]}, "groups": [], "profiles": [], "selectedAccount": name,
        "serverInfo": SERVER, "sessionId": gateway.session.id, "isFT": False, "isPaper": True,
    }  # fmt: skip


def switch(call: Call) -> Answer:
    """There is one account, and it is set already."""
    wanted = call.json_object().get("acctId")
    if wanted is None:
        raise BadRequest("Bad Request: acctId is required")
    if wanted != call.gateway.options.account:
        return refusal(500, f"accountId is not valid: {wanted}")
    return Answer({"success": "Account already set"})


def portfolio_accounts(call: Call) -> Answer:
    """The accounts of the login session, the first call of all on the portfolio."""
    call.gateway.session.is_portfolio_read = True
    return Answer([_describe(call)])


def meta(call: Call) -> Answer:
    """One account of that list."""
    check_account(call)
    return Answer(_describe(call))


def _describe(call: Call) -> dict[str, Any]:
    name = call.gateway.options.account
    return {
        "id": name, "PrepaidCrypto-Z": False, "PrepaidCrypto-P": False, "brokerageAccess": True, "accountId": name,
        "accountVan": name, "accountTitle": "Simulated Account", "displayName": "Simulated Account",
        "accountAlias": None, "accountStatus": millis(call.gateway.tape.sessions[0].opens_at), "currency": "USD",
        "type": "DEMO", "tradingType": "STKNOPT", "businessType": "INDEPENDENT", "category": "",
        "ibEntity": "IBLLC-US", "faclient": False, "clearingStatus": "O", "covestor": False,
        "noClientTrading": False, "trackVirtualFXPortfolio": False, "acctCustType": "INDIVIDUAL",
        "parent": {"mmc": [], "accountId": "", "isMParent": False, "isMChild": False, "isMultiplex": False},
        "desc": name,
    }  # fmt: skip
