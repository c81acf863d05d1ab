"""Connections that lie: clocks, certificates, sizes and speeds. Nothing leaves in their company, nothing is lost."""

from __future__ import annotations

import hashlib
import ssl
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest
import trustme

from ibkr_assets.adapters.ibkr.client import broker
from ibkr_assets.adapters.ibkr.transport import GatewayNotTrusted
from ibkr_assets.domain.errors import NotTrusted, Unavailable, UnreadableAnswer
from ibkr_assets.domain.order import OrderState
from ibkr_assets_tests.faults.registry import end_state_of
from ibkr_assets_tests.faults.trading import Trading, flat_gateway, start_flat_gateway, trading
from ibkr_assets_tests.gateway import start_gateway

__all__ = ["flat_gateway", "trading"]

S = OrderState
MEGABYTE = 1 << 20


def side_of(gateway, url=None, **changes):
    """The order side of the client."""
    options = {
        "ca": None, "account": gateway.account, "connect_timeout_s": 2.0, "read_timeout_s": 2.0,
        "order_timeout_s": 2.0, "pace": 1000.0, **changes,
    }  # fmt: skip
    return broker(url or gateway.api_url, **options)


# ---- clocks


@end_state_of("F50")
@pytest.mark.parametrize("skew_s", [-86_400, -60, 60, 86_400])
def test_f50_a_gateway_with_another_clock_gets_no_order(trading, skew_s):
    trading.start()
    trading.gateway.arm_fault("F50", skew_s=skew_s)
    record = trading.propose()
    denied = trading.wait_for(record, S.DENIED)
    assert denied.reason.startswith("clock: the gateway's clock is")
    assert ("ahead of" if skew_s > 0 else "behind") in denied.reason
    assert trading.accepted() == []
    trading.agree()


@end_state_of("F50")
def test_f50_a_second_of_difference_is_none(trading):
    trading.start()
    trading.gateway.arm_fault("F50", skew_s=1)
    trading.wait_for(trading.propose(), S.WORKING)
    trading.agree()


@end_state_of("F50")
def test_f50_a_time_that_is_none_denies(trading):
    trading.start()
    trading.gateway.arm_fault("F50", date="Sat, 30 Jun 2012 23:59:60 GMT")
    record = trading.propose()
    assert "no time to compare" in trading.wait_for(record, S.DENIED).reason
    trading.agree()


@end_state_of("F50")
def test_f50_an_hour_that_comes_twice_neither_loses_nor_reorders_what_was_executed(trading):
    trading.start()
    record = trading.propose()
    trading.wait_for(record, S.WORKING)
    trading.gateway.fill(coid=record.client_order_id, quantity=4)
    trading.wait_for(record, S.WORKING, filled=4)
    trading.gateway.arm_fault("F50", trades_s=-3600)
    trading.gateway.fill(coid=record.client_order_id, quantity=6)
    trading.wait_for(record, S.FILLED, filled=10)
    assert trading.path(record)[-2:] == ["WORKING", "FILLED"]
    with trading.database.connect() as connection:
        rows = connection.execute("select at from oms.order_event order by seq").fetchall()
    assert rows == sorted(rows)
    trading.agree()


@end_state_of("F50")
def test_f50_a_market_clock_that_jumps_expires_what_is_too_late_and_sends_nothing(trading):
    trading.start()
    midnight = trading.next_open.astimezone(ZoneInfo("America/New_York")).replace(hour=0, minute=1)
    trading.gateway.set_clock(midnight.astimezone(UTC))
    record = trading.propose()
    trading.wait("the order waits", lambda: "nightly reset" in trading.record(record).reason)
    trading.gateway.set_clock(trading.next_open + timedelta(hours=1))
    trading.wait_for(record, S.EXPIRED_UNSENT)
    assert trading.accepted() == []
    trading.agree()


# ---- certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Pairs of certificate and key for this machine, the last one expired, each with its authority's certificate."""
    directory = tmp_path_factory.mktemp("certificates")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    made = {}
    for name, ends_at in (("first", None), ("second", None), ("expired", yesterday)):
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1", not_after=ends_at)
        paths = [directory / f"{name}.{kind}" for kind in ("pem", "key", "ca")]
        leaf.cert_chain_pems[0].write_to_path(paths[0])
        leaf.private_key_pem.write_to_path(paths[1])
        authority.cert_pem.write_to_path(paths[2])
        made[name] = paths
    return made


def pin_of(cert):
    return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).hexdigest()


@end_state_of("F52")
def test_f52_another_certificate_stops_everything_before_a_byte_of_a_request_leaves(certificates):
    cert, key, authority = certificates["first"]
    with start_gateway(extra=("--tls-cert", str(cert), "--tls-key", str(key))) as gateway:
        for trust in (pin_of(cert), str(authority)):
            assert side_of(gateway, ca=trust).open_session().is_ready
        for name, said in (("second", "self-signed|unable to get"), ("expired", "expired")):
            other, other_key, other_authority = certificates[name]
            gateway.arm_fault("F52", cert=str(other), key=str(other_key))
            with (
                httpx.Client(base_url=gateway.api_url, verify=False, trust_env=False) as anybody,
                pytest.raises(httpx.TransportError),
            ):
                anybody.get("/tickle")
            asked = len(gateway.wirelog())
            with pytest.raises(GatewayNotTrusted, match="certificate is not the pinned one") as refused:
                side_of(gateway, ca=pin_of(cert)).keep_alive()
            assert refused.value.exit_code == 78
            with pytest.raises(GatewayNotTrusted, match=said):
                side_of(gateway, ca=str(other_authority if name == "expired" else authority)).keep_alive()
            assert len(gateway.wirelog()) == asked


@end_state_of("F52")
def test_f52_the_submitter_ends_with_a_clear_error_and_without_an_order(certificates, database_url, tmp_path):
    (cert, key, _), (other, other_key, _) = certificates["first"], certificates["second"]
    with start_flat_gateway(tmp_path, extra=("--tls-cert", str(cert), "--tls-key", str(key))) as gateway:
        trading = Trading(gateway, database_url, tmp_path)
        trading.ca = pin_of(cert)
        trading.start()
        gateway.arm_fault("F52", cert=str(other), key=str(other_key))
        record = trading.propose()
        deadline = time.monotonic() + 20
        while trading.failure is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert isinstance(trading.failure, NotTrusted)
        assert "certificate is not the pinned one" in str(trading.failure)
        assert trading.record(record).state is S.APPROVED
        assert trading.accepted() == []
        trading.stop()
        trading.database.close()


@end_state_of("F52")
def test_f52_a_port_that_speaks_plain_http_is_not_spoken_to(trading, certificates):
    url = trading.gateway.api_url.replace("http://", "https://")
    asked = len(trading.gateway.wirelog())
    with pytest.raises(Unavailable, match="not sent"):
        side_of(trading.gateway, url, ca=pin_of(certificates["first"][0])).keep_alive()
    assert len(trading.gateway.wirelog()) == asked


# ---- sizes and speeds


@end_state_of("F53")
@pytest.mark.parametrize("how", ["giant", "endless", "bomb"])
def test_f53_an_answer_to_an_order_without_measure_is_doubt_and_then_adopted(trading, how):
    trading.start()
    trading.gateway.arm_fault("F53", how=how, routes=["submit"])
    record = trading.propose()
    trading.wait_for(record, S.WORKING)
    assert trading.path(record)[-3:] == ["SUBMITTING", "UNKNOWN", "WORKING"]
    trading.agree()


@end_state_of("F53")
def test_f53_an_answer_that_drips_is_given_up_when_the_time_of_the_call_is_over(trading):
    trading.order_timeout_s = 0.4
    trading.start()
    trading.gateway.arm_fault("F53", how="slow", bytes_per_s=10, routes=["submit"])
    record = trading.propose()
    trading.wait_for(record, S.WORKING)
    assert "UNKNOWN" in trading.path(record)
    trading.agree()


@end_state_of("F53")
@pytest.mark.parametrize("how", ["giant", "endless", "bomb"])
def test_f53_no_more_than_eight_megabytes_of_a_read_are_ever_held(trading, how):
    side = side_of(trading.gateway)
    side.open_session()
    trading.gateway.arm_fault("F53", how=how, routes=["ledger"], times=3)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableAnswer, match=r"longer than 8388608 bytes|compressed"):
            side.cash_ledger()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        side.close()
    assert most < 40 * MEGABYTE


@end_state_of("F53")
def test_f53_a_read_that_drips_ends_with_its_time(trading):
    side = side_of(trading.gateway, read_timeout_s=0.4)
    side.open_session()
    trading.gateway.arm_fault("F53", how="slow", bytes_per_s=10, routes=["auth_status"])
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="no whole answer"):
        side.session()
    assert time.monotonic() - begun < 2.0
    side.close()
