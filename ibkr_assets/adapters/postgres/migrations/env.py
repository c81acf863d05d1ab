"""Alembic's entry point: the revisions run in the transaction that `adapters.postgres.migrate` opened."""

from alembic import context

from ibkr_assets.adapters.postgres.migrate import VERSION_SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=VERSION_SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()
