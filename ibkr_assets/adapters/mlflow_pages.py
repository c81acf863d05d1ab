"""What pages show of MLflow, over its REST interface: experiments, runs, the curves of metrics, artifacts.

What goes here: the questions, and their answers as plain values. What does not: recording runs (`mlflow`), whose
client library takes two seconds to load and is not needed for reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx

from ibkr_assets.domain.errors import InputError, Unavailable

_API = "/api/2.0/mlflow"
#: An artifact that is shown in a page is read whole; larger ones are only named.
MOST_BYTES = 4_000_000


class MlflowPages:
    """An MLflow server. Use as a context manager. Raises Unavailable when it does not answer, InputError when it
    answers that something is not there.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def experiments(self) -> list[dict[str, Any]]:
        """Active experiments, the one that changed last first."""
        body = {"max_results": 200, "order_by": ["last_update_time DESC"]}
        found = self._post("/experiments/search", body).get("experiments", [])
        return [{"id": row["experiment_id"], "name": row["name"]} for row in found]

    def runs(
        self, experiments: Sequence[str], *, limit: int, order_by: str = "attributes.start_time DESC", where: str = ""
    ) -> list[dict[str, Any]]:
        """Runs of these experiments."""
        if not experiments:
            return []
        body = {"experiment_ids": list(experiments), "max_results": limit, "order_by": [order_by], "filter": where}
        return [_run(run) for run in self._post("/runs/search", body).get("runs", [])]

    def run(self, run_id: str) -> dict[str, Any]:
        """One run."""
        return _run(self._get("/runs/get", {"run_id": run_id})["run"])

    def curve(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Every value of a metric by step; the last of each step."""
        found: dict[int, float] = {}
        token: str | None = None
        while True:
            query = {"run_id": run_id, "metric_key": metric, "max_results": "5000"}
            answer = self._get("/metrics/get-history", query | ({"page_token": token} if token else {}))
            found |= {int(row["step"]): float(row["value"]) for row in answer.get("metrics", [])}
            token = answer.get("next_page_token")
            if not token:
                return sorted(found.items())

    def artifacts(self, run_id: str, path: str = "") -> list[dict[str, Any]]:
        """Files below a path of a run, folders opened, smallest path first."""
        query = {"run_id": run_id} | ({"path": path} if path else {})
        rows: list[dict[str, Any]] = []
        for row in self._get("/artifacts/list", query).get("files", []):
            if row["is_dir"]:
                rows += self.artifacts(run_id, row["path"])
            else:
                rows.append({"path": row["path"], "bytes": int(row["file_size"])})
        return sorted(rows, key=lambda row: str(row["path"]))

    def artifact(self, run_id: str, path: str) -> bytes:
        """A whole file. Raises InputError for one that is larger than a page shows."""
        with (
            self._answers(),
            self._client.stream("GET", "/get-artifact", params={"run_uuid": run_id, "path": path}) as answer,
        ):
            if answer.status_code != 200:
                raise InputError(f"artifact: no {path!r} of run {run_id!r}")
            body = b""
            for part in answer.iter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise InputError(f"artifact: {path!r} is larger than {MOST_BYTES} bytes; open it in MLflow")
            return body

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        """Put a tag on a run; another value of the same key takes the place of the one before."""
        self._post("/runs/set-tag", {"run_id": run_id, "key": key, "value": value})

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        with self._answers():
            return _understood(self._client.post(_API + path, json=dict(body)))

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        with self._answers():
            return _understood(self._client.get(_API + path, params=dict(query)))

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise Unavailable(f"MLflow at {self._client.base_url}: {type(error).__name__}: {error}") from None


def _understood(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code in (400, 404):
        raise InputError(f"MLflow: {answer.json().get('message', answer.text)[:300]}")
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    info, data = run["info"], run["data"]
    tags = {tag["key"]: tag["value"] for tag in data.get("tags", [])}
    return {
        "run_id": info["run_id"],
        "experiment_id": info["experiment_id"],
        "name": info.get("run_name", ""),
        "status": info["status"],
        "started_at": _moment(info.get("start_time")),
        "ended_at": _moment(info.get("end_time")),
        "params": {row["key"]: row["value"] for row in data.get("params", [])},
        "metrics": {row["key"]: row["value"] for row in data.get("metrics", [])},
        "tags": {name: value for name, value in tags.items() if not name.startswith("mlflow.")},
    }


def _moment(milliseconds: int | None) -> datetime | None:
    return None if not milliseconds else datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
