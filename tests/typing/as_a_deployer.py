# SPDX-License-Identifier: Apache-2.0
"""What a deployer writes against the contract; never run, only checked."""

from collections.abc import Mapping
from typing import Any
from typing import assert_type

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import Artifact
from glance_tasks import Atom
from glance_tasks import BuildContext
from glance_tasks import CheckRefused
from glance_tasks import PlanContext
from glance_tasks import TaskType


class CountBytes(Atom):
    """Count the bytes of an artifact.

    Nothing to revert: it changes nothing.
    """

    behaviour = "idempotent"
    default_provides = "size"

    def execute(self, image_file: Artifact) -> int:
        """Give the size in bytes."""
        path = self.run.work_dir / image_file["name"]
        self.run.stop.check()
        return path.stat().st_size


class RefuseEmpty(Atom):
    """Veto an image of no bytes, as a check step does."""

    behaviour = "idempotent"

    def execute(self, image_file: Artifact) -> None:
        """Look at the size that was found before."""
        if not image_file["size"]:
            raise CheckRefused("the image holds no bytes; expected some")


class CountTask(TaskType):
    """Count the bytes behind an address."""

    version = (1, 0)
    input_schema = {"type": "object", "required": ["uri"]}
    result_schema = {"type": "object", "required": ["size"]}

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Refuse at submit what could never be fetched."""
        assert_type(ctx.limits.max_bytes, int)
        ctx.fetcher.preflight(ctx.input["uri"])
        return {"file": f"{ctx.image_id}.part"}

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build a graph of one atom, and of the checks a deployer added."""
        graph = linear_flow.Flow("count")
        graph.add(CountBytes(ctx), *ctx.checks("image_file"))
        return graph

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give what the atom provided."""
        return {"size": results["size"]}
