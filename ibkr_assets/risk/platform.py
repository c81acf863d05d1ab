"""R21 and R24: is the platform that decides the one that sends, and is it well?

What goes here: versions, clocks, disk, and whether somebody would hear an alarm. What does not: measuring any of it.
"""

from __future__ import annotations

from ibkr_assets.domain.order import Mode, OrderIntent
from ibkr_assets.risk.codes import DenialCode
from ibkr_assets.risk.departure import check_clock
from ibkr_assets.risk.facts import Exposure, Facts, Finding, Limits
from ibkr_assets.risk.finding import ZERO, answer, denied, known, show, unknown


def check_version(_intent: OrderIntent, facts: Facts, _exposure: Exposure, _limits: Limits) -> Finding:
    """The code, the settings that decide and the schema are those of the process that sends.

    Source: SEC release 34-70694 (Knight Capital): one of eight servers ran old code; RTS 6 Article 11.
    """
    own, other = facts.platform.own, facts.platform.submitter
    if own is None or other is None:
        numbers = show(own=own, submitter=other)
        return denied(DenialCode.VERSION, numbers, "what the submitter runs is not known: start it and try again")
    numbers = show(
        code=own.code, submitter_code=other.code, configuration=own.configuration,
        submitter_configuration=other.configuration, schema=own.schema, submitter_schema=other.schema,
    )  # fmt: skip
    differing = [name for name in ("code", "configuration", "schema") if getattr(own, name) != getattr(other, name)]
    text = f"the submitter runs another {' and another '.join(differing)}"
    return answer(DenialCode.VERSION, numbers, text, is_passed=not differing)


def check_platform(_intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """Clock and database agree, the disk has room, and in mode live somebody answers alarms.

    Source: SEC release 34-70694 (Knight Capital): warnings were mails that nobody read; RTS 6 Article 16.
    """
    found = facts.platform
    numbers = show(
        clock_skew_s=found.clock_skew_s, allowed_skew_s=limits.max_clock_skew_s,
        disk_free_bytes=found.disk_free_bytes, disk_size_bytes=found.disk_size_bytes,
        least_bytes=limits.min_disk_free_bytes, least_fraction=limits.min_disk_free_fraction,
        alert_age_s=found.alert_age_s, allowed_alert_age_s=limits.max_alert_age_s,
    )  # fmt: skip
    got = known(
        found.clock_skew_s, limits.max_clock_skew_s, found.disk_free_bytes, found.disk_size_bytes,
        limits.min_disk_free_bytes, limits.min_disk_free_fraction,
    )  # fmt: skip
    if got is None:
        return unknown(DenialCode.PLATFORM, numbers)
    skew, most_skew, free, size, least, fraction = got
    if abs(skew) > most_skew:
        return denied(DenialCode.PLATFORM, numbers, f"clock and database are {abs(skew):.1f} s apart")
    if free < least or free < fraction * size:
        return denied(DenialCode.PLATFORM, numbers, f"{free} bytes are free on the disk")
    if facts.mode is not Mode.LIVE:
        return answer(DenialCode.PLATFORM, numbers, "", is_passed=True)
    alert = known(found.alert_age_s, limits.max_alert_age_s)
    if alert is None:
        return denied(DenialCode.PLATFORM, numbers, "nobody who would hear an alarm has answered")
    text = f"nobody answered an alarm for {alert[0]:.0f} s"
    return answer(DenialCode.PLATFORM, numbers, text, is_passed=ZERO <= alert[0] <= alert[1])


def check_gateway_clock(_intent: OrderIntent, facts: Facts, _exposure: Exposure, limits: Limits) -> Finding:
    """The gateway's clock and ours agree within two seconds.

    Source: RTS 25 (business clocks), RTS 6 Article 16.
    """
    allowed = known(limits.max_gateway_skew_s)
    if allowed is None:
        return unknown(DenialCode.CLOCK, show(limit_s=limits.max_gateway_skew_s))
    return check_clock(facts.departure.gateway_skew_s, limit_s=float(allowed[0]))
