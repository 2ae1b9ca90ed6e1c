"""Runs the migrations on the connection that `leakdrop.store.database` hands over."""

import sqlalchemy
from alembic import context

connection: sqlalchemy.Connection = context.config.attributes["connection"]
if connection.dialect.name == "sqlite":
    # Python's driver would commit each change of the schema by itself: a crash between two would leave a
    # database that no version can migrate.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    # Alembic would make this table with a rowid, which keeps the order of insertion.
    connection.execute(
        sqlalchemy.text(
            "CREATE TABLE IF NOT EXISTS alembic_version "
            "(version_num VARCHAR(32) NOT NULL PRIMARY KEY) WITHOUT ROWID"
        )
    )
context.configure(connection=connection, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
