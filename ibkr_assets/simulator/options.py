"""What a simulated gateway is started with, checked before anything runs.

Nothing is read from the environment here: the command line and the tests pass values. How the options act is the
work of the modules they are handed to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.foreign_cash import ForeignCash
from ibkr_assets.simulator.nights import REGIONS, NightlyReset

_NOT_NEGATIVE = (
    "clock_speed", "opening_cash", "stale_positions_s", "idle_limit_s", "history_latency_s", "login_life_h",
    "auto_login_after_s", "login_grace_s", "bridge_delay_s", "stream_ready_s",
)  # fmt: skip
_POSITIVE = ("pace", "initial_margin")
_WORDS = {"region": tuple(REGIONS), "nightly_reset": tuple(reset.value for reset in NightlyReset)}


def about(words: str, *flags: str, metavar: str = "", default_words: str = "") -> dict[str, Any]:
    """What the command line says of an option: help, further flags, the value's name, the default in words."""
    return {"help": words, "flags": flags, "metavar": metavar, "default_words": default_words}


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Options of one gateway process. What each means is said once, for the reader and for the command line.

    Seconds are real unless they are said to be of market time. Without `state_dir` the venue forgets when the process
    ends.
    """

    admin_token: str = field(
        default="",
        metadata=about(
            "what the admin port asks for (required)", metavar="TOKEN", default_words="$IBKR_ASSETS_ADMIN_TOKEN"
        ),
    )
    port: int = field(default=0, metadata=about("API port; 0 picks a free one and prints it"))
    admin_port: int = field(default=0, metadata=about("admin port; 0 picks a free one and prints it"))
    admin_host: str = field(
        default="127.0.0.1",
        metadata=about("address of the admin port; beyond loopback only on a network of your own", metavar="ADDRESS"),
    )
    host: str = field(default="127.0.0.1", metadata=about("address the API is served on", metavar="ADDRESS"))
    seed: int = field(default=0, metadata=about("every random choice comes from it"))
    tape: str | Path = field(
        default="real", metadata=about("`real`, or a directory of CSV or Parquet bar files", metavar="DIR")
    )
    account: str = field(default="DU1000001", metadata=about("the simulated account's id", metavar="ID"))
    opening_cash: Decimal = field(
        default=Decimal(100_000), metadata=about("what the account begins with", metavar="USD")
    )
    foreign_cash: tuple[ForeignCash, ...] = field(
        default=(),
        metadata=about(
            "cash in other currencies, which never moves, at a rate", metavar="EUR:1000:1.0925", default_words="none"
        ),
    )
    stale_positions_s: float = field(
        default=0.0,
        metadata=about("market seconds for which the paged positions stay as first read, unless they are invalidated"),
    )
    clock_start: datetime | None = field(
        default=None,
        metadata=about(
            "market time to start at, ISO 8601 with a zone",
            "--clock",
            metavar="TIME",
            default_words="30 minutes before the tape's second session",
        ),
    )
    clock_speed: float = field(
        default=0.0, metadata=about("market seconds a real second; 0 stands still until the admin port moves it")
    )
    pace: float = field(
        default=1.0,
        metadata=about(
            "divides the windows of IBKR's limits, the penalty box and the websocket's times; 1 is IBKR's own"
        ),
    )
    fast_penalty: bool = field(default=False, metadata=about("2 seconds in the penalty box, not 15 minutes"))
    idle_limit_s: float = field(default=360.0, metadata=about("seconds of silence that end the brokerage session"))
    region: str = field(default="america", metadata=about(f"whose midnight it is: {', '.join(REGIONS)}"))
    nightly_reset: str = field(
        default="off",
        metadata=about(
            f"what midnight ends: {', '.join(reset.value for reset in NightlyReset)}; after `login` a person is needed"
        ),
    )
    maintenance: bool = field(default=False, metadata=about("503 for ten minutes from 01:00 of the region"))
    login_life_h: float = field(default=0.0, metadata=about("market hours a login lasts; 0 for ever, IBKR's is 24"))
    auto_login_after_s: float | None = field(
        default=None, metadata=about("market seconds after which somebody logs in again", default_words="nobody does")
    )
    login_grace_s: float = field(default=0.0, metadata=about("seconds of 401 after a login"))
    bridge_delay_s: float = field(default=0.0, metadata=about("seconds without a bridge after a good init"))
    stream_ready_s: float = field(default=0.05, metadata=about("seconds until a websocket hears what it is told"))
    market_data: str = field(
        default="RpB",
        metadata=about("field 6509 of every quote; with D quotes and bars are 15 minutes late, with N there are none"),
    )
    history_latency_s: float = field(default=0.0, metadata=about("seconds an answer with bars takes"))
    duplicate_status: int = field(
        default=400,
        metadata=about("HTTP status of a refused repeat of a cOID, 400 or 200; no recording tells which is IBKR's"),
    )
    can_short: bool = field(default=True, metadata=about("whether short sales are accepted"))
    initial_margin: Decimal = field(
        default=Decimal(1),
        metadata=about("the part of an opening trade's value that available funds must cover", metavar="FRACTION"),
    )
    state_dir: Path | None = field(
        default=None,
        metadata=about("keep orders and cash here across restarts", metavar="DIR", default_words="in memory"),
    )
    tls_cert: Path | None = field(
        default=None, metadata=about("serve https with this certificate (PEM)", "--cert", metavar="FILE")
    )
    tls_key: Path | None = field(default=None, metadata=about("and with this key (PEM)", "--key", metavar="FILE"))
    tls_self_signed: Path | None = field(
        default=None,
        metadata=about(
            "serve https with a certificate of its own, made here, and print its path and pin", metavar="DIR"
        ),
    )

    def __post_init__(self) -> None:
        """Raise ConfigurationError naming the first option that cannot be."""
        for name in ("port", "admin_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ConfigurationError(f"{name}: must be in 0..65535, got {getattr(self, name)}")
        if not self.admin_token:
            raise ConfigurationError("admin_token: must not be empty")
        if not self.account:
            raise ConfigurationError("account: must not be empty")
        if self.clock_start is not None and self.clock_start.tzinfo is None:
            raise ConfigurationError(f"clock_start: must carry a time zone, got {self.clock_start.isoformat()}")
        self._check_numbers()
        if self.duplicate_status not in (200, 400):
            raise ConfigurationError(f"duplicate_status: must be 200 or 400, got {self.duplicate_status}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigurationError("tls_cert, tls_key: give both or none")
        if self.tls_cert is not None and self.tls_self_signed is not None:
            raise ConfigurationError("tls_self_signed: not together with tls_cert")
        for name, known in _WORDS.items():
            if getattr(self, name) not in known:
                raise ConfigurationError(f"{name}: must be one of {', '.join(known)}, got {getattr(self, name)!r}")

    def _check_numbers(self) -> None:
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigurationError(f"{name}: must not be negative, got {value}")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigurationError(f"{name}: must be positive, got {getattr(self, name)}")

    @property
    def penalty_s(self) -> float:
        """How long the penalty box lasts, in real seconds."""
        return 2.0 if self.fast_penalty else 900.0 / self.pace
