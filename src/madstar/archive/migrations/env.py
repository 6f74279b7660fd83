"""Runs the revisions on the connection that `madstar.archive.migration` hands over.

To change the schema: change schema.py, write the next file under versions/ by hand, raise
`schema.REVISION`, and let the tests compare the two. A column that is added needs a server default, so
that rows written before it can be read.
"""

from alembic import context

from madstar.archive.schema import VERSION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
