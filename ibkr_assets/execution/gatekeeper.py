"""Who may start: collects the keys of permission at the door and keeps what was decided.

What goes here: reading what changes between two starts (the arm, what the gateway says) beside what does not. What
does not: the decision (`execution.permission`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.execution.permission import WRONG_ROLE, Keys, decide, require

if TYPE_CHECKING:
    from ibkr_assets.domain.order import Mode
    from ibkr_assets.domain.permission import Arm, GatewayIdentity


class Records(Protocol):
    """What the database knows about permission. See `adapters.postgres.permission_rows`."""

    def may_drive(self) -> bool:
        """Whether this role may send."""

    def platform_mode(self) -> Mode | None:
        """The mode that the database serves."""

    def arm(self) -> Arm | None:
        """The newest arm in force."""

    def save_permit(self, mode: Mode, *, is_simulator: bool, is_granted: bool, keys: dict[str, Any]) -> None:
        """Keep the decision."""


@dataclass(slots=True)
class Gatekeeper:
    """Admits the submitter of one account, once in full and later for what may change. `now` is the machine's time."""

    mode: Mode
    account: str = field(repr=False)
    gateway_url: str
    file_mode: str | None
    config_sha256: str | None
    live_arm: str | None
    records: Records
    now: Callable[[], datetime]
    _was_admitted: bool = False

    def require_role(self) -> None:
        """Raises ConfigurationError when the database lets this role send nothing: before it refuses all else too."""
        if not self.records.may_drive():
            raise ConfigurationError(f"mode {self.mode} is refused: {WRONG_ROLE.key}: {WRONG_ROLE.text}")

    def admit(self, gateway: GatewayIdentity) -> None:
        """Return when all keys agree. Raises ConfigurationError naming those that differ, Unavailable."""
        keys = Keys(
            mode=self.mode,
            account=self.account,
            now=self.now(),
            may_drive=self.records.may_drive(),
            database_mode=self.records.platform_mode(),
            file_mode=self.file_mode,
            config_sha256=self.config_sha256,
            live_arm=self.live_arm,
            gateway_url=self.gateway_url,
            gateway=gateway,
            arm=self.records.arm(),
        )
        found = decide(keys, is_restart=self._was_admitted)
        if all(one.key != "role" for one in found):  # another role may not even write what it was refused by
            self.records.save_permit(
                self.mode,
                is_simulator=gateway.is_simulator,
                is_granted=not found,
                keys={
                    "server": gateway.server_name,
                    "is_paper": gateway.is_paper,
                    "accounts": len(gateway.accounts),
                    "config_sha256": self.config_sha256,
                    "differ": {one.key: one.text for one in found},
                },
            )
        require(keys, is_restart=self._was_admitted)
        self._was_admitted = True


def refused(error: Exception, mode: Mode) -> ConfigurationError:
    """The database's own refusal of a mode or account, as the wrong setting that it is."""
    return ConfigurationError(f"mode {mode} is refused: database: {error}")
