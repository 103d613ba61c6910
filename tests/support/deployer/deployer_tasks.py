# SPDX-License-Identifier: Apache-2.0
"""A task type of a deployer: the SHA-256 of whatever lies at an address."""

import hashlib

from taskflow.patterns import linear_flow

from glance_tasks import Artifact
from glance_tasks import Atom
from glance_tasks import TaskType
from glance_tasks.atoms.fetch import FetchImage


class HashData(Atom):
    """Compute the SHA-256 of the fetched file; there is nothing to revert."""

    behaviour = "idempotent"
    default_provides = "sha256"

    def execute(self, fetched: Artifact) -> str:
        digest = hashlib.sha256()
        with open(self.run.work_dir / fetched["name"], "rb") as file:
            while piece := file.read(1 << 20):
                self.run.stop.check()
                digest.update(piece)
        return digest.hexdigest()


class ChecksumTask(TaskType):
    """Fetch a file and record its SHA-256."""

    version = (1, 0)
    input_schema = {
        "type": "object",
        "required": ["uri"],
        "additionalProperties": False,
        "properties": {"uri": {"type": "string", "format": "uri"}},
    }
    result_schema = {"type": "object", "required": ["sha256"]}

    def build(self, ctx):
        return linear_flow.Flow("checksum").add(FetchImage(ctx), HashData(ctx))

    def result(self, results):
        return {"sha256": results["sha256"]}
