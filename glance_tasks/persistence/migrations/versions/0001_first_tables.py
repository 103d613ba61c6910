# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - constraints as the databases know them
"""The first tables.

Revision ID: 0001
"""

from typing import Any

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

# if_not_exists: MariaDB commits each CREATE, and a sync that was cut in
# between must be able to go on.
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
TABLE: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "gt_atoms",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=16), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=True),
        sa.Column("intention", sa.String(length=16), nullable=True),
        sa.Column("results", LONG, nullable=True),
        sa.Column("failure", LONG, nullable=True),
        sa.Column("revert_results", LONG, nullable=True),
        sa.Column("revert_failure", LONG, nullable=True),
        sa.Column("saved_at", sa.Double(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("task_id", "name", name="gt_atoms_name"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "gt_events",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("atom", sa.String(length=255), nullable=True),
        sa.Column("text", LONG, nullable=False),
        sa.Column("detail", LONG, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_index(
        "gt_events_of_task", "gt_events", ["task_id", "id"], if_not_exists=True
    )
    op.create_table(
        "gt_flows",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("type_version", sa.String(length=16), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task_id"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "gt_jobs",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Double(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("claimed_at", sa.Double(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('ready', 'held', 'waiting')", name="gt_jobs_state"
        ),
        sa.PrimaryKeyConstraint("task_id"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_index(
        "gt_jobs_lapsed",
        "gt_jobs",
        ["state", "lease_until"],
        if_not_exists=True,
    )
    op.create_index(
        "gt_jobs_next",
        "gt_jobs",
        ["state", "rank", "sequence", "not_before"],
        if_not_exists=True,
    )
    op.create_table(
        "gt_locks",
        sa.Column("resource", sa.String(length=255), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("resource", "task_id"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_index(
        "gt_locks_of_task", "gt_locks", ["task_id"], if_not_exists=True
    )
    op.create_table(
        "gt_secrets",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("key_id", sa.String(length=255), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "name"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "gt_tasks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("image_id", sa.String(length=36), nullable=True),
        sa.Column("retry_of", sa.String(length=36), nullable=True),
        sa.Column("input", LONG, nullable=False),
        sa.Column("plan", LONG, nullable=False),
        sa.Column("result", LONG, nullable=True),
        sa.Column("message", LONG, nullable=True),
        sa.Column("failure", LONG, nullable=True),
        sa.Column("progress", LONG, nullable=False),
        sa.Column("queue_reason", LONG, nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("advanced_at", sa.Double(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "(message IS NULL AND failure IS NULL) OR status = 'failure'",
            name="gt_tasks_message",
        ),
        sa.CheckConstraint(
            "(status IN ('success', 'failure') AND expires_at IS NOT NULL AND finished_at IS NOT NULL AND phase = 'done') OR (status IN ('pending', 'processing') AND expires_at IS NULL AND finished_at IS NULL AND phase <> 'done')",
            name="gt_tasks_end",
        ),
        sa.CheckConstraint(
            "phase IN ('queued', 'processing', 'transferring', 'pausing', 'paused', 'cancelling', 'reverting', 'done')",
            name="gt_tasks_phase",
        ),
        sa.CheckConstraint(
            "result IS NULL OR status = 'success'", name="gt_tasks_result"
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'success', 'failure')",
            name="gt_tasks_status",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("retry_of"),
        if_not_exists=True,
        **TABLE,
    )
    op.create_index(
        "gt_tasks_expiry", "gt_tasks", ["expires_at"], if_not_exists=True
    )
    op.create_index(
        "gt_tasks_newest", "gt_tasks", ["created_at", "id"], if_not_exists=True
    )
    op.create_index(
        "gt_tasks_of_image", "gt_tasks", ["image_id"], if_not_exists=True
    )
    op.create_index(
        "gt_tasks_of_owner",
        "gt_tasks",
        ["owner", "created_at", "id"],
        if_not_exists=True,
    )
    op.create_index(
        "gt_tasks_of_status",
        "gt_tasks",
        ["status", "created_at", "id"],
        if_not_exists=True,
    )
