"""Dagster only: what loads is an asset, a check, a resource, a job, a schedule or a sensor."""
