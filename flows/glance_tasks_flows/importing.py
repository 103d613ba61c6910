# SPDX-License-Identifier: Apache-2.0
"""Importing an image from an address."""

from collections.abc import Mapping
from typing import Any

from taskflow import flow

from glance_tasks import BuildContext
from glance_tasks import FetchError
from glance_tasks import InvalidInput
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import fetch
from glance_tasks_flows import incoming

ARCHIVES = ("gzip", "xz", "zstd", "zip", "ova")


class ImportTask(TaskType):
    """Import an image from an address, converting it if asked to."""

    input_schema = {
        "type": "object",
        "required": ["import_from", "import_from_format"],
        "additionalProperties": False,
        "properties": {
            "import_from": {
                "type": "string",
                "format": "uri",
                "description": "Where the image is. A user and password, or"
                " a signature, in it are kept apart and not shown.",
            },
            "import_from_format": {
                "enum": list(incoming.DISK_FORMATS),
                "description": "The format it has there; of an archive, that"
                " of the disk image in it.",
            },
            "import_from_archive": {
                "enum": list(ARCHIVES),
                "description": "The archive it is in there. Left out, an"
                " archive is known by its content, unless the format is raw"
                " or ami: any bytes can be those.",
            },
            "checksum": {
                **incoming.CHECKSUM,
                "description": "The digest of the file there, such as"
                " sha256:HEX; another one fails the task.",
            },
            "image_properties": incoming.PROPERTIES,
        },
        "examples": [
            {
                "import_from": "https://images.example/disk.qcow2",
                "import_from_format": "qcow2",
                "image_properties": {"name": "disk"},
            },
            {
                "import_from": "https://images.example/disk.qcow2",
                "import_from_format": "qcow2",
                "image_properties": {"disk_format": "raw"},
            },
        ],
    }
    result_schema = incoming.RESULT
    optional_steps = incoming.OPTIONAL_STEPS

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Decide whether to convert, and refuse what could never work.

        :returns: ``convert_to``, a disk format, or None
        """
        source = ctx.input["import_from_format"]
        faults = [*_refused_source(ctx), *incoming.faults(ctx, source)]
        if faults:
            raise InvalidInput(faults)
        return {"convert_to": incoming.target(ctx.input, source)}

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain of atoms, with ConvertImage only where needed."""
        digests = incoming.digests(ctx.plan["convert_to"])
        first = fetch.FetchImage(
            ctx, digests=digests, rebind={"uri": "import_from"}
        )
        return incoming.chain("import", ctx, first, "import_from_format")

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give what was registered, in Glance's words."""
        return incoming.result(results)


def _refused_source(ctx: PlanContext) -> incoming.Faults:
    try:
        ctx.fetcher.preflight(ctx.input["import_from"])
    except FetchError as error:
        return [("/import_from", str(error))]
    return []
