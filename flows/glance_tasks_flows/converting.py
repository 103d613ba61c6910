# SPDX-License-Identifier: Apache-2.0
"""Making an image of an image, in another format."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import BuildContext
from glance_tasks import InvalidInput
from glance_tasks import Lock
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import convert
from glance_tasks.atoms import copy
from glance_tasks.atoms import inspect
from glance_tasks.atoms import owned
from glance_tasks.atoms import read
from glance_tasks.atoms import register
from glance_tasks.atoms import store
from glance_tasks_flows import fields

_EXAMPLE_ID = "00000000-0000-4000-8000-000000000002"


class ConvertTask(TaskType):
    """Make a new image of an image, or one more copy, in another format."""

    input_schema = {
        "type": "object",
        "required": ["image_id", "disk_format"],
        "additionalProperties": False,
        "properties": {
            "image_id": {
                **fields.IMAGE_ID,
                "description": "The image to convert; its data stays as it"
                " is.",
            },
            "disk_format": {
                "enum": list(fields.TARGETS),
                "description": "The format to convert to.",
            },
            "name": fields.NAME,
            "as": {
                "enum": ["image", "location"],
                "default": "image",
                "description": "Whether the result is an image of its own or"
                " one more location of the image itself.",
            },
            "store": {
                "type": "string",
                "description": "Name of the store of a location; left out,"
                " that of new images.",
            },
            "verify": {
                "type": "boolean",
                "default": True,
                "description": "Whether both are read afterwards, to prove"
                " that they hold the same disk. To raw that is known without.",
            },
        },
        "examples": [
            {"image_id": _EXAMPLE_ID, "disk_format": "raw"},
            {"image_id": _EXAMPLE_ID, "disk_format": "vmdk", "name": "disk"},
            {
                "image_id": _EXAMPLE_ID,
                "disk_format": "raw",
                "as": "location",
            },
        ],
    }
    result_schema = {
        "type": "object",
        "required": list(fields.MADE),
        "additionalProperties": False,
        "properties": {
            **fields.MADE,
            "image_id": {
                **fields.IMAGE_ID,
                "description": "Of the new image, or of that with one more"
                " location.",
            },
            "store": {
                "type": "string",
                "description": "Name of the location's store; empty where"
                " there is only one.",
            },
            "content_digest": {
                "type": "string",
                "pattern": "^gcd1:[0-9a-f]{64}$",
                "description": "Of the disk inside, whatever the format;"
                " absent where it was not to be verified.",
            },
        },
    }

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Decide where the result will be.

        :returns: ``source_image_id``, and of a location ``image_id`` and
            ``location``, its store and key
        """
        decided: dict[str, Any] = {"source_image_id": ctx.input["image_id"]}
        if ctx.input.get("as") == "location":
            decided["image_id"] = ctx.input["image_id"]
            decided["location"] = _location(ctx)
        elif "store" in ctx.input:
            why = "is that of a location; leave it out, or set as"
            raise InvalidInput([("/store", f"{why} to 'location'")])
        return decided

    def locks(self, ctx: PlanContext) -> Sequence[Lock]:
        """Keep the image it is made of from being deleted."""
        image_id = ctx.input["image_id"]
        kept = [Lock(f"image:{image_id}")]
        if ctx.input.get("as") == "location":
            store = ctx.input.get("store", next(iter(ctx.store_names), ""))
            kept.append(Lock(f"copy:{image_id} in {store}", exclusive=True))
        return kept

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain of atoms."""
        chain = linear_flow.Flow("convert").add(
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
        )
        if "location" in ctx.plan:
            store_name, key = ctx.plan["location"]
            return chain.add(
                copy.AddLocation(
                    ctx,
                    store=store_name,
                    key=key,
                    name="AddLocation",
                    provides="registered",
                    rebind={"fetched": "converted"},
                )
            )
        return chain.add(
            store.StoreImage(ctx, rebind={"image_file": "converted"}),
            register.RegisterImage(ctx),
        )

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give what was registered, in Glance's words."""
        facts = {
            **results["converted"],
            **results.get("stored", {}),
            **results["registered"],
        }
        return {
            name: facts[name]
            for name in self.result_schema["properties"]
            if name in facts
        }


def _location(ctx: PlanContext) -> list[str]:
    """Give the store and the key of the location to be.

    :raises InvalidInput: when there cannot be one
    """
    image = owned.planned(ctx)
    names = ctx.store_names
    name = ctx.input.get("store", next(iter(names), ""))
    wanted = ctx.input["disk_format"]
    same = [
        one.status
        for one in image.locations
        if (one.store or next(iter(names), "")) == name
        and one.disk_format == wanted
        and one.status != "deleted"
    ]
    if "name" in ctx.input:
        fault = ("/name", "is that of a new image; leave it out")
    elif name not in (names or ("",)):
        known = ", ".join(names) or "none has a name here"
        fault = ("/store", f"is no store: {name!r}; expected one of: {known}")
    elif wanted == image.disk_format:
        fault = ("/disk_format", "is that of the image; copy it instead")
    elif same:
        why = f"is that of a copy there, which is {same[0]}"
        fault = ("/disk_format", why)
    else:
        return [name, copy.key(image, ctx.task_id)]
    raise InvalidInput([fault])
