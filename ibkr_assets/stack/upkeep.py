"""What has to go on without anybody looking: room on the disk, backups, minutes, workers, whoever answers questions.

What goes here: asking each once, and when that is not well. What does not: what is asked beside it and how it is shown
(`stack.checks`). Nothing is mended here.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ibkr_assets import bootstrap
from ibkr_assets.domain.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from ibkr_assets.market.calendar import ExchangeCalendar
    from ibkr_assets.settings import Settings

#: A nightly backup is late when it is older than a day and what it may take.
BACKUP_LATE = timedelta(hours=26)
#: Where `docker compose run backup` writes, and `doctor` looks.
BACKUPS = "backups"
_ANSWER_S = 2.0
_MINUTE = timedelta(minutes=1)
_NEWEST_MINUTE = """
select max(newest.opened_at) from md.instrument i cross join lateral (
  select b.opened_at from md.bar b where b.conid = i.conid and b.bar_size = '1min' and b.known_to is null
  order by b.opened_at desc limit 1
) newest where i.symbol = any(%s)
"""


class Unknown(Exception):
    """Nothing can be said, and why."""


def look_at_disk(settings: Settings) -> str:
    """Room on the disk of the data directory, by the limits that orders are held against (R24)."""
    from ibkr_assets.adapters.machine import disk_room

    path, limits = settings.data_dir.absolute(), bootstrap.limits(settings)
    if not path.exists():
        raise Unknown(f"{path} is not there yet")
    room = disk_room(path)
    if room is None:
        raise Unknown(f"{path}: its disk does not say what is free")
    free, total = room
    least = max(limits.min_disk_free_bytes, int(limits.min_disk_free_fraction * total))
    text = f"{path}: {free / 1e9:.1f} of {total / 1e9:.0f} GB free"
    if free < least:
        raise Unavailable(f"{text}; orders are denied below {least / 1e9:.1f} GB")
    return text


def look_at_backups(settings: Settings, now: datetime) -> str:
    """The age of the newest backup in the data directory; one that is kept elsewhere is not seen. `now` is aware."""
    directory = settings.data_dir.absolute() / BACKUPS
    newest = max((taken for path in _entries(directory) if (taken := _taken_at(path.name)) is not None), default=None)
    if newest is None:
        raise Unknown(f"none in {directory}; make one: ibkr-assets db backup --out {directory}")
    age = now - newest
    text = f"newest of {newest:%Y-%m-%d %H:%M} UTC, {age / timedelta(hours=1):.0f} h old"
    if age > BACKUP_LATE:
        raise Unavailable(text)
    return text


def look_at_minutes(settings: Settings) -> str:
    """Whether minute bars come, where they are collected at all."""
    every = settings.market.minutes_every
    if every is None:
        return "none are collected: market.minutes_every is not set"
    with bootstrap.database(settings).connect() as connection:
        row = connection.execute(_NEWEST_MINUTE, (list(settings.market.symbols),)).fetchone()
    newest = None if row is None else row[0]
    now, calendar = bootstrap.clock(settings).now(), bootstrap.calendar(settings)
    return judge_minutes(newest, now, calendar, timedelta(minutes=every))


def judge_minutes(newest: datetime | None, now: datetime, calendar: ExchangeCalendar, every: timedelta) -> str:
    """What is said of the newest minute (its opening, aware). Raises Unavailable for one that is late.

    A collection may take as long as it is until the next one.
    """
    from ibkr_assets.ingest.minutes import newest_boundary

    asked = now - every
    session = calendar.session_at(asked) or calendar.last_closed(asked)
    due = newest_boundary(session, asked, every)
    text = "there is none" if newest is None else f"the newest is of {newest:%Y-%m-%d %H:%M} UTC"
    if due is not None and (newest is None or newest < due - _MINUTE):
        raise Unavailable(f"{text}; those until {due:%Y-%m-%d %H:%M} UTC are due")
    return f"{text}, collected every {every / _MINUTE:.0f} min"


def look_at_workers(settings: Settings) -> str:
    """The broker of runs on other machines, and who takes them from it."""
    url = settings.cluster.broker_url
    if url is None:
        return "runs are processes of Dagster's own machine: cluster.broker_url is not set"
    try:
        import redis

        from ibkr_assets.stack.cluster import QUEUE, worker_app
    except ImportError:
        raise ConfigurationError("cluster.broker_url: set, but the extra `cluster` is not installed") from None
    secret = url.get_secret_value()
    try:
        with redis.Redis.from_url(secret, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S) as client:
            waiting = int(client.llen(QUEUE))
    except redis.RedisError as error:
        raise Unavailable(f"the broker does not answer: {type(error).__name__}") from None
    answers = worker_app(secret).control.ping(timeout=_ANSWER_S) or []
    names = sorted(name for answer in answers for name in answer)
    if not names:
        raise Unavailable(f"the broker answers, and no worker does; {waiting} runs wait")
    return f"{', '.join(names)}; {waiting} runs wait"


def require_answer(url: str) -> None:
    """Raises Unavailable where nobody listens at the host and port of a URL. Nothing is sent."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=_ANSWER_S):
            return
    except OSError as error:
        raise Unavailable(f"{parts.hostname}:{port} does not answer: {error}") from None


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


def _taken_at(name: str) -> datetime | None:
    """When a backup was taken, by its directory's name; None for what is none."""
    from ibkr_assets.adapters.postgres.backup import NAME

    try:
        return datetime.strptime(name, NAME).replace(tzinfo=UTC)
    except ValueError:
        return None
