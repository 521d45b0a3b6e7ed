"""How Alembic runs the migrations: on the connection that `studio.database.migrate` holds, never on one of its own."""

from alembic import context

from studio.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
