"""Values as people read them: numbers with separators and signs, moments with their age, and the page around them.

What goes here: formats and the template environment. What does not: which values a page shows (`dashboard.pages`).
"""

from __future__ import annotations

import json
import math
import re
import secrets
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ibkr_assets.dashboard.access import Role
from ibkr_assets.dashboard.sources import Sources, card

_EXCHANGE = ZoneInfo("America/New_York")
#: A number older than this many seconds is shown as old.
OLD_S = 90.0
_DASH = "–"
#: A whole number from here on is a count, such as a volume, and no price.
_WHOLE = 10_000
_NOTHING = Markup("–")
_AMOUNT = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?= USD\b)")
NAVIGATION = (
    ("/", "Overview"), ("/positions", "Positions"), ("/signals", "Signals"), ("/orders", "Orders"), ("/runs", "Runs"),
    ("/experiments", "Experiments"), ("/backtests", "Backtests"), ("/strategies", "Strategies"),
    ("/quarantine", "Quarantine"), ("/alerts", "Alerts"), ("/system", "System"),
)  # fmt: skip


def money(value: Decimal | float | None, places: int = 2) -> str:
    """1,234.50, or a dash for what is not known."""
    return _DASH if value is None else f"{value:,.{places}f}"


def cents(text: str | None) -> str:
    """A sentence of a rule with its amounts of USD as `money`; whole where two of them would look the same then."""
    found = {amount: money(Decimal(amount)) for amount in _AMOUNT.findall(text or "")}
    if len(set(found.values())) < len({Decimal(amount) for amount in found}):
        return str(text)
    return _AMOUNT.sub(lambda amount: found[amount[0]], text or "")


def number(value: Decimal | float | str | None) -> str:
    """A number without idle zeros; exact ones may come as text."""
    if value is None:
        return _DASH
    if isinstance(value, str):
        value = Decimal(value)
    text = f"{value:,.6f}" if isinstance(value, Decimal) else f"{value:,.6g}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain(value: Any) -> str:
    """A value as it came: a number with separators, anything else as its text, however odd it is."""
    if isinstance(value, bool) or not isinstance(value, Decimal | float | int):
        return _DASH if value is None else str(value)
    amount = float(value)
    if not math.isfinite(amount):
        return str(value)
    if isinstance(value, int) or (amount.is_integer() and abs(amount) >= _WHOLE):
        return f"{value:,.0f}"
    whole, _, part = f"{value:,.6f}".partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


def percent(value: Decimal | float | None, places: int = 2) -> str:
    """0.0123 as 1.23 %."""
    return _DASH if value is None else f"{value * 100:,.{places}f} %"


def signed(value: Decimal | float | None, places: int = 2) -> Markup:
    """With sign, arrow and colour: never the colour alone."""
    if value is None:
        return _NOTHING
    arrow, kind = ("▲", "up") if value > 0 else ("▼", "down") if value < 0 else ("", "even")
    text = f"{value:+,.{places}f}" if value else f"{value:,.{places}f}"
    return Markup('<span class="{}"><span aria-hidden="true">{}</span> {}</span>').format(kind, arrow, text)


def signed_percent(value: Decimal | float | None) -> Markup:
    """A fraction as a signed percentage."""
    shown = signed(None if value is None else value * 100)
    return shown if value is None else shown + Markup("&#8239;%")


def moment(value: datetime | str | None) -> Markup:
    """The exchange's time, UTC on hover; stored documents have it as ISO text."""
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    local = value.astimezone(_EXCHANGE)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.isoformat(), f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC", f"{local:%Y-%m-%d %H:%M:%S %Z}"
    )


def day(value: date | datetime | None) -> str:
    """The date in the exchange's zone."""
    if value is None:
        return _DASH
    if isinstance(value, datetime):
        value = value.astimezone(_EXCHANGE).date()
    return value.isoformat()


def age(value: datetime | None, now: datetime) -> Markup:
    """How long ago, counted on by the page; marked where it is old."""
    if value is None:
        return Markup('<span class="age">never</span>')
    seconds = max((now - value).total_seconds(), 0.0)
    return Markup('<span class="age{}" data-at="{}">{}</span>').format(
        " old" if seconds > OLD_S else "", value.isoformat(), span(seconds)
    )


def span(seconds: float | None) -> str:
    """A length of time in the largest unit that fits."""
    if seconds is None:
        return _DASH
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def words(value: Any) -> str:
    """Parameters and other small mappings in one line; what has no value is left out."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {words(part)}" for name, part in value.items() if part not in (None, "")) or _DASH
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, list | tuple):
        return ", ".join(words(part) for part in value) or _DASH
    return _DASH if value is None or value == "" else str(value)


def pretty(value: Any) -> str:
    """A JSON document to look at."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)


def new_key() -> str:
    """What makes two presses of one button one act."""
    return secrets.token_urlsafe(12)


@cache
def environment() -> Environment:
    """Templates that escape everything and refuse a name that nobody gave them."""
    made = Environment(
        loader=PackageLoader("ibkr_assets.dashboard"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "money": money, "number": number, "percent": percent, "signed": signed, "signed_percent": signed_percent,
        "moment": moment, "day": day, "span": span, "words": words, "pretty": pretty, "plain": plain, "cents": cents,
    }  # fmt: skip
    made.globals |= {"age": age, "Role": Role, "has_scripts": bool(script_names()), "new_key": new_key}
    return made


@cache
def script_names() -> dict[str, str]:
    """Built scripts by the name of their entry; empty where they were not built, and pages work without them."""
    manifest = Path(__file__).parent / "static" / "dist" / "manifest.json"
    if not manifest.exists():
        return {}
    found: dict[str, str] = json.loads(manifest.read_text(encoding="utf-8"))
    return found


def render(request: Request, template: str, *, code: int = 200, **values: Any) -> HTMLResponse:
    """A page with what every page shows: who is logged in, the mode, permission to trade, what is open."""
    from ibkr_assets.adapters.postgres.views.condition import condition

    sources: Sources = request.app.state.sources
    found = card(lambda: condition(sources.database, sources.account_ref))
    now = datetime.now(UTC) if found.value is None else found.value["at"]
    shown = environment().get_template(template).render(
        session=request.state.session, path=request.url.path, method=request.method, navigation=NAVIGATION,
        mode=sources.settings.mode,
        condition=found.value, condition_problem=found.problem, now=now, scripts=script_names(),
        theme=request.cookies.get("theme", ""), account_name=sources.account_ref,
        **values,
    )  # fmt: skip
    return HTMLResponse(shown, code)
