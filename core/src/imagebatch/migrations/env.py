"""Alembic's environment: runs the migrations on the connection that `upgrade` brings."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="imagebatch_schema")
context.run_migrations()
