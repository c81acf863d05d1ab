"""Installed is what was locked, nothing opens code that stands in data, and whose licences run along is known."""

from __future__ import annotations

import ast
import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
#: Modules that run code which stands in what they read.
CODE_FROM_DATA = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
#: Licences that ask for no more than their text, or for changes of their own files.
KNOWN = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software|MPL|Mozilla|Unlicense|HPND|Zlib|0BSD|PostgreSQL|CNRI|CC0", re.IGNORECASE
)
#: Those that say it in their licence file alone, as read there; the LGPL asks for no more where a library is used as it
#: is installed.
LOOKED_AT = {
    "psycopg": "LGPL", "psycopg-binary": "LGPL", "psycopg2-binary": "LGPL", "huey": "MIT", "pyrage": "MIT",
    "skops": "MIT", "ta-lib": "BSD-2-Clause",
}  # fmt: skip


def test_every_package_is_locked_to_one_version_by_hash() -> None:
    entries = [line for line in LOCK.splitlines() if line.strip() and not line.startswith("#")]
    assert len(entries) > 100
    good = re.compile(r"[a-z0-9._-]+==[^\s;]+.*--hash=sha256:[0-9a-f]{64}")
    assert [line[:60] for line in entries if not good.match(line) or "://" in line] == []


def test_nothing_of_ours_opens_what_can_hold_code() -> None:
    found = []
    for path in sorted((ROOT / "ibkr_assets").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] in CODE_FROM_DATA for name in names):
                found.append(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"yaml.load", "eval", "exec", "pd.read_pickle"}:
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


@pytest.fixture(scope="module")
def running() -> set[str]:
    """Everything that runs with the platform: what it asks for, and what that asks for."""
    found: set[str] = set()
    waiting = ["ibkr-assets"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            wanted = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue  # not for this machine
        found.add(name)
        for text in wanted:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found - {"ibkr-assets"}


def licence_of(name: str) -> str:
    about = metadata.metadata(name)
    classifiers = [line.rpartition("::")[2] for line in about.get_all("Classifier") or () if line.startswith("License")]
    return " ".join([about.get("License-Expression") or "", (about.get("License") or "")[:200], *classifiers]).strip()


def test_whose_licences_run_along_is_known(running: set[str]) -> None:
    assert len(running) > 80
    unknown = {
        name: licence_of(name) for name in running if not KNOWN.search(licence_of(name)) and name not in LOOKED_AT
    }
    assert unknown == {}


def test_the_threat_model_names_tests_that_are_there() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    rows = [line.split("|")[4] for line in page.splitlines() if line.startswith("| ") and line.count("|") == 5]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert len(named) > 15
    tests = ROOT / "ibkr_assets_tests"
    assert [name for name in sorted(named) if not (tests / name).exists() and not list(tests.rglob(name))] == []
