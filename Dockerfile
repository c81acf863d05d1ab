# Postgres with a directory of its own for the archive of its write-ahead log: a new volume takes that owner over.
FROM postgres:18.4-bookworm AS postgres
RUN install -d -o postgres -g postgres -m 0700 /var/lib/postgresql-archive

FROM python:3.12.12-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.8 && python -m venv /opt/ibkr_assets
WORKDIR /src
COPY requirements.lock ./
RUN uv pip sync --python /opt/ibkr_assets/bin/python --require-hashes requirements.lock
COPY pyproject.toml README.md hatch_build.py ./
COPY ibkr_assets ./ibkr_assets
RUN uv pip install --python /opt/ibkr_assets/bin/python --no-deps --no-build-isolation .

FROM python:3.12.12-slim-bookworm
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin ibkr \
    && mkdir -p /var/lib/mlflow /var/lib/ibkr_assets /var/lib/venue /etc/ibkr_assets/dagster /etc/ibkr_assets/cluster \
    && chown ibkr /var/lib/mlflow /var/lib/ibkr_assets /var/lib/venue
COPY --from=build /opt/ibkr_assets /opt/ibkr_assets
COPY docker/with-secrets /usr/local/bin/with-secrets
COPY docker/dagster.yaml /etc/ibkr_assets/dagster/dagster.yaml
COPY docker/cluster.yaml /etc/ibkr_assets/cluster/dagster.yaml
COPY docker/workspace.yaml /etc/ibkr_assets/workspace.yaml
# Machine code is compiled once in the life of a container: its file system is read-only, and a cache must be writable.
ENV PATH=/opt/ibkr_assets/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /home/ibkr
CMD ["ibkr-assets", "--help"]
