# SPDX-License-Identifier: Apache-2.0
"""Bringing an image out of the cloud."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import BuildContext
from glance_tasks import InvalidInput
from glance_tasks import Lock
from glance_tasks import PlanContext
from glance_tasks import SendError
from glance_tasks import TaskType
from glance_tasks.atoms import convert
from glance_tasks.atoms import inspect
from glance_tasks.atoms import offer
from glance_tasks.atoms import read
from glance_tasks.atoms import scrub
from glance_tasks.atoms import scrubber
from glance_tasks.atoms import send
from glance_tasks_flows import fields

# The name of what steps take that take any image file.
_FILE = "image_file"

_EXAMPLE_ID = "00000000-0000-4000-8000-000000000002"


class ExportTask(TaskType):
    """Send an image to an address, converting it if asked to."""

    input_schema = {
        "type": "object",
        "required": ["image_id"],
        "additionalProperties": False,
        "properties": {
            "image_id": {
                **fields.IMAGE_ID,
                "description": "The image to export; it stays as it is, and"
                " cannot be deleted meanwhile.",
            },
            "export_to": {
                "type": "string",
                "format": "uri",
                "description": "Where to: the object appears under this"
                " prefix by a name of its own. An http or https address is"
                " that of the object itself, which takes one PUT. Left out,"
                " the result has a temporary URL of this service's own, good"
                " until the task expires.",
            },
            "export_format": {
                "enum": list(fields.TARGETS),
                "description": "The format it is converted to; left out, it"
                " stays in its own.",
            },
            "export_to_credentials": {
                "type": "object",
                "description": "What the destination asks of those who log"
                " in; see the scheme's own page. It is kept apart, encrypted,"
                " shown nowhere, and gone when the task ends.",
            },
            "overwrite": {
                "type": "boolean",
                "default": False,
                "description": "Whether an object that is there already may"
                " be replaced.",
            },
        },
        "examples": [
            {
                "image_id": _EXAMPLE_ID,
                "export_to": "file:///scratch.example/",
            },
            {
                "image_id": _EXAMPLE_ID,
                "export_to": "file:///scratch.example/",
                "export_format": "raw",
            },
        ],
    }
    secret_inputs = ("export_to_credentials",)
    result_schema = {
        "type": "object",
        "required": [
            *("image_id", "export_location", "disk_format", "size"),
            *("checksum", "os_hash_algo", "os_hash_value"),
            "image_properties",
        ],
        "additionalProperties": False,
        "properties": {
            "image_id": {**fields.IMAGE_ID, "description": "As it was asked."},
            "export_location": {
                "type": "string",
                "format": "uri",
                "description": "The address of the object.",
            },
            **{
                name: fields.MADE[name]
                for name in ("disk_format", "size", "checksum")
            },
            "os_hash_algo": fields.MADE["os_hash_algo"],
            "os_hash_value": fields.MADE["os_hash_value"],
            "image_properties": {
                "type": "object",
                "description": "Those that may leave with the image.",
            },
        },
    }

    optional_steps = ("RunScrubber", "ScrubImage")

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Choose the object's name, and refuse what could never work.

        :returns: ``export_name``, or ``offers`` where nothing is sent, and
            which image it is about
        """
        image_id = ctx.input["image_id"]
        about = {"image_id": image_id, "source_image_id": image_id}
        faults = _faults(ctx)
        if faults:
            raise InvalidInput(faults)
        if "export_to" in ctx.input:
            return {**about, "export_name": ctx.task_id}
        return {**about, "offers": True}

    def locks(self, ctx: PlanContext) -> Sequence[Lock]:
        """Keep the image from being deleted."""
        return [Lock(f"image:{ctx.input['image_id']}")]

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain: read, scrub, convert where asked, check, send."""
        target = ctx.input.get("export_format")
        skipped = ctx.plan.get("skip_steps", ())
        offers = ctx.plan.get("offers", False)
        leave = offer.OfferImage if offers else send.SendImage
        chain = linear_flow.Flow("export").add(
            read.ReadImage(ctx, only_sent=_only_sent(ctx)),
            # First of all that takes time: it says whether it may leave.
            scrub.ScrubProperties(ctx),
            inspect.InspectImage(
                ctx, rebind={"import_from_format": "source_format"}
            ),
        )
        image_file = "fetched"
        if "RunScrubber" not in skipped:
            chain.add(scrubber.RunScrubber(ctx, rebind={_FILE: image_file}))
            image_file = "cleaned"
        # A conversion writes nothing but the disk either.
        if target is not None:
            chain.add(
                convert.ConvertImage(
                    ctx, disk_format=target, rebind={"fetched": image_file}
                )
            )
            image_file = "converted"
        elif "ScrubImage" not in skipped:
            chain.add(scrub.ScrubImage(ctx, rebind={"fetched": image_file}))
            image_file = "scrubbed"
        return chain.add(
            *ctx.checks(image_file),
            leave(ctx, rebind={_FILE: image_file}),
        )

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give what arrived, where, and what may be known of it."""
        return {
            **results["sent"],
            "image_properties": results["scrubbed_properties"],
        }


def _only_sent(ctx: BuildContext) -> bool:
    """Tell whether only a scrubber reads a raw image before it is sent."""
    read = "export_format" in ctx.input or ctx.check_types
    return "export_to" in ctx.input and not read


def _faults(ctx: PlanContext) -> list[tuple[str, str]]:
    given = {name: secret.reveal() for name, secret in ctx.secrets.items()}
    if "export_to" in ctx.input:
        try:
            ctx.sender.preflight(
                given.get("export_to", ctx.input["export_to"]),
                given.get("export_to_credentials"),
            )
        except SendError as error:
            return [("/export_to", str(error))]
        return []
    unused = [
        (f"/{name}", "is of no use without export_to; leave it out")
        for name in ("export_to_credentials", "overwrite")
        if name in given or name in ctx.input
    ]
    if ctx.temp_urls is None:
        unused.append(
            (
                "/export_to",
                "is missing, and this service has no temporary URLs; expected"
                " where to send the image",
            )
        )
    return unused
