"""Who somebody is: signed session cookies, passwords, one-time links.

What goes here: making and checking them. What does not: what somebody may do (`dashboard.access`) and the pages that
ask (`dashboard.pages.login`). A session is a signed cookie and nothing in a database, so that permission to trade can
be withdrawn from the page while Postgres is down.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from itsdangerous import BadSignature, URLSafeSerializer

from ibkr_assets.dashboard.access import Role
from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.sections import DashboardUser

#: Seconds that a session lasts, and after which a password is asked for again before permission is given back.
SESSION_S = 12 * 3600.0
FRESH_S = 15 * 60.0
LINK_S = 15 * 60.0
#: Failed tries of one client, or for one name, within the window; more are refused unread.
TRIES = 10
WINDOW_S = 15 * 60.0
LINK_NAME = "link"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who logged in at `since` (seconds of the epoch); `token` is what every form of theirs carries."""

    name: str
    role: Role
    id: str
    token: str
    since: float

    def is_fresh(self, now: float) -> bool:
        """Whether the login is young enough to give permission to trade without another one."""
        return now - self.since <= FRESH_S


class Sessions:
    """Cookies signed with a key of the data directory. Ended sessions are remembered until they would end anyway."""

    def __init__(self, key: str, *, now: Callable[[], float] = time.time) -> None:
        self._signer = URLSafeSerializer(key, salt="dashboard session")
        self._now = now
        self._ended: dict[str, float] = {}

    def begin(self, name: str, role: Role) -> Session:
        """A new session with an id of its own: a login never takes over an id that was there before."""
        return Session(name, role, secrets.token_urlsafe(18), secrets.token_urlsafe(24), self._now())

    def write(self, session: Session) -> str:
        """The cookie's value."""
        return str(
            self._signer.dumps([session.name, int(session.role), session.id, session.token, round(session.since)])
        )

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie, or None for one that is forged, too old, or ended."""
        if not cookie:
            return None
        try:
            name, role, identity, token, since = self._signer.loads(cookie)
        except (BadSignature, ValueError):
            return None
        if self._now() - since > SESSION_S or identity in self._ended:
            return None
        return Session(name, Role(role), identity, token, since)

    def end(self, session: Session) -> None:
        """Log out."""
        now = self._now()
        self._ended = {identity: at for identity, at in self._ended.items() if now - at <= SESSION_S}
        self._ended[session.id] = now


class Passwords:
    """The users of the settings. Failed tries are counted by client and by name, so that guessing is slow."""

    def __init__(self, users: Sequence[DashboardUser], *, now: Callable[[], float] = time.monotonic) -> None:
        self._users = {user.name: user for user in users}
        self._hasher = PasswordHasher()
        # Checked for names that do not exist, so that a wrong name takes as long as a wrong password.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))
        self._now = now
        self._failed: dict[str, deque[float]] = {}

    def is_blocked(self, client: str, name: str) -> bool:
        """Whether too many tries failed lately."""
        return any(self._recent(key) >= TRIES for key in (f"client {client}", f"name {name}"))

    def check(self, client: str, name: str, password: str) -> Role | None:
        """The role of a user with this password, or None; a failure is counted."""
        user = self._users.get(name)
        stored = self._nobody if user is None else user.password_hash.get_secret_value()
        try:
            self._hasher.verify(stored, password)
        except VerificationError:
            user = None
        except InvalidHashError:
            raise ConfigurationError(f"dashboard.users: the password_hash of {name} is no argon2 hash") from None
        if user is not None:
            return Role[user.role.upper()]
        for key in (f"client {client}", f"name {name}"):
            self._failed.setdefault(key, deque(maxlen=TRIES)).append(self._now())
        return None

    def _recent(self, key: str) -> int:
        tries = self._failed.get(key, deque())
        while tries and self._now() - tries[0] > WINDOW_S:
            tries.popleft()
        return len(tries)


def make_hash(password: str) -> str:
    """What `dashboard.users.password_hash` takes. Raises ConfigurationError for a password that is too short."""
    if len(password) < 12:
        raise ConfigurationError(f"password: at least 12 characters, got {len(password)}")
    return PasswordHasher().hash(password)


def link_directory(data_dir: Path) -> Path:
    """Where the dashboard keeps its key and the one-time link."""
    return data_dir / "dashboard"


def signing_key(directory: Path) -> str:
    """The key that sessions are signed with, made once and readable by its owner alone."""
    path = directory / "key"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    key = path.read_text(encoding="ascii")
    if len(key) < 32:
        raise ConfigurationError(f"{path}: not a key; remove it, and all sessions end")
    return key


def make_link(directory: Path, role: Role, *, now: float) -> str:
    """A token that lets its bearer in once, within 15 minutes; the one before it counts no more."""
    token = secrets.token_urlsafe(24)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = directory / f"{LINK_NAME}.new"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        json.dump({"token": token, "role": role.name, "until": now + LINK_S}, file)
    new.replace(directory / LINK_NAME)
    return token


def is_link(directory: Path, token: str, *, now: float) -> bool:
    """Whether the token would be let in; it stays valid."""
    return _read_link(directory, token, now) is not None


def use_link(directory: Path, token: str, *, now: float) -> Role | None:
    """The role that the token gives, or None. It is used up by this, whoever else tries at the same moment."""
    found = _read_link(directory, token, now)
    if found is None:
        return None
    try:
        (directory / LINK_NAME).unlink()
    except FileNotFoundError:
        return None
    return found


def _read_link(directory: Path, token: str, now: float) -> Role | None:
    try:
        link = json.loads((directory / LINK_NAME).read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    if now > link["until"] or not secrets.compare_digest(token.encode(), link["token"].encode()):
        return None
    return Role[link["role"]]
