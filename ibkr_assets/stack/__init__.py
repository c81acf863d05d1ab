"""The embedded Postgres and the supervised processes of up."""
