# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry; only :func:`glance_tasks.persistence.migrations.sync`
comes here, with an open transaction.
"""

from alembic import context

from glance_tasks.persistence import migrations
from glance_tasks.persistence import models

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=models.METADATA,
    version_table=migrations.VERSION_TABLE,
)
context.run_migrations()
