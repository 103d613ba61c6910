# SPDX-License-Identifier: Apache-2.0
"""What a conductor's runs need of their engine."""

import dataclasses

from glance_tasks import announcing
from glance_tasks import boards
from glance_tasks import building
from glance_tasks import controls
from glance_tasks import ports
from glance_tasks import registry
from glance_tasks import retention
from glance_tasks import workdir
from glance_tasks.persistence import database as db
from glance_tasks.persistence import repository
from glance_tasks.secrets import vault


@dataclasses.dataclass(frozen=True, slots=True)
class Services:
    """What runs need of their engine."""

    database: db.Database
    tasks: repository.TaskRepository
    board: boards.Board
    registry: registry.Registry
    shared: building.Surroundings
    area: workdir.WorkArea
    staging: ports.Staging
    vault: vault.Vault
    controls: controls.Controls
    announcer: announcing.Announcer | None
    retention: retention.Retention
    max_attempts: int
    claim_ttl: float
    stall_after: float
