"""Faults of the connection: half-open sockets, clocks, certificates, sizes and speeds of bodies.

Faults of orders, of sessions and of data are in `orders`, `sessions` and `data`. A port that speaks plain HTTP where
TLS is expected needs no fault: a gateway is started without a certificate.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any

from ibkr_assets.simulator.answers import HANGING, RESET, Answer, Delivery
from ibkr_assets.simulator.faults.fault import Fault, Kind, Situation
from ibkr_assets.simulator.faults.parameters import number, text, whole, word

_MEGABYTE = 1 << 20
_PIECE = b" " * 65_536


def _half_open(_: Situation) -> Answer:
    return Answer(delivery=HANGING)


def _misdated(situation: Situation) -> Answer:
    """Another `Date` header; executions keep their order but carry times that are off by as much."""
    options, answer = situation.options, situation.handled
    date = options["date"] or formatdate(time.time() + options["skew_s"], usegmt=True)
    if options["trades_s"] and situation.route == "trades" and isinstance(answer.body, list):
        shift_ms = int(options["trades_s"] * 1000)
        newest = len(answer.body) - 1
        body: Any = [
            row | {"trade_time_r": row["trade_time_r"] + shift_ms} if place == newest else row
            for place, row in enumerate(answer.body)
        ]
        answer = replace(answer, body=body)
    return replace(answer, headers={**answer.headers, "date": date})


def _other_certificate(situation: Situation) -> Answer:
    """From the next handshake on the gateway shows this certificate; this connection ends."""
    tls, options = situation.gateway.tls, situation.options
    assert tls is not None
    tls.load_cert_chain(Path(options["cert"]), Path(options["key"]))
    return Answer(delivery=RESET)


def _has_certificate(situation: Situation) -> bool:
    options = situation.options
    return situation.gateway.tls is not None and bool(options["cert"] and options["key"])


def _oversized(situation: Situation) -> Answer:
    size = situation.options["megabytes"] * _MEGABYTE
    match situation.options["how"]:
        case "giant":
            return replace(
                situation.handled,
                delivery=Delivery(chunks=lambda: _blanks(size), content_length=size),
            )
        case "endless":
            return replace(situation.handled, delivery=Delivery(chunks=lambda: _blanks(size), has_length=False))
        case "slow":
            return replace(situation.handled, delivery=Delivery(bytes_per_s=situation.options["bytes_per_s"]))
        case _:
            headers = {**situation.handled.headers, "content-encoding": "gzip"}
            return replace(situation.handled, body=_bomb(size), headers=headers)


def _blanks(size: int) -> Iterator[bytes]:
    for _ in range(size // len(_PIECE)):
        yield _PIECE


@cache
def _bomb(size: int) -> bytes:
    """Blanks that are a thousandth of their size on the wire."""
    return gzip.compress(b" " * size, compresslevel=1)


FAULTS = (
    Fault("F25", "half-open socket: no end and no byte", Kind.INSTEAD, None, _half_open),
    Fault(
        "F50", "clocks that differ", Kind.ALTER, None, _misdated,
        {"skew_s": number(0.0, least=-1e6, most=1e6), "date": text(None), "trades_s": number(0.0, least=-1e6)},
        times=None,
    ),
    Fault(
        "F52", "another certificate", Kind.INSTEAD, None, _other_certificate, {"cert": text(None), "key": text(None)},
        _has_certificate,
    ),
    Fault(
        "F53", "body without measure", Kind.ALTER, None, _oversized,
        {
            "how": word("giant", "giant", "endless", "slow", "bomb"), "megabytes": whole(200, least=1, most=1000),
            "bytes_per_s": number(1.0, least=0.01),
        },
    ),
)  # fmt: skip
