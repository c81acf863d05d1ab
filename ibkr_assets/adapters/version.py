"""What runs, as one document with one hash: the code, and the settings that decide.

What goes here: which settings decide nothing, and hashing the others. What does not: looking at our own files
(`adapters.code`) and where versions are kept (`adapters.postgres.versions`). Deciding and sending process compare the
hash, and every decision is stored with the document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ibkr_assets.adapters.code import code_sha256, git_commit
from ibkr_assets.domain.lineage import Version
from ibkr_assets.domain.order import account_ref
from ibkr_assets.risk.facts import Versions

#: Settings that say where things are, what is secret, how long a call may take or what a person may ask for. A process
#: may have others than its peers and still decide the same. A setting that is not named here counts. Of the directory
#: of own strategies the path decides nothing; its files are part of the code.
UNDECIDING: Mapping[str, frozenset[str] | None] = {
    "data_dir": None, "clock_url": None, "crash": None, "database": None, "live_arm": None, "paper_database_url": None,
    "may_flatten": None, "mlflow": None, "sources": None, "dashboard": None, "cluster": None,
    "strategies": frozenset({"directory"}),
    "gateway": frozenset(
        {"url", "ca", "connect_timeout_s", "read_timeout_s", "order_timeout_s", "may_compete", "has_stream", "pace"}
    ),
    "llm": frozenset(
        {"base_url", "provider", "api_key_env", "timeout_s", "training_cutoff", "notes", "price", "budgets"}
    ),
    "submitter": frozenset({"poll_interval_s", "settle_s", "lease_s", "may_resend"}),
}  # fmt: skip


def describe_version(settings: Mapping[str, Any]) -> Version:
    """This code with these settings, which are given whole, as JSON can carry them; the account goes by its name.

    Raises ConfigurationError when the directory of own strategies cannot be read.
    """
    config: dict[str, Any] = {}
    for name, value in settings.items():
        left_out = UNDECIDING.get(name, frozenset())
        if left_out is None:
            continue
        config[name] = {key: part for key, part in value.items() if key not in left_out} if left_out else value
    config["account"] = account_ref(config["account"]) if config["account"] else None
    text = json.dumps(config, sort_keys=True)
    config_sha256 = hashlib.sha256(text.encode()).hexdigest()
    directory = settings["strategies"]["directory"]
    code = code_sha256(own=Path(directory) if directory else None)
    return Version(code, version("ibkr-assets"), git_commit(), config_sha256, config)


def versions_of(running: Version) -> Versions:
    """What two processes must have in common; each is asked for the schema by its own database."""
    return Versions(code=running.code_sha256, configuration=running.config_sha256, schema="")
