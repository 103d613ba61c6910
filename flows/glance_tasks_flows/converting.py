# SPDX-License-Identifier: Apache-2.0
"""Making an image of an image, in another format."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import BuildContext
from glance_tasks import Lock
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import convert
from glance_tasks.atoms import inspect
from glance_tasks.atoms import read
from glance_tasks.atoms import register
from glance_tasks.atoms import store
from glance_tasks_flows import fields

_EXAMPLE_ID = "00000000-0000-4000-8000-000000000002"


class ConvertTask(TaskType):
    """Make a new image of an image, in another format."""

    input_schema = {
        "type": "object",
        "required": ["image_id", "disk_format"],
        "additionalProperties": False,
        "properties": {
            "image_id": {
                **fields.IMAGE_ID,
                "description": "The image to convert; it stays as it is.",
            },
            "disk_format": {
                "enum": list(fields.TARGETS),
                "description": "The format of the new image.",
            },
            "name": fields.NAME,
            "verify": {
                "type": "boolean",
                "default": True,
                "description": "Whether both images are read afterwards, to"
                " prove that they hold the same disk. To raw that is known"
                " without.",
            },
        },
        "examples": [
            {"image_id": _EXAMPLE_ID, "disk_format": "raw"},
            {"image_id": _EXAMPLE_ID, "disk_format": "vmdk", "name": "disk"},
        ],
    }
    result_schema = {
        "type": "object",
        "required": list(fields.MADE),
        "additionalProperties": False,
        "properties": {
            **fields.MADE,
            "content_digest": {
                "type": "string",
                "pattern": "^gcd1:[0-9a-f]{64}$",
                "description": "Of the disk inside, whatever the format;"
                " absent where it was not to be verified.",
            },
        },
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
        return linear_flow.Flow("convert").add(
            read.ReadImage(ctx),
            inspect.InspectImage(
                ctx, rebind={"import_from_format": "source_format"}
            ),
            convert.ConvertImage(
                ctx,
                disk_format=ctx.input["disk_format"],
                verify=ctx.input.get("verify", True),
            ),
            *ctx.checks("converted"),
            store.StoreImage(ctx, rebind={"image_file": "converted"}),
            register.RegisterImage(ctx),
        )

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give what was registered, in Glance's words."""
        facts = {**results["stored"], **results["registered"]}
        return {
            name: facts[name]
            for name in self.result_schema["properties"]
            if name in facts
        }
