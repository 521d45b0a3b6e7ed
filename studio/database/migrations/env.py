"""How Alembic runs the migrations: on the connection that `studio.database.migrate` holds, never on one of its own."""

from alembic import context

from studio.database.tables import metadata

connection = context.config.attributes["connection"]
# SQLite, too, takes back what a failed migration made; Alembic has to be told.
context.configure(
    connection=connection, target_metadata=metadata, transaction_per_migration=True, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
