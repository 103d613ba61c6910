# SPDX-License-Identifier: Apache-2.0
"""Making an image of bytes that a service hands in."""

from collections.abc import Mapping
from typing import Any

from taskflow import flow

from glance_tasks import BuildContext
from glance_tasks import InvalidInput
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import arrival
from glance_tasks.atoms import receive
from glance_tasks_flows import incoming


class UploadTask(TaskType):
    """Make an image of bytes handed in; it appears when it is whole."""

    input_schema = {
        "type": "object",
        "required": ["upload_format"],
        "additionalProperties": False,
        "properties": {
            "upload_format": {
                "enum": list(incoming.DISK_FORMATS),
                "description": "The format of the bytes.",
            },
            "size": {
                "type": "integer",
                "minimum": 1,
                "maximum": (1 << 63) - 1,
                "description": "How many bytes there will be. Left out, they"
                " are whole when what is handed in ends without an error.",
            },
            "checksum": {
                **incoming.CHECKSUM,
                "description": "The digest of the bytes, such as sha256:HEX;"
                " another one fails the task.",
            },
            "image_properties": incoming.PROPERTIES,
        },
        "examples": [
            {"upload_format": "qcow2", "image_properties": {"name": "disk"}},
            {
                "upload_format": "raw",
                "image_properties": {"disk_format": "qcow2"},
            },
        ],
    }
    result_schema = incoming.RESULT
    optional_steps = incoming.OPTIONAL_STEPS

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Decide what is computed of the bytes while they come.

        :returns: ``convert_to``, a disk format or None, and the digests
        """
        source = ctx.input["upload_format"]
        faults = [*_too_big(ctx), *incoming.faults(ctx, source)]
        if faults:
            raise InvalidInput(faults)
        convert_to = incoming.target(ctx.input, source)
        digests = set(incoming.digests(convert_to))
        if "checksum" in ctx.input:
            digests.add(arrival.parse_checksum(ctx.input["checksum"])[0])
        return {"convert_to": convert_to, receive.PLANNED: sorted(digests)}

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain of atoms, with ConvertImage only where needed."""
        first = receive.ReceiveImage(ctx, digests=ctx.plan[receive.PLANNED])
        return incoming.chain("upload", ctx, first, "upload_format")

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give what was registered, in Glance's words."""
        return incoming.result(results)


def _too_big(ctx: PlanContext) -> incoming.Faults:
    size, most = ctx.input.get("size", 0), ctx.limits.upload_max_bytes
    if size <= most:
        return []
    return [("/size", f"is {size}; expected at most {most}")]
