-- Three databases, so that a purge of Dagster's or MLflow's can never touch bars or orders.
create database ibkr_assets;
create database ibkr_assets_dagster;
create database ibkr_assets_mlflow;
