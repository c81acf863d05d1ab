"""Secrets that are planted before a stack runs, and the search for them in everything that it writes or shows.

What goes here: what is planted, and where is looked. What does not: running anything (`ibkr_assets_tests.soak`). A
place where a secret belongs is named here with its reason, and nowhere else.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from ibkr_assets.dashboard.access import ROUTES, Role

ACCOUNT = "DU7654321"
METRICS_TOKEN = "canary-metrics-4711aa"
CHANNEL_TOKEN = "canary-channel-4711bb"
MODEL_KEY = "canary-model-key-4711cc"
#: Where a secret belongs. The ledger must know which broker account it is the books of. `stack.json`, the kept
#: passwords and Dagster's own settings are how processes and shells of the same user find the databases: only that
#: user may read them, which the search insists on.
BELONGS = {
    ("account", "table platform oms.account"): "the one row that says which broker account a reference stands for",
}
_OF_ITS_USER = ("stack.json", "postgres-roles.json", "dagster.yaml")
_ORDER_PAGES = 3
DATABASES = ("platform", "dagster", "mlflow")


@dataclass(frozen=True)
class Hit:
    """A secret that was found, by its name, and where."""

    secret: str
    place: str


def environment(directory: Path) -> dict[str, str]:
    """Variables that hand the planted secrets to a stack. The channel's address lies in a file; nobody answers it."""
    channel = directory / "channel"
    channel.write_text(f"json://127.0.0.1:9/{CHANNEL_TOKEN}\n")
    return {
        "IBKR_ASSETS__DASHBOARD__METRICS_TOKEN": METRICS_TOKEN,
        "IBKR_ASSETS__ALERTS__CHANNELS": json.dumps([{"name": "canary", "url_file": str(channel)}]),
        "CANARY_MODEL_KEY": MODEL_KEY,
    }


def planted(data_dir: Path, gateway_token: str, sessions: set[str]) -> dict[str, str]:
    """Every secret of a running stack by its name: what was planted, its own passwords, the gateway's sessions."""
    found = {
        "account": ACCOUNT, "metrics token": METRICS_TOKEN, "channel token": CHANNEL_TOKEN, "model key": MODEL_KEY,
        "admin token": gateway_token,
    }  # fmt: skip
    found |= {f"session cookie {number}": one for number, one in enumerate(sorted(sessions))}
    for role, password in _passwords(data_dir).items():
        found[f"password of {role}"] = password
    return found


def search(data_dir: Path, state: Mapping[str, Any], link: str, secrets: Mapping[str, str]) -> tuple[list[Hit], int]:
    """Hits in every sink of an embedded stack, but where a secret belongs, and how many places were looked at."""
    found = Search(secrets)
    base, _, path = link.partition("/login/")
    with httpx.Client(base_url=base, trust_env=False, timeout=60, headers={"origin": base}) as client:
        entered = client.post(f"/login/{path}")
        assert entered.status_code == 303, f"the link does not let in: {entered.status_code}"
        found.in_pages(client)
    for path in sorted(data_dir.rglob("*")):
        if path.name in _OF_ITS_USER:
            assert path.stat().st_mode & 0o077 == 0, f"{path.name} may be read by others"
        elif path.relative_to(data_dir).parts[0] != "postgres":  # the database's own files are searched as tables
            found.in_file(path, str(path.relative_to(data_dir)))
    for database in DATABASES:
        with psycopg.connect(
            host="127.0.0.1", port=state["ports"]["postgres"], user="postgres", dbname=database,
            password=_passwords(data_dir)["postgres"],
        ) as connection:  # fmt: skip
            found.in_database(database, connection)
    return found.hits, found.places


def _passwords(data_dir: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((data_dir / "postgres-roles.json").read_text())
    return found


class Search:
    """What is looked for, what was found outside the place where it belongs, and how many places were looked at."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """`secrets` by their names."""
        self.secrets = dict(secrets)
        self.hits: list[Hit] = []
        self.places = 0

    def in_text(self, place: str, text: str) -> None:
        """One place as it reads."""
        self.places += 1
        found = [name for name, secret in self.secrets.items() if secret in text]
        self.hits += [Hit(name, place) for name in found if (name, place) not in BELONGS]

    def in_file(self, path: Path, name: str) -> None:
        """A log, a kept setting, an artifact; nothing where it is no file."""
        if path.is_file():
            self.in_text(f"file {name}", path.read_bytes().decode("utf-8", "replace"))

    def in_database(self, name: str, connection: psycopg.Connection[Any]) -> None:
        """Every row of every table; the connection may read them all."""
        tables = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        patterns = [f"%{secret}%" for secret in self.secrets.values()]
        for schema, table in tables:
            query = sql.SQL("select t::text from {} t where t::text like any(%s)").format(sql.Identifier(schema, table))
            rows = connection.execute(query, (patterns,)).fetchall()
            self.in_text(f"table {name} {schema}.{table}", "\n".join(row for (row,) in rows))
        if name == "dagster":  # what it keeps of jobs and plans is compressed
            bodies = connection.execute("select snapshot_body from snapshots").fetchall()
            texts = [zlib.decompress(body).decode("utf-8", "replace") for (body,) in bodies]
            self.in_text("table dagster public.snapshots, unpacked", "\n".join(texts))

    def in_pages(self, client: httpx.Client) -> None:
        """Every page that a viewer may see, the newest orders and runs, and the numbers for Prometheus.

        The client is logged in; from now on the cookie of its session is looked for as well.
        """
        self.secrets["dashboard session"] = next(
            cookie.value or "" for cookie in client.cookies.jar if "ibkr-assets" in cookie.name
        )
        shown = [p for (method, p), role in ROUTES.items() if method == "GET" and role <= Role.VIEWER and "{" not in p]
        seen = ""
        for page in shown:
            answer = client.get(
                page, headers={"authorization": f"Bearer {METRICS_TOKEN}"} if page == "/metrics" else {}
            )
            seen += answer.text
            self.in_text(f"page {page} {answer.status_code}", answer.text + str(answer.headers))
        for kind in (r"/orders/q1-[a-z2-7]{26}", r"/runs/[0-9a-f-]{36}", r"/strategies/[a-z]\w+"):
            for page in sorted(set(re.findall(kind, seen)))[:_ORDER_PAGES]:
                self.in_text(f"page {page}", client.get(page).text)
                if "/runs/" in page:
                    self.in_text(f"log of {page}", client.get(f"/api{page}/log").text)
