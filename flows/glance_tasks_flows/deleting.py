# SPDX-License-Identifier: Apache-2.0
"""Deleting an image, or its copy in one store."""

from collections.abc import Mapping
import time
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import BuildContext
from glance_tasks import InvalidInput
from glance_tasks import Lock
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import delete
from glance_tasks.atoms import owned
from glance_tasks_flows import fields

# A hundred years.
_MAX_DELAY_S = 100 * 365 * 24 * 3600


class DeleteTask(TaskType):
    """Delete an image, or some of its copies, at once or later."""

    input_schema = {
        "type": "object",
        "required": ["image_id"],
        "additionalProperties": False,
        "properties": {
            "image_id": {"type": "string", "format": "uuid"},
            "store": {
                "type": "string",
                "description": "Delete only the copy in this store, which"
                " must not be the last one.",
            },
            "disk_format": {
                "enum": list(fields.TARGETS),
                "description": "Delete only copies in this format, which must"
                " not be the last ones of the image as it was made.",
            },
            "delay": {
                "type": "number",
                "minimum": 0,
                "maximum": _MAX_DELAY_S,
                "description": "Seconds for which the deletion can be undone;"
                " the operator may have set more.",
            },
        },
        "examples": [
            {"image_id": "00000000-0000-4000-8000-000000000001"},
            {
                "image_id": "00000000-0000-4000-8000-000000000001",
                "delay": 0.5,
            },
            {
                "image_id": "00000000-0000-4000-8000-000000000001",
                "store": "second",
            },
        ],
    }
    result_schema = {
        "type": "object",
        "required": ["image_id", "image", "locations"],
        "additionalProperties": False,
        "properties": {
            "image_id": {"type": "string", "format": "uuid"},
            "image": {
                "enum": ["deleted", "active"],
                "description": "What became of it: active, where other copies"
                " are left.",
            },
            "locations": {
                "type": "integer",
                "minimum": 0,
                "description": "How many copies were deleted.",
            },
        },
    }

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Refuse what must stay, and decide when the rest goes.

        :returns: ``deletes_at``, in seconds since 1970, ``store``,
            ``only_format``, and which image it is about
        """
        store = ctx.input.get("store")
        image = owned.planned(ctx, hidden=True)
        disk_format = ctx.input.get("disk_format")
        refused = delete.check_deletable(image, store, disk_format)
        if refused:
            raise InvalidInput([("/image_id", refused)])
        delay = max(ctx.limits.delete_delay, ctx.input.get("delay", 0))
        return {
            "image_id": ctx.input["image_id"],
            "deletes_at": time.time() + delay,
            "store": store,
            "only_format": disk_format,
        }

    def locks(self, ctx: PlanContext) -> list[Lock]:
        """Keep everybody else from the image."""
        return [Lock(f"image:{ctx.input['image_id']}", exclusive=True)]

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain."""
        return linear_flow.Flow("delete").add(
            delete.MarkDeletion(ctx),
            delete.AwaitDeletion(ctx),
            delete.BeginDeletion(ctx),
            delete.ScrubData(ctx),
        )

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Say what became of the image."""
        return dict(results["scrubbed"])
