"""Strings that would run as scripts where a page forgot to escape, and rows that hold them in every field of text.

What goes here: the strings, and putting them past every check of the code into the tables that pages read, as somebody
with the owner's rights could, or as a broker's answer does. Each string calls `pwned()` when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from ibkr_assets.adapters.postgres.connection import Database

RUN = "pwned()"
#: Ways into a page: elements, attributes, addresses, ends of a quotation or a comment, other alphabets, other cases.
STRINGS = (
    f"<script>{RUN}</script>",
    f"<SCRIPT>{RUN}</SCRIPT>",
    f"<script src=data:,{RUN}></script>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<script\x20type=module>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<img src=x onerror='{RUN}'>",
    f'<img src="x" onerror="{RUN}">',
    f"<img/src=x/onerror={RUN}>",
    f"<IMG SRC=x ONERROR={RUN}>",
    "<img src=x onerror=&#112;wned()>",
    f"<svg onload={RUN}>",
    f"<svg/onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s></svg>",
    f"<svg><a xlink:href=javascript:{RUN}><text y=9>x</text></a></svg>",
    f"<math><mtext></form><form><mglyph><style></math><img src=x onerror={RUN}>",
    f"<body onload={RUN}>",
    f"<iframe src=javascript:{RUN}></iframe>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f"<object data=javascript:{RUN}></object>",
    f"<embed src=javascript:{RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}></audio>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}></select>",
    f"<textarea autofocus onfocus={RUN}></textarea>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<style>@import 'javascript:{RUN}';</style>",
    f"<link rel=stylesheet href=javascript:{RUN}>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    f"<base href=javascript:{RUN}//>",
    f"<form action=javascript:{RUN}><button autofocus>x</button></form>",
    f"<a href=javascript:{RUN} autofocus>x</a>",
    f'" onmouseover="{RUN}" x="',
    f"' onfocus='{RUN}' autofocus='",
    f'" autofocus onfocus="{RUN}',
    f"` onerror=`{RUN}`",
    f"javascript:{RUN}",
    f"data:text/html,<script>{RUN}</script>",
    f"{{{{ {RUN} }}}}",
    f"${{{RUN}}}",
    f"\u202e<script>{RUN}</script>",
    f"\uff1cscript\uff1e{RUN}\uff1c/script\uff1e<img src=x onerror={RUN}>",
)

#: What is filled, by what people call it.
FIELDS = (
    "an order's strategy",
    "an order's symbol",
    "an order's reason",
    "who proposed it",
    "the broker's order id",
    "the broker's answer",
    "the broker's question",
    "what it was answered",
    "why permission was withdrawn",
    "who withdrew it",
    "an alert's text",
    "an alert's subject",
    "a difference",
    "a signal's reason",
    "a strategy's kind",
    "a strategy's parameters",
    "who changed a strategy",
    "what somebody did",
    "who did it",
    "what came of it",
    "the submitter's word",
    "an instrument's symbol",
    "why an instrument is held",
)
_TABLES = (
    "oms.order_intent",
    "oms.order_event",
    "oms.wire_call",
    "oms.question",
    "oms.control",
    "oms.alert",
    "oms.recon_break",
    "oms.heartbeat",
    "research.signal",
    "research.strategy",
    "md.instrument",
    "dash.act",
)


def poison(database: Database) -> str:
    """Put every string into every field, beside one decision that is there; returns the order that holds them all."""
    with database.connect() as connection:
        for table in _TABLES:
            connection.execute(f"alter table {table} disable trigger user")
        row = connection.execute(
            "select intent_id, client_order_id, account_ref, conid from oms.order_intent"
        ).fetchone()
        assert row is not None
        intent, order, ref, conid = row
        for number, text in enumerate(STRINGS):
            _orders(connection, intent, conid, number, text)
            _around(connection, intent, ref, conid, number, text)
        connection.execute("update oms.heartbeat set detail = %s, status = %s", (STRINGS[0], STRINGS[10]))
        connection.execute("update md.instrument set symbol = %s where conid = %s", (STRINGS[10], conid))
        connection.execute("update oms.order_intent set reason = %s, created_by = %s, symbol = %s where intent_id = %s",
                           (STRINGS[0], STRINGS[10], STRINGS[16], intent))  # fmt: skip
        for table in _TABLES:
            connection.execute(f"alter table {table} enable trigger user")
    return str(order)


def _copy(connection: Any, table: str, changes: dict[str, Any], where: str, identity: tuple[str, ...]) -> None:
    """Another row like one that is there, with other values in some columns."""
    schema, name = table.split(".")
    columns = [
        found[0]
        for found in connection.execute(
            "select column_name from information_schema.columns where table_schema = %s and table_name = %s "
            "and is_identity = 'NO' and is_generated = 'NEVER'",
            (schema, name),
        ).fetchall()
        if found[0] not in identity
    ]
    kept = [column for column in columns if column not in changes]
    names, values = ", ".join([*kept, *changes]), ", ".join([*kept, *(f"%({column})s" for column in changes)])
    connection.execute(f"insert into {table} ({names}) select {values} from {table} where {where} limit 1", changes)


def _orders(connection: Any, intent: Any, conid: int, number: int, text: str) -> None:
    letters = "".join("abcdefghijklmnopqrstuvwxyz"[int(digit)] for digit in f"{number:02d}")
    _copy(
        connection, "oms.order_intent",
        {"client_order_id": "q1-" + letters.rjust(26, "z"), "decision_key": f"hostile {number}", "strategy_id": text,
         "symbol": text, "reason": text, "created_by": text, "broker_order_id": text},
        f"intent_id = '{intent}'", ("intent_id",),
    )  # fmt: skip
    strategy = f"hostile-{number}"
    _copy(connection, "research.strategy", {"id": strategy, "kind": text, "params": Jsonb({text: text}), "actor": text,
                                            "sizing": text, "schedule": text}, "id = 'cross'", ())  # fmt: skip
    _copy(
        connection, "research.signal", {"strategy_id": strategy, "reason": text, "symbol": text}, "true", ("signal_id",)
    )


def _around(connection: Any, intent: Any, ref: str, conid: int, number: int, text: str) -> None:
    run = connection.execute
    _copy(
        connection,
        "oms.wire_call",
        {"answer": text, "request": Jsonb({text: text})},
        f"intent_id = '{intent}'",
        ("call_id",),
    )
    run("insert into oms.question (intent_id, reply_id, message_ids, texts, decision, decision_reason, decided_at) "
        "values (%s, %s, %s, %s, 'decline', %s, now())", (intent, f"r{number}", [text], [text], text))  # fmt: skip
    run("insert into oms.control (scope, action, actor, session, reason) values (%s, 'disarm', %s, 'x', %s)",
        (f"conid:{conid}", text, text))  # fmt: skip
    run("insert into oms.recon_break (account_ref, kind, subject, blocks, detail, conid) "
        "values (%s, %s, %s, 'nothing', %s, %s)", (ref, text, text, Jsonb({text: text}), conid))  # fmt: skip
    run("insert into oms.alert (account_ref, severity, kind, subject, text, raised_by) "
        "select %s, 'warning', code, %s, %s, %s from oms.alert_code limit 1", (ref, text, text, text))  # fmt: skip
    run("insert into dash.act (key, action, subject, actor, role, session, detail, ended_at, result) "
        "values (%s, %s, %s, %s, %s, 'x', %s, now(), %s)",
        (f"hostile-{number}", text, text, text, text, Jsonb({text: text}), text))  # fmt: skip
