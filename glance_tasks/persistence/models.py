# SPDX-License-Identifier: Apache-2.0
"""The tables. Times are seconds since 1970, UTC, by the database's clock.

Seconds in a double compare and add the same way on SQLite, PostgreSQL and
MariaDB; to the microsecond until the year 2100. Every name begins with
``gt_``: the database may be Glance's own, which has a table ``tasks``. Text
is compared byte by byte: MariaDB's default takes "Démo " for "demo".
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext import compiler
from sqlalchemy.sql import functions

from glance_tasks import task

METADATA = sa.MetaData()

_TABLE: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

# MariaDB's TEXT ends at 64 KiB.
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
ID = sa.String(36)
NAME = sa.String(255)
WHEN: sa.Double[float] = sa.Double()


class now(functions.FunctionElement[float]):
    """The database's own clock, moving on within a transaction too."""

    type = sa.Double()
    inherit_cache = True


@compiler.compiles(now, "sqlite")
def _sqlite_now(element: now, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiler.compiles(now, "postgresql")
def _postgresql_now(element: now, compiler: Any, **kw: Any) -> str:
    # now() stands still within a transaction.
    return "extract(epoch from clock_timestamp())::double precision"


@compiler.compiles(now, "mysql")
@compiler.compiles(now, "mariadb")
def _mysql_now(element: now, compiler: Any, **kw: Any) -> str:
    return "(unix_timestamp(sysdate(6)) + 0.0e0)"


_STATUSES = ", ".join(f"'{status}'" for status in task.Status)
_PHASES = ", ".join(f"'{phase}'" for phase in task.Phase)

TASKS = sa.Table(
    "gt_tasks",
    METADATA,
    sa.Column("id", ID, primary_key=True),
    sa.Column("type", NAME, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("owner", NAME, nullable=False),
    sa.Column("user_id", NAME),
    sa.Column("request_id", NAME),
    sa.Column("image_id", ID),
    # Unique: a failed task is retried once; the retry may be retried.
    sa.Column("retry_of", ID, unique=True),
    sa.Column("input", LONG, nullable=False),
    sa.Column("plan", LONG, nullable=False),
    sa.Column("result", LONG),
    sa.Column("message", LONG),
    sa.Column("failure", LONG),
    sa.Column("progress", LONG, nullable=False),
    sa.Column("queue_reason", LONG),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("fence", sa.BigInteger, nullable=False, default=0),
    sa.Column("control", sa.String(8)),
    sa.Column("control_note", LONG),
    sa.Column("idempotency_key", NAME),
    sa.Column("parent_id", ID),
    sa.Column("time_limit", sa.Integer),
    sa.Column("deadline_at", WHEN),
    sa.Column("paused_at", WHEN),
    sa.Column("stalled_since", WHEN),
    sa.Column("stall_reason", sa.String(32)),
    sa.Column("created_at", WHEN, nullable=False),
    sa.Column("updated_at", WHEN, nullable=False),
    sa.Column("advanced_at", WHEN),
    sa.Column("started_at", WHEN),
    sa.Column("finished_at", WHEN),
    sa.Column("expires_at", WHEN),
    sa.CheckConstraint(f"status IN ({_STATUSES})", name="gt_tasks_status"),
    sa.CheckConstraint(f"phase IN ({_PHASES})", name="gt_tasks_phase"),
    sa.CheckConstraint(
        "result IS NULL OR status = 'success'", name="gt_tasks_result"
    ),
    sa.CheckConstraint(
        "(message IS NULL AND failure IS NULL) OR status = 'failure'",
        name="gt_tasks_message",
    ),
    sa.CheckConstraint(
        "(status IN ('success', 'failure') AND expires_at IS NOT NULL"
        " AND finished_at IS NOT NULL AND phase = 'done')"
        " OR (status IN ('pending', 'processing') AND expires_at IS NULL"
        " AND finished_at IS NULL AND phase <> 'done')",
        name="gt_tasks_end",
    ),
    sa.Index("gt_tasks_newest", "created_at", "id"),
    sa.Index("gt_tasks_of_owner", "owner", "created_at", "id"),
    sa.Index("gt_tasks_of_image", "image_id"),
    sa.Index("gt_tasks_of_request", "request_id"),
    sa.Index("gt_tasks_of_parent", "parent_id"),
    sa.Index("gt_tasks_of_key", "owner", "idempotency_key", unique=True),
    sa.Index("gt_tasks_of_status", "status", "created_at", "id"),
    sa.Index("gt_tasks_expiry", "expires_at"),
    **_TABLE,
)

JOBS = sa.Table(
    "gt_jobs",
    METADATA,
    sa.Column("task_id", ID, primary_key=True),
    sa.Column("state", sa.String(8), nullable=False),
    # Smaller runs sooner: the negated priority, so one index serves the claim.
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("sequence", WHEN, nullable=False),
    sa.Column("not_before", WHEN, nullable=False),
    sa.Column("holder", NAME),
    sa.Column("lease_until", WHEN),
    sa.Column("claimed_at", WHEN),
    sa.Column("fence", sa.BigInteger),
    # Known to be dead: it cannot thaw.
    sa.Column(
        "holder_died", sa.Boolean, nullable=False, server_default=sa.false()
    ),
    sa.CheckConstraint(
        "state IN ('ready', 'held', 'waiting')", name="gt_jobs_state"
    ),
    sa.Index("gt_jobs_next", "state", "rank", "sequence", "not_before"),
    sa.Index("gt_jobs_lapsed", "state", "lease_until"),
    **_TABLE,
)

FLOWS = sa.Table(
    "gt_flows",
    METADATA,
    sa.Column("task_id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("state", sa.String(32)),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("graph", LONG),
    sa.Column("type_version", sa.String(16), nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    **_TABLE,
)

ATOMS = sa.Table(
    "gt_atoms",
    METADATA,
    sa.Column("id", ID, primary_key=True),
    sa.Column("task_id", ID, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("version", sa.String(16)),
    sa.Column("state", sa.String(32)),
    sa.Column("intention", sa.String(16)),
    sa.Column("results", LONG),
    sa.Column("failure", LONG),
    sa.Column("revert_results", LONG),
    sa.Column("revert_failure", LONG),
    sa.Column("saved_at", WHEN),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("task_id", "name", name="gt_atoms_name"),
    **_TABLE,
)

EVENTS = sa.Table(
    "gt_events",
    METADATA,
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("task_id", ID, nullable=False),
    sa.Column("at", WHEN, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("atom", NAME),
    sa.Column("text", LONG, nullable=False),
    sa.Column("detail", LONG),
    sa.Index("gt_events_of_task", "task_id", "id"),
    **_TABLE,
)

SECRETS = sa.Table(
    "gt_secrets",
    METADATA,
    sa.Column("task_id", ID, primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("key_id", NAME, nullable=False),
    sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    **_TABLE,
)

LOCKS = sa.Table(
    "gt_locks",
    METADATA,
    sa.Column("resource", NAME, primary_key=True),
    sa.Column("task_id", ID, primary_key=True),
    sa.Column("exclusive", sa.Boolean, nullable=False),
    # False while its task waits for it.
    sa.Column("granted", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Index("gt_locks_of_task", "task_id"),
    **_TABLE,
)

IDENTITY = sa.Table(
    "gt_identity",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", ID, nullable=False),
    **_TABLE,
)

NOTICES = sa.Table(
    "gt_notices",
    METADATA,
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("task_id", ID, nullable=False),
    sa.Column("event_type", sa.String(64), nullable=False),
    sa.Column("not_before", WHEN, nullable=False),
    sa.Index("gt_notices_of_task", "task_id", "id"),
    **_TABLE,
)
