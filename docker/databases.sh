#!/bin/sh
# Three databases, so that a purge of Dagster's or MLflow's can never touch bars or orders, and a role for each kind of
# process: each is given its own password alone. What a role may do in the platform's tables is in the migrations.
set -eu
secrets=${SECRETS:-/run/secrets}
role() {
    psql --no-psqlrc -v ON_ERROR_STOP=1 -U postgres -v name="$1" -v password="$(cat "$secrets/$1")" <<'SQL'
create role :"name" login password :'password';
SQL
}
for name in ibkr_platform ibkr_app ibkr_submitter ibkr_dashboard ibkr_dagster ibkr_mlflow; do role "$name"; done
psql --no-psqlrc -v ON_ERROR_STOP=1 -U postgres <<'SQL'
create database platform owner ibkr_platform;
create database dagster owner ibkr_dagster;
create database mlflow owner ibkr_mlflow;
revoke all on database platform, dagster, mlflow from public;
grant connect on database platform to ibkr_app, ibkr_submitter, ibkr_dashboard;
SQL
