"""An MLflow server as far as pages ask it: runs and artifacts by its REST paths, held in memory.

MLflow's own server takes seconds to start and gigabytes to import; a test of the journey asks it. The shapes are those
of MLflow's REST API, version 2.0.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Runs:
    """What the server has. `put` adds a run with its artifacts by path."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, dict[str, bytes]] = {}

    def put(
        self, run_id: str, name: str, *, tags: dict[str, str], params: dict[str, str], metrics: dict[str, float],
        files: dict[str, bytes],
    ) -> None:  # fmt: skip
        """A run that ended well; later ones are newer."""
        started = 1_350_000_000_000 + 60_000 * len(self.runs)
        self.runs[run_id] = {
            "info": {"run_id": run_id, "experiment_id": "1", "run_name": name, "status": "FINISHED",
                     "start_time": started, "end_time": started + 5_000},
            "data": {"tags": [{"key": key, "value": value} for key, value in tags.items()],
                     "params": [{"key": key, "value": value} for key, value in params.items()],
                     "metrics": [{"key": key, "value": value} for key, value in metrics.items()]},
        }  # fmt: skip
        self.files[run_id] = files

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and document of a question."""
        if path.endswith("/experiments/search"):
            return 200, {"experiments": [{"experiment_id": "1", "name": "research"}]}
        if path.endswith("/runs/search"):
            return 200, {"runs": [run for run in reversed(self.runs.values()) if self._fits(run, body["filter"])]}
        run = self.runs.get(body.get("run_id", body.get("run_uuid", "")))
        if run is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"Run {body.get('run_id')!r} not found"}
        if path.endswith("/runs/get"):
            return 200, {"run": run}
        if path.endswith("/runs/set-tag"):
            tags = [tag for tag in run["data"]["tags"] if tag["key"] != body["key"]]
            run["data"]["tags"] = [*tags, {"key": body["key"], "value": body["value"]}]
            return 200, {}
        if path.endswith("/artifacts/list"):
            files = self.files[run["info"]["run_id"]]
            return 200, {"files": [{"path": name, "is_dir": False, "file_size": len(of)} for name, of in files.items()]}
        return 404, {"message": path}

    def _fits(self, run: dict[str, Any], condition: str) -> bool:
        kind = next((tag["value"] for tag in run["data"]["tags"] if tag["key"] == "run_kind"), "")
        return not condition or f"tags.run_kind = '{kind}'" in condition


@contextmanager
def serve(runs: Runs) -> Iterator[str]:
    """The server's address while it listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            if address.path == "/get-artifact":
                content = runs.files.get(query["run_uuid"], {}).get(query["path"])
                self._send(404 if content is None else 200, content or b"")
                return
            self._tell(*runs.answer(address.path, query))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._tell(*runs.answer(self.path, body))

        def log_message(self, *_args: object) -> None:
            """Nothing: a test's output is its own."""

        def _tell(self, status: int, document: Any) -> None:
            self._send(status, json.dumps(document).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
