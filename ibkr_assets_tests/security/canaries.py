"""Secrets that are planted before a stack runs, and the search for them in everything that it writes or shows.

What goes here: what is planted, and where is looked. What does not: running anything (`ibkr_assets_tests.soak`). A
place where a secret belongs is named here with its reason, and nowhere else.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
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
    """Hits in every sink, but where a secret belongs, and how many places were looked at."""
    hits, places = [], 0
    for place, text in (*_files(data_dir), *_pages(link)):
        places += 1
        hits += [Hit(name, place) for name, secret in secrets.items() if secret in text]
    for place, found in _tables(data_dir, state["ports"]["postgres"], secrets):
        places += 1
        hits += [Hit(name, place) for name in found]
    return [hit for hit in hits if (hit.secret, hit.place) not in BELONGS], places


def _files(data_dir: Path) -> Iterator[tuple[str, str]]:
    """Logs of every process, Dagster's home, MLflow's artifacts; the database's own files are searched as tables."""
    for path in sorted(data_dir.rglob("*")):
        if path.name in _OF_ITS_USER:
            assert path.stat().st_mode & 0o077 == 0, f"{path.name} may be read by others"
            continue
        if not path.is_file() or path.relative_to(data_dir).parts[0] == "postgres":
            continue
        yield f"file {path.relative_to(data_dir)}", path.read_bytes().decode("utf-8", "replace")


def _passwords(data_dir: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((data_dir / "postgres-roles.json").read_text())
    return found


def _tables(data_dir: Path, port: int, secrets: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Every row of the platform's, Dagster's and MLflow's databases, read as their superuser."""
    password = _passwords(data_dir)["postgres"]
    for database in ("platform", "dagster", "mlflow"):
        with psycopg.connect(
            host="127.0.0.1", port=port, user="postgres", password=password, dbname=database
        ) as connection:
            tables = connection.execute(
                "select schemaname, tablename from pg_tables "
                "where schemaname not in ('pg_catalog', 'information_schema')"
            ).fetchall()
            for schema, table in tables:
                query = sql.SQL("select exists (select from {} t where t::text like %s)").format(
                    sql.Identifier(schema, table)
                )
                found = [
                    name
                    for name, secret in secrets.items()
                    if (row := connection.execute(query, (f"%{secret}%",)).fetchone()) is not None and row[0]
                ]
                yield f"table {database} {schema}.{table}", found
            if database == "dagster":  # what it keeps of jobs and plans is compressed
                bodies = [
                    zlib.decompress(body) for (body,) in connection.execute("select snapshot_body from snapshots")
                ]
                texts = [body.decode("utf-8", "replace") for body in bodies]
                yield (
                    "table dagster public.snapshots, unpacked",
                    [name for name, secret in secrets.items() if any(secret in text for text in texts)],
                )


def _pages(link: str) -> Iterator[tuple[str, str]]:
    """Every page that a viewer may see, the newest orders and runs, and the numbers for Prometheus."""
    base, _, path = link.partition("/login/")
    with httpx.Client(base_url=base, trust_env=False, timeout=60, headers={"origin": base}) as client:
        entered = client.post(f"/login/{path}")
        assert entered.status_code == 303, f"the link does not let in: {entered.status_code}"
        shown = [p for (method, p), role in ROUTES.items() if method == "GET" and role <= Role.VIEWER and "{" not in p]
        seen = ""
        for page in shown:
            answer = client.get(
                page, headers={"authorization": f"Bearer {METRICS_TOKEN}"} if page == "/metrics" else {}
            )
            seen += answer.text
            yield f"page {page} {answer.status_code}", answer.text + str(answer.headers)
        for kind in (r"/orders/q1-[a-z2-7]{26}", r"/runs/[0-9a-f-]{36}", r"/strategies/[a-z]\w+"):
            for page in sorted(set(re.findall(kind, seen)))[:_ORDER_PAGES]:
                yield f"page {page}", client.get(page).text
                if "/runs/" in page:
                    yield f"log of {page}", client.get(f"/api{page}/log").text
