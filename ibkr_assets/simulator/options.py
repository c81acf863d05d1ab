"""What a simulated gateway is started with, checked before anything runs.

Nothing is read from the environment here: the command line and the tests pass values. How the options act is the
work of the modules they are handed to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.simulator.foreign_cash import ForeignCash
from ibkr_assets.simulator.nights import REGIONS, NightlyReset

_NOT_NEGATIVE = (
    "clock_speed", "opening_cash", "stale_positions_s", "idle_limit_s", "history_latency_s", "login_life_h",
    "auto_login_after_s", "login_grace_s", "bridge_delay_s", "stream_ready_s",
)  # fmt: skip
_POSITIVE = ("pace", "initial_margin")
_WORDS = {"region": tuple(REGIONS), "nightly_reset": tuple(reset.value for reset in NightlyReset)}


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Options of one gateway process.

    `port` and `admin_port` 0 pick free ports. `tape` is the word `real` or a directory of bar files. `clock_start`
    is aware; None means 30 minutes before the tape's second session opens. `clock_speed` is market seconds a real
    second; 0 keeps the market clock still until the admin port moves it.

    `pace` divides every window of IBKR's pacing limits, which are in real seconds: 1 is IBKR's own pace, 100 lets a
    replay run a hundred times as fast. `fast_penalty` shortens the penalty box from 15 minutes to 2 seconds.
    `initial_margin` is the fraction of an opening trade's value that must be covered by available funds.
    `stale_positions_s` is how long the paged positions stay as they were first read, in market seconds, unless they
    are invalidated; IBKR's may be minutes old.
    `duplicate_status` is the HTTP status of a refused repeat of a cOID: it is not recorded anywhere, clients look
    for the text both in a 400 and in a 200.

    `idle_limit_s`, `login_grace_s` (401 after a login), `bridge_delay_s` (no bridge after an init) and
    `stream_ready_s` (a websocket that hears nothing yet) are real seconds. Nights follow the market clock in the zone
    of `region`: `nightly_reset` is off, brokerage or login, `maintenance` ten minutes of 503 from 01:00,
    `login_life_h` hours a login lasts (0: for ever, IBKR's is 24), and `auto_login_after_s` after how much market
    time somebody logs in again (None: nobody does). `market_data` is field 6509 of every quote; N brings no prices.

    Without `state_dir` the ledger is in memory and the venue forgets when the process ends.
    """

    admin_token: str
    port: int = 0
    admin_port: int = 0
    host: str = "127.0.0.1"
    seed: int = 0
    tape: str | Path = "real"
    account: str = "DU1000001"
    opening_cash: Decimal = Decimal(100_000)
    foreign_cash: tuple[ForeignCash, ...] = ()
    stale_positions_s: float = 0.0
    clock_start: datetime | None = None
    clock_speed: float = 0.0
    fast_penalty: bool = False
    pace: float = 1.0
    idle_limit_s: float = 360.0
    region: str = "america"
    nightly_reset: str = "off"
    maintenance: bool = False
    login_life_h: float = 0.0
    auto_login_after_s: float | None = None
    login_grace_s: float = 0.0
    bridge_delay_s: float = 0.0
    stream_ready_s: float = 0.05
    market_data: str = "RpB"
    history_latency_s: float = 0.0
    duplicate_status: int = 400
    can_short: bool = True
    initial_margin: Decimal = Decimal(1)
    state_dir: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_self_signed: Path | None = None

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
