# SPDX-License-Identifier: Apache-2.0
"""Importing an image from an address."""

from collections.abc import Mapping
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import BuildContext
from glance_tasks import FetchError
from glance_tasks import InvalidInput
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import artifact
from glance_tasks.atoms import convert
from glance_tasks.atoms import fetch
from glance_tasks.atoms import inspect
from glance_tasks.atoms import register
from glance_tasks.atoms import store
from glance_tasks.atoms import unpack

DISK_FORMATS = (
    *("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"),
    *("iso", "ami", "ari", "aki"),
)
CONTAINER_FORMATS = (
    *("bare", "ovf", "ova", "docker", "compressed"),
    *("ami", "ari", "aki"),
)
ARCHIVES = ("gzip", "xz", "zstd", "zip", "ova")

#: What only the service says about an image: no client may set it.
RESERVED = frozenset(
    {
        *("id", "owner", "status", "size", "virtual_size", "checksum"),
        *("os_hash_algo", "os_hash_value", "os_hidden", "location"),
        *("locations", "direct_url", "stores", "file", "self", "schema"),
        *("created_at", "updated_at", "deleted", "deleted_at"),
    }
)

# Of a source that is converted nobody ever sees the MD5 or SHA-512: its bytes
# need just one digest, by which a cut fetch and the conversion know them
# again. Where the processor has SHA instructions SHA-256 passes 1,980 MiB/s
# and MD5 840, so hashing does not bound the fetch any more.
_UNSEEN = ("sha256",)

# The limits of Glance's columns and quotas.
_MAX_INT = (1 << 31) - 1
_MAX_ITEMS = 128
# PostgreSQL takes no NUL, and half of a surrogate pair is no UTF-8.
_TEXT = {"type": "string", "pattern": "^[^\\u0000\\ud800-\\udfff]*$"}
_SHORT = {**_TEXT, "maxLength": 255}
_COUNT = {"type": "integer", "minimum": 0, "maximum": _MAX_INT}
_SIZE = {"type": "integer", "minimum": 0}
_HEX = "[0-9a-fA-F]"

_PROPERTIES = {
    "type": "object",
    "description": "What is known of the image. Keys without a meaning of"
    " their own are kept as they are; those that only the service sets are"
    " refused.",
    "properties": {
        "name": {**_SHORT, "type": ["string", "null"]},
        "disk_format": {
            "enum": list(DISK_FORMATS),
            "description": "What the image is converted to, if it is not in"
            " that format already.",
        },
        "container_format": {"enum": list(CONTAINER_FORMATS)},
        "visibility": {"enum": ["private", "public", "shared", "community"]},
        "min_disk": {**_COUNT, "description": "In GiB."},
        "min_ram": {**_COUNT, "description": "In MiB."},
        "protected": {"type": "boolean"},
        "tags": {
            "type": "array",
            "items": _SHORT,
            "maxItems": _MAX_ITEMS,
            "uniqueItems": True,
        },
    },
    "propertyNames": {**_SHORT, "minLength": 1},
    "additionalProperties": {**_TEXT, "maxLength": 64 * 1024},
    "maxProperties": _MAX_ITEMS,
}


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
                "enum": list(DISK_FORMATS),
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
                "type": "string",
                # "$" would let a line end follow.
                "pattern": f"^(sha256:{_HEX}{{64}}|sha384:{_HEX}{{96}}"
                f"|sha512:{_HEX}{{128}})(?![\\s\\S])",
                "description": "The digest of the file there, such as"
                " sha256:HEX; another one fails the task.",
            },
            "image_properties": _PROPERTIES,
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
    result_schema = {
        "type": "object",
        "required": [
            *("image_id", "size", "virtual_size", "disk_format"),
            *("checksum", "os_hash_algo", "os_hash_value"),
        ],
        "additionalProperties": False,
        "properties": {
            "image_id": {"type": "string", "format": "uuid"},
            "size": {**_SIZE, "description": "Of the stored file, in bytes."},
            "virtual_size": {
                **_SIZE,
                "description": "Of the disk inside, in bytes.",
            },
            "disk_format": {"enum": list(DISK_FORMATS)},
            "checksum": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "os_hash_algo": {"type": "string"},
            "os_hash_value": {"type": "string", "pattern": "^[0-9a-f]+$"},
        },
    }
    optional_steps = ("UnpackImage", "ConvertImage")

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Decide whether to convert, and refuse what could never work.

        :returns: ``convert_to``, a disk format, or None
        """
        given = ctx.input.get("image_properties", {})
        source = ctx.input["import_from_format"]
        target = given.get("disk_format", source)
        faults = [
            *_refused_source(ctx),
            *_reserved(given),
            *_impossible_archive(ctx),
            *_unlike_containers(target, given.get("container_format")),
            *_impossible_conversion(source, target, ctx.skip_steps),
        ]
        if faults:
            raise InvalidInput(faults)
        return {"convert_to": None if source == target else target}

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain of atoms, with ConvertImage only where needed."""
        target = ctx.plan["convert_to"]
        digests = artifact.ALWAYS if target is None else _UNSEEN
        image_file = "fetched"
        chain = linear_flow.Flow("import").add(
            fetch.FetchImage(
                ctx, digests=digests, rebind={"uri": "import_from"}
            )
        )
        if "UnpackImage" not in ctx.plan.get("skip_steps", ()):
            chain.add(unpack.UnpackImage(ctx, digests=digests))
            image_file = "unpacked"
        chain.add(inspect.InspectImage(ctx, rebind={"fetched": image_file}))
        if target is not None:
            chain.add(
                convert.ConvertImage(
                    ctx, disk_format=target, rebind={"fetched": image_file}
                )
            )
            image_file = "converted"
        return chain.add(
            *ctx.checks(image_file),
            store.StoreImage(ctx, rebind={"image_file": image_file}),
            register.RegisterImage(ctx, container_format=_container(ctx)),
        )

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Give what was registered, in Glance's words."""
        facts = {
            **results["inspected"],
            **results["stored"],
            **results["registered"],
        }
        return {name: facts[name] for name in self.result_schema["required"]}


def _container(ctx: BuildContext) -> str | None:
    """Give the record's container format where it is not the client's.

    Glance's own import takes ``ova`` for what is to be unpacked, too.
    """
    given = ctx.input.get("image_properties", {}).get("container_format")
    return "bare" if given == "ova" else None


_Faults = list[tuple[str, str]]


def _refused_source(ctx: PlanContext) -> _Faults:
    try:
        ctx.fetcher.preflight(ctx.input["import_from"])
    except FetchError as error:
        return [("/import_from", str(error))]
    return []


def _reserved(given: Mapping[str, Any]) -> _Faults:
    return [
        (
            f"/image_properties/{name}",
            "is set by the service alone; leave it out",
        )
        for name in sorted(RESERVED.intersection(given))
    ]


def _impossible_archive(ctx: PlanContext) -> _Faults:
    archive = ctx.input.get("import_from_archive")
    given = ctx.input.get("image_properties", {}).get("container_format")
    place = "/image_properties/container_format"
    if given == "compressed":
        why = "is 'compressed', and images are stored unpacked; leave it out"
    elif given == "ova" and archive not in (None, "ova"):
        why = f"is 'ova', and import_from_archive {archive!r}; leave it out"
    elif "UnpackImage" in ctx.skip_steps and (archive or given == "ova"):
        place = "/import_from_archive" if archive else place
        why = "names an archive, and this service unpacks none; leave it out"
    else:
        return []
    return [(place, why)]


def _unlike_containers(target: str, container: str | None) -> _Faults:
    """Find what Glance refuses: Amazon's formats come in pairs."""
    amazon = {"ami", "ari", "aki"}
    if container in (None, target) or not amazon & {target, container}:
        return []
    return [
        (
            "/image_properties/container_format",
            f"is {container!r} with the disk format {target!r}; of ami, ari"
            " and aki both must be the same",
        )
    ]


def _impossible_conversion(
    source: str, target: str, skip_steps: frozenset[str]
) -> _Faults:
    if source == target:
        return []
    if "ConvertImage" in skip_steps:
        why = "this service does not convert images"
    elif not convert.conversion_supported(source, target):
        why = f"{source} cannot be converted to {target}"
    else:
        return []
    return [("/image_properties/disk_format", f"{why}; expected {source!r}")]
