"""The passwords of the embedded Postgres, made once and kept in one file that only its owner can read.

They never leave this file but inside database URLs handed to processes of the stack.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from ibkr_assets.domain.errors import ConfigurationError
from ibkr_assets.stack.databases import ROLES

ROLES_FILE = "postgres-roles.json"


def load_passwords(data_dir: Path) -> dict[str, str]:
    """Passwords by role; those not there yet are made and stored first, with the directory.

    Raises ConfigurationError when the file is broken or cannot be written.
    """
    path = data_dir / ROLES_FILE
    known: dict[str, str] = {}
    if path.exists():
        try:
            known = dict(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigurationError(f"data_dir: cannot read {path}: {error.strerror}") from None
        except (ValueError, TypeError):
            raise ConfigurationError(f"data_dir: {path} is not a JSON object; restore it from a backup") from None
    missing = [role for role in ROLES if role not in known]
    if missing:
        known |= {role: secrets.token_urlsafe(24) for role in missing}
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            _write(path, known)
        except OSError as error:
            raise ConfigurationError(f"data_dir: cannot write to {data_dir}: {error.strerror}") from None
    return known


def _write(path: Path, passwords: dict[str, str]) -> None:
    """Whole or not at all, never readable by others, on disk before anything uses it."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(passwords, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
