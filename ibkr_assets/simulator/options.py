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
    history_latency_s: float = 0.0
    duplicate_status: int = 400
    can_short: bool = True
    initial_margin: Decimal = Decimal(1)
    state_dir: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

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
        for name in ("clock_speed", "opening_cash", "stale_positions_s"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name}: must not be negative, got {getattr(self, name)}")
        if self.pace <= 0:
            raise ConfigurationError(f"pace: must be positive, got {self.pace}")
        if self.initial_margin <= 0:
            raise ConfigurationError(f"initial_margin: must be positive, got {self.initial_margin}")
        if self.duplicate_status not in (200, 400):
            raise ConfigurationError(f"duplicate_status: must be 200 or 400, got {self.duplicate_status}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigurationError("tls_cert, tls_key: give both or none")

    @property
    def penalty_s(self) -> float:
        """How long the penalty box lasts, in real seconds."""
        return 2.0 if self.fast_penalty else 900.0
