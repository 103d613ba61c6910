# SPDX-License-Identifier: Apache-2.0
"""What is asked of living tasks, and locks that are waited for.

Revision ID: 0002
"""

from typing import Any

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

TABLE: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")


def upgrade() -> None:
    """Add the columns."""
    _add("gt_tasks", sa.Column("control", sa.String(length=8)))
    _add("gt_tasks", sa.Column("control_note", LONG))
    _add("gt_tasks", sa.Column("idempotency_key", sa.String(length=255)))
    _add("gt_tasks", sa.Column("time_limit", sa.Integer()))
    for name in ("deadline_at", "paused_at", "stalled_since"):
        _add("gt_tasks", sa.Column(name, sa.Double()))
    _add("gt_tasks", sa.Column("stall_reason", sa.String(length=32)))
    _add("gt_flows", sa.Column("graph", LONG))
    granted: sa.Column[bool] = sa.Column(
        "granted", sa.Boolean(), nullable=False, server_default=sa.true()
    )
    _add("gt_locks", granted)
    died: sa.Column[bool] = sa.Column(
        "holder_died", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    _add("gt_jobs", died)
    op.create_table(
        "gt_identity",
        sa.Column(
            "number", sa.Integer(), primary_key=True, autoincrement=False
        ),
        sa.Column("id", sa.String(length=36), nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "gt_notices",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("event_type", sa.String(length=64), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        if_not_exists=True,
        **TABLE,
    )
    op.create_index(
        "gt_notices_of_task",
        "gt_notices",
        ["task_id", "id"],
        if_not_exists=True,
    )
    _add("gt_tasks", sa.Column("parent_id", sa.String(length=36)))
    for name in ("request", "parent"):
        op.create_index(
            f"gt_tasks_of_{name}",
            "gt_tasks",
            [f"{name}_id"],
            if_not_exists=True,
        )
    op.create_index(
        "gt_tasks_of_key",
        "gt_tasks",
        ["owner", "idempotency_key"],
        unique=True,
        if_not_exists=True,
    )


def _add(table: str, column: sa.Column[Any]) -> None:
    # MariaDB commits each ALTER, and a sync that was cut in between must be
    # able to go on.
    there = sa.inspect(op.get_bind()).get_columns(table)
    if column.name not in {known["name"] for known in there}:
        op.add_column(table, column)
