# SPDX-License-Identifier: Apache-2.0
"""Making an image of an image, byte for byte."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import BuildContext
from glance_tasks import Lock
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import inspect
from glance_tasks.atoms import read
from glance_tasks.atoms import register
from glance_tasks.atoms import store
from glance_tasks_flows import fields


class CloneTask(TaskType):
    """Make a new image of an image, with the same bytes."""

    input_schema = {
        "type": "object",
        "required": ["image_id"],
        "additionalProperties": False,
        "properties": {
            "image_id": {
                **fields.IMAGE_ID,
                "description": "The image to clone; it stays as it is.",
            },
            "name": fields.NAME,
        },
        "examples": [
            {"image_id": "00000000-0000-4000-8000-000000000002"},
            {
                "image_id": "00000000-0000-4000-8000-000000000001",
                "name": "a second one",
            },
        ],
    }
    result_schema = {
        "type": "object",
        "required": list(fields.MADE),
        "additionalProperties": False,
        "properties": fields.MADE,
    }

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Keep the source's id apart from that of the new image.

        :returns: ``source_image_id``
        """
        return {"source_image_id": ctx.input["image_id"]}

    def locks(self, ctx: PlanContext) -> Sequence[Lock]:
        """Keep the image it is made of from being deleted."""
        return [Lock(f"image:{ctx.input['image_id']}")]

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain of atoms."""
        return linear_flow.Flow("clone").add(
            read.ReadImage(ctx),
            inspect.InspectImage(
                ctx, rebind={"import_from_format": "source_format"}
            ),
            *ctx.checks("fetched"),
            store.StoreImage(ctx, rebind={"image_file": "fetched"}),
            register.RegisterImage(ctx),
        )

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give what was registered, in Glance's words."""
        facts = {**results["stored"], **results["registered"]}
        return {name: facts[name] for name in fields.MADE}
