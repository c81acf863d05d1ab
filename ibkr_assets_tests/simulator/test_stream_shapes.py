"""Frames of the websocket against documented ones, where the recordings are (see `test_payload_shapes`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ibkr_assets_tests.gateway import start_gateway
from ibkr_assets_tests.simulator.clients import AAPL, connect
from ibkr_assets_tests.simulator.sockets import open_stream
from ibkr_assets_tests.simulator.test_payload_shapes import RECORDINGS, differences

pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recorded payloads here")


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Any]]:
    """One frame of each kind, by the recording's name."""
    with start_gateway(clock_start="2012-10-01T15:00:00+00:00") as gateway, connect(gateway) as api:
        with open_stream(gateway, api) as stream:
            frames = {
                "ws_smd_ibeam-gateway-doc": stream.ask(f'smd+{AAPL}+{{"fields":["31","83"]}}'),
                "ws_spl_ibeam-gateway-doc": stream.ask("spl"),
                "ws_sld_docs": stream.ask(f"sld+{api.account}+{{}}"),
            }
            stream.send("sor+{}")
            api.place_through(cOID="shape", tif="DAY")
            frames["ws_sor_full_ibeam-gateway-doc"] = stream.until("sor")
            gateway.fill(coid="shape", quantity=4)
            frames["ws_sor_partial_fills_ibeam-gateway-doc"] = stream.until("sor")
        yield frames


@pytest.mark.parametrize(
    "name",
    [
        "ws_smd_ibeam-gateway-doc", "ws_spl_ibeam-gateway-doc", "ws_sld_docs", "ws_sor_full_ibeam-gateway-doc",
        "ws_sor_partial_fills_ibeam-gateway-doc",
    ],
)  # fmt: skip
def test_a_frame_has_the_keys_and_types_of_the_documented_one(told: dict[str, Any], name: str) -> None:
    documented = json.loads((RECORDINGS / f"{name}.json").read_text())["messages"][0]
    ours = told[name]
    documented["topic"] = ours["topic"]
    if "spl" in name:
        documented["args"] = {next(iter(ours["args"])): next(iter(documented["args"].values()))}
    assert differences(documented, ours) == []
