# SPDX-License-Identifier: Apache-2.0
"""Copying an image's data to further stores."""

from collections.abc import Mapping
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import BuildContext
from glance_tasks import Image
from glance_tasks import InvalidInput
from glance_tasks import Lock
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import copy
from glance_tasks.atoms import owned
from glance_tasks.atoms import read

_MAX_STORES = 32


class CopyTask(TaskType):
    """Copy an image's data to further stores."""

    input_schema = {
        "type": "object",
        "required": ["image_id", "stores"],
        "additionalProperties": False,
        "properties": {
            "image_id": {"type": "string", "format": "uuid"},
            "stores": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "maxItems": _MAX_STORES,
                "uniqueItems": True,
                "description": "Names of the stores that are to have a copy.",
            },
        },
        "examples": [
            {
                "image_id": "00000000-0000-4000-8000-000000000002",
                "stores": ["second"],
            },
        ],
    }
    result_schema = {
        "type": "object",
        "required": ["image_id", "stores", "size"],
        "additionalProperties": False,
        "properties": {
            "image_id": {"type": "string", "format": "uuid"},
            "stores": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Those that got one.",
            },
            "size": {
                "type": "integer",
                "minimum": 0,
                "description": "Of each copy, in bytes.",
            },
        },
    }

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Decide where the copies will be, and refuse what cannot work.

        :returns: ``copies``, keys by the names of stores, and which image it
            is about
        """
        image = owned.planned(ctx)
        faults = [
            (f"/stores/{number}", why)
            for number, name in enumerate(ctx.input["stores"])
            if (why := _refused(name, image, ctx))
        ]
        if faults:
            raise InvalidInput(faults)
        return {
            "image_id": image.id,
            "source_image_id": image.id,
            "copies": dict.fromkeys(
                ctx.input["stores"], copy.key(image, ctx.task_id)
            ),
        }

    def locks(self, ctx: PlanContext) -> list[Lock]:
        """Keep the image from going, and others from the same stores."""
        return [
            Lock(f"image:{ctx.input['image_id']}"),
            *(
                Lock(f"copy:{ctx.input['image_id']} in {name}", exclusive=True)
                for name in ctx.input["stores"]
            ),
        ]

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain: one read, then a step for each store."""
        chain = linear_flow.Flow("copy").add(read.ReadImage(ctx))
        for store, key in sorted(ctx.plan["copies"].items()):
            chain.add(
                copy.CopyToStore(
                    ctx, store=store, key=key, provides=f"copied_{store}"
                )
            )
        return chain

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Say where there are copies now."""
        copied = [
            made
            for name, made in sorted(results.items())
            if name.startswith("copied_")
        ]
        return {
            "image_id": copied[0]["image_id"],
            "stores": [made["store"] for made in copied],
            "size": copied[0]["size"],
        }


def _refused(name: str, image: Image, ctx: PlanContext) -> str | None:
    if name not in ctx.store_names:
        known = ", ".join(ctx.store_names) or "none has a name here"
        return f"is no store: {name!r}; expected one of: {known}"
    default = ctx.store_names[0]
    for one in image.locations:
        same = one.os_hash_value == image.os_hash_value
        here = (one.store or default) == name and one.status != "deleted"
        if here and same:
            return f"has a copy of this image already, which is {one.status}"
    return None
