"""When somebody is told of an alert, in how many messages, and in which words.

What goes here: decisions without a clock, a database or a network. What does not: the process that carries them out
(`execution.alert_sender`), and which alerts there are (`domain.alert`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ibkr_assets.domain.alert import AlertCode, Delivery, Severity
from ibkr_assets.domain.text import visible

#: More messages than this at once are one message: a person reads a list sooner than a dozen alarms.
MOST_APART = 3
FIRST_RETRY_S = 15.0
LONGEST_RETRY_S = 900.0
RATE_WINDOW = timedelta(minutes=1)
#: A channel's own failure is told by the other channels when it lasts.
FAILING = timedelta(minutes=5)
_TITLE = 120


@dataclass(frozen=True, slots=True)
class Terms:
    """How alerts are told. Hours are local to `zone`; `quiet` begins and ends, and may go over midnight."""

    zone: ZoneInfo
    quiet: tuple[time, time] | None = None
    digest_at: time = time(18)
    messages_per_minute: int = 6
    remind_every: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to a channel at once, and the deliveries that it carries."""

    title: str
    body: str
    severity: Severity
    deliveries: tuple[int, ...] = field(default=())
    tries: int = 0


def due_at(severity: Severity, code: str, now: datetime, terms: Terms) -> datetime:
    """When a channel may be told: pages and tests at once, warnings after the quiet hours, the rest in the digest."""
    if severity is Severity.PAGE or code == AlertCode.TEST:
        return now
    if severity is Severity.INFO:
        return next_digest(now, terms)
    return _after_quiet(now, terms)


def next_digest(now: datetime, terms: Terms) -> datetime:
    """The next time of the daily digest, `now` itself included."""
    local = now.astimezone(terms.zone)
    at = _on(local.date(), terms.digest_at, terms.zone)
    return at if at >= now else _on(local.date() + timedelta(days=1), terms.digest_at, terms.zone)


def digest_due(now: datetime, terms: Terms) -> date:
    """The day whose digest is the newest that is due: today's from its hour on, yesterday's before."""
    local = now.astimezone(terms.zone)
    return local.date() if _on(local.date(), terms.digest_at, terms.zone) <= now else local.date() - timedelta(days=1)


def digest_at(day: date, terms: Terms) -> datetime:
    """When the digest of that day is due."""
    return _on(day, terms.digest_at, terms.zone)


def retry_in(tries: int) -> timedelta:
    """The pause after the given number of failed tries: doubled each time, a quarter of an hour at most."""
    return timedelta(seconds=min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(max(tries - 1, 0), 16)))


def share_out(due: Sequence[Delivery], allowance: int) -> list[list[Delivery]]:
    """What goes into one message each, most urgent first; no more messages than `allowance`.

    The digest takes what waited for it along. What was tried before goes alone with its like: a repeat is not mixed
    with news.
    """
    told_daily = [one for one in due if one.event == "digest" or (one.severity is Severity.INFO and one.code != "test")]
    urgent = sorted((one for one in due if one not in told_daily), key=lambda one: (-one.severity.rank, one.id))
    room = allowance - bool(told_daily) if allowance > 1 else allowance
    if len(urgent) <= min(room, MOST_APART):
        groups = [[one] for one in urgent]
    else:
        pages = [one for one in urgent if one.severity is Severity.PAGE]
        rest = [one for one in urgent if one.severity is not Severity.PAGE]
        groups = [group for group in (pages, rest) if group] if room > 1 else [urgent]
    if told_daily:
        groups.append(told_daily)
    return groups[: max(allowance, 0)]


def write_message(group: Sequence[Delivery], *, place: str, digest: Mapping[str, Any] | None = None) -> Message:
    """The words. `place` tells one installation from another; `digest` is the day in figures, where one is due."""
    severity = max((one.severity for one in group), key=lambda severity: severity.rank)
    first = group[0]
    if any(one.event == "digest" for one in group):
        day = next(one.digest_of for one in group if one.event == "digest")
        title = f"{place}: digest of {day}"
    elif len(group) == 1:
        title = f"{place} {_kind(first)}: {visible(first.text)}"
    else:
        title = f"{place} {severity.upper()}: {len(group)} alerts, the first: {visible(first.text)}"
    lines = [f"{visible(str(name))}: {visible(str(value))}" for name, value in (digest or {}).items()]
    for one in group:
        lines += ([""] if lines else []) + _describe(one)
    return Message(
        title=title if len(title) <= _TITLE else title[: _TITLE - 3] + "...",
        body="\n".join(lines),
        severity=severity,
        deliveries=tuple(one.id for one in group),
        tries=max(one.tries for one in group),
    )


def _kind(one: Delivery) -> str:
    return {"resolved": "over", "reminder": "STILL OPEN"}.get(one.event, one.severity.upper())


def _describe(one: Delivery) -> list[str]:
    repeat = f"Delivery {one.id} is sent again: whether it arrived the first time is not known."
    if one.event == "digest":
        return [f"delivery {one.id}"] + ([repeat] if one.may_have_arrived else [])
    lines = [
        f"{_kind(one)}: {visible(one.text)}",
        f"{one.code} of {visible(one.subject)}, {_span(one)}",
        f"What it means and what to do: docs/runbook.md, section {one.code}. Alert {one.alert_id}, delivery {one.id}.",
    ]
    return lines + ([repeat] if one.may_have_arrived else [])


def _span(one: Delivery) -> str:
    since = "" if one.raised_at is None else f"since {one.raised_at:%Y-%m-%d %H:%M:%S} UTC"
    over = "" if one.resolved_at is None else f", over at {one.resolved_at:%Y-%m-%d %H:%M:%S} UTC"
    return since + over + (f", seen {one.repeats + 1} times" if one.repeats else "")


def _after_quiet(now: datetime, terms: Terms) -> datetime:
    if terms.quiet is None:
        return now
    begins, ends = terms.quiet
    local = now.astimezone(terms.zone)
    clock = local.time()
    is_quiet = begins <= clock < ends if begins <= ends else clock >= begins or clock < ends
    if not is_quiet:
        return now
    end = _on(local.date(), ends, terms.zone)
    return end if end > now else _on(local.date() + timedelta(days=1), ends, terms.zone)


def _on(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(ZoneInfo("UTC"))
