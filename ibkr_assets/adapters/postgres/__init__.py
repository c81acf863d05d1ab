"""The system of record on Postgres."""
