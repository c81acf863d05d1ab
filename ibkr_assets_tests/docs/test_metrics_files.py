"""Rules and charts ask for numbers that are there, by their names and labels, and say where to read on."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from ibkr_assets.dashboard import metrics
from ibkr_assets.domain.alert import AlertCode

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
NAME = re.compile(r"\bibkr_assets_[a-z_]+")


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Labels of every sample by its name, from rows that have something of everything."""
    from prometheus_client.parser import text_string_to_metric_families

    now = dict.fromkeys((column for _, _, column in metrics._SINGLE), 1.0) | {"submitter_status": "working", "fills": 1}
    rows = {
        "orders": [{"state": "FILLED", "n": 1}], "denials": [{"rule": "R5", "n": 1}],
        "calls": [{"kind": "place", "outcome": "ok", "n": 1}],
        "latency": [{"kind": "place", "class": 0, "n": 1, "seconds": Decimal(1)}],
        "alerts_raised": [{"code": "killed", "severity": "page", "n": 1, "open": 1}],
        "channels": [{"channel": "web", "waiting": 0, "is_failing": False, "failures": 0}],
        "bars": [{"bar_size": "1d", "newest": datetime(2026, 11, 20, tzinfo=UTC)}],
        "gaps": [{"bar_size": "1d", "n": 1}],
        "model": [{"strategy_id": "s", "outcome": "answered", "n": 1, "usd": Decimal(1), "prompt": 1, "completion": 1}],
        "now": now,
    }  # fmt: skip
    everything = [
        *metrics.describe_platform(rows), *metrics.describe_sources({"database": True}),
        *metrics.describe_runs({"success": 1}), *metrics.describe_pacing({"all": 1}, 0.0),
    ]  # fmt: skip
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.write_text(lambda: everything)):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[str]:
    rules = yaml.safe_load((OPS / "prometheus" / "rules.yml").read_text())
    charts = json.loads((OPS / "grafana" / "dashboards" / "ibkr_assets.json").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]] + [
        target["expr"] for panel in charts["panels"] for target in panel.get("targets", [])
    ]


def test_every_number_that_a_rule_or_a_chart_asks_for_is_there(samples) -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression.replace('"ibkr_assets"', ""))}
    assert asked <= set(samples), asked - set(samples)
    assert len(asked) > 20


def test_every_label_that_is_asked_for_is_there(samples) -> None:
    for expression in expressions():
        for name, labels in re.findall(r"(ibkr_assets_\w+)\{([^}]*)\}", expression):
            wanted = set(re.findall(r"(\w+)(?:=|!=|=~)", labels))
            assert wanted <= samples[name], (expression, samples[name])


def test_every_rule_names_a_section_of_the_runbook_and_a_severity() -> None:
    rules = yaml.safe_load((OPS / "prometheus" / "rules.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        assert rule["labels"]["code"] in set(AlertCode), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "page")
        assert rule["annotations"]["summary"].endswith(".")
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_panels_lie_beside_each_other_and_none_over_another() -> None:
    panels = json.loads((OPS / "grafana" / "dashboards" / "ibkr_assets.json").read_text())["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_metrics_profile_mounts_these_files_publishes_on_loopback_and_is_pinned() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("prometheus", "grafana"):
        service = services[name]
        assert service["profiles"] == ["metrics"]
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for volume in service["volumes"]:
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).exists(), volume
    scrape = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    port = scrape["static_configs"][0]["targets"][0].rpartition(":")[2]
    assert port == services["dashboard"]["environment"]["IBKR_ASSETS__DASHBOARD__PORT"]
