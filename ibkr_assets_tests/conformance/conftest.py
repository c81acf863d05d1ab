"""Public clients keep their logs to themselves while they are under test."""

from __future__ import annotations

import os

# Read when ibind is imported, so set before any test module imports it. With its ten seconds between pings the client
# may need as long to notice that it closed its own socket.
os.environ.update({"IBIND_LOG_TO_FILE": "False", "IBIND_LOG_TO_CONSOLE": "False", "IBIND_WS_PING_INTERVAL": "1"})
