"""Whether a submitter may start in its mode: one decision over all keys, and no way around one that differs.

What goes here: the keys as one value, and what speaks against it, purely. What does not: collecting them
(`bootstrap`), the check at each send (the guards of the database), and kills (`execution.kill`). A key that is not
known differs. Nothing ever falls back to another mode or account.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.domain.order import Mode, account_ref
from ibkr_assets.domain.permission import Arm, GatewayIdentity, PaperSession, is_paper_account

#: Clean paper sessions in a row that an arm rests on, and how old the newest may be when it is given.
PAPER_SESSIONS = 3
NEWEST_PAPER_SESSION = timedelta(days=7)
LIVE_ARM = "IBKR_ASSETS_LIVE_ARM"
_NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class Keys:
    """Everything that permission to start rests on, read at one moment. `now` is aware UTC, by the machine's clock.

    `file_mode` and `config_sha256` are of the configuration file, None without one. `database_mode` is the mode that
    the database serves already. `may_drive` tells whether the database lets this role send.
    """

    mode: Mode
    account: str = field(repr=False)
    now: datetime
    may_drive: bool
    database_mode: Mode | None
    file_mode: str | None
    config_sha256: str | None
    live_arm: str | None
    gateway_url: str
    gateway: GatewayIdentity
    arm: Arm | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A key that speaks against starting, and what it says."""

    key: str
    text: str


WRONG_ROLE = Disagreement("role", "the database's role is not the submitter's; check IBKR_ASSETS_DATABASE_URL")


def decide(keys: Keys, *, is_restart: bool = False) -> tuple[Disagreement, ...]:
    """What speaks against starting; empty when all keys agree.

    With `is_restart` the submitter ran before in this process and only comes back from a peer that was away: an arm
    that ran out meanwhile stops its sends, and must not stop it from looking after what is out.
    """
    found = [_role(keys), _database(keys)]
    if keys.mode is Mode.SIM:
        found.append(_gateway_of_sim(keys))
    elif keys.mode is Mode.PAPER:
        found.append(_gateway_of_paper(keys))
    elif keys.mode is Mode.LIVE:
        found += [_config(keys), _gateway_of_live(keys)]
        if not is_restart:
            found += [_environment(keys), _arm(keys), _paper_record(keys.arm)]
    return tuple(disagreement for disagreement in found if disagreement is not None)


def require(keys: Keys, *, is_restart: bool = False) -> None:
    """Raises ConfigurationError naming every key that differs."""
    found = decide(keys, is_restart=is_restart)
    if found:
        said = "; ".join(f"{one.key}: {one.text}" for one in found)
        raise ConfigurationError(f"mode {keys.mode} is refused: {said}")


def faults_of_record(sessions: tuple[PaperSession, ...], *, today: date) -> str | None:
    """Why these newest paper sessions, newest first, are no ground to arm; None when they are."""
    if len(sessions) < PAPER_SESSIONS:
        return f"{len(sessions)} paper sessions on record, {PAPER_SESSIONS} are needed"
    newest = sessions[:PAPER_SESSIONS]
    for session in newest:
        if session.problems:
            return f"paper session {session.day} was not clean: {', '.join(session.problems)}"
    age = today - newest[0].day
    if age > NEWEST_PAPER_SESSION:
        return f"the newest paper session is of {newest[0].day}, {age.days} days ago"
    return None


def _role(keys: Keys) -> Disagreement | None:
    return None if keys.may_drive else WRONG_ROLE


def _database(keys: Keys) -> Disagreement | None:
    if keys.database_mode in (None, Mode.DRY_RUN, keys.mode) or keys.mode is Mode.DRY_RUN:
        return None
    return Disagreement("database", f"it serves mode {keys.database_mode} for life")


def _gateway_of_sim(keys: Keys) -> Disagreement | None:
    gateway = keys.gateway
    if gateway.is_simulator:
        return None
    if gateway.is_paper is False or not (gateway.is_paper or is_paper_account(keys.account)):
        return Disagreement("gateway", f"{keys.gateway_url} is not the simulated gateway, and its account is no paper")
    return None


def _gateway_of_paper(keys: Keys) -> Disagreement | None:
    if not is_paper_account(keys.account):
        return Disagreement("gateway", "the pinned account's id is not of a paper account (DU...)")
    if keys.gateway.is_paper is False:
        return Disagreement("gateway", f"{keys.gateway_url} says that its accounts are not paper")
    return None


def _gateway_of_live(keys: Keys) -> Disagreement | None:
    gateway = keys.gateway
    text = None
    if gateway.is_simulator:
        text = f"{keys.gateway_url} is the simulated gateway ({gateway.server_name})"
    elif gateway.accounts != (keys.account,):
        text = f"{keys.gateway_url} lists {len(gateway.accounts)} accounts, not exactly the pinned one"
    elif is_paper_account(keys.account):
        text = "the pinned account's id is of a paper account"
    elif gateway.is_paper is not False:
        said = "says that its accounts are paper" if gateway.is_paper else "does not say whether its accounts are paper"
        text = f"{keys.gateway_url} {said}"
    elif not keys.gateway_url.startswith("https://"):
        text = f"{keys.gateway_url} is not https"
    return None if text is None else Disagreement("gateway", text)


def _config(keys: Keys) -> Disagreement | None:
    if keys.config_sha256 is None:
        return Disagreement("config", "mode live is set in a configuration file, and IBKR_ASSETS_CONFIG names none")
    if keys.file_mode != Mode.LIVE:
        said = "says no mode" if keys.file_mode is None else f"says mode {keys.file_mode}"
        return Disagreement("config", f"the file of IBKR_ASSETS_CONFIG {said}, not live")
    return None


def _environment(keys: Keys) -> Disagreement | None:
    wanted = f"{account_ref(keys.account)}:{keys.now.astimezone(_NEW_YORK).date()}"
    if keys.live_arm == wanted:
        return None
    said = "is not set" if not keys.live_arm else f"is {keys.live_arm!r}"
    return Disagreement("environment", f"{LIVE_ARM} {said}, wanted {wanted!r}")


def _arm(keys: Keys) -> Disagreement | None:
    arm = keys.arm
    if arm is None:
        return Disagreement("arm", "no operator has armed the account, or it was disarmed or killed since")
    if arm.expires_at <= keys.now:
        return Disagreement("arm", f"it ran out at {arm.expires_at.isoformat(timespec='seconds')}")
    if arm.config_sha256 != keys.config_sha256:
        return Disagreement(
            "arm", f"it is for configuration {_short(arm.config_sha256)}, in force is {_short(keys.config_sha256)}"
        )
    return None


def _paper_record(arm: Arm | None) -> Disagreement | None:
    if arm is None:
        return None  # said by the key `arm` already
    fault = faults_of_record(arm.paper_sessions, today=arm.at.astimezone(_NEW_YORK).date())
    if fault is None and arm.violations:
        fault = f"invariants did not hold: {', '.join(arm.violations)}"
    return None if fault is None else Disagreement("paper_record", fault)


def _short(digest: str | None) -> str:
    return f"sha256:{digest[:12]}" if digest else "none"
