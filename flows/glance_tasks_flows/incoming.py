# SPDX-License-Identifier: Apache-2.0
"""What all types have in common that make an image of bytes from outside."""

from collections.abc import Mapping
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import Atom
from glance_tasks import BuildContext
from glance_tasks import PlanContext
from glance_tasks.atoms import artifact
from glance_tasks.atoms import convert
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

#: The schema of what is known of an image.
PROPERTIES = {
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

#: The schema of a digest that the bytes must have.
CHECKSUM = {
    "type": "string",
    # "$" would let a line end follow.
    "pattern": f"^(sha256:{_HEX}{{64}}|sha384:{_HEX}{{96}}"
    f"|sha512:{_HEX}{{128}})(?![\\s\\S])",
}

_TOLD = (
    *("image_id", "size", "virtual_size", "disk_format"),
    *("checksum", "os_hash_algo", "os_hash_value"),
)

#: The schema of what a task tells of the image it made.
RESULT = {
    "type": "object",
    "required": list(_TOLD),
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

#: Steps that the deployer may leave out.
OPTIONAL_STEPS = ("UnpackImage", "ConvertImage")

Faults = list[tuple[str, str]]


def target(given: Mapping[str, Any], source: str) -> str | None:
    """Give what the image is converted to; None when it stays as it is.

    :param given: the task's input
    :param source: the format of the bytes
    """
    chosen = given.get("image_properties", {}).get("disk_format", source)
    return None if chosen == source else str(chosen)


def digests(convert_to: str | None) -> tuple[str, ...]:
    """Give the digests that are needed of the bytes from outside."""
    return artifact.ALWAYS if convert_to is None else _UNSEEN


def chain(
    name: str, ctx: BuildContext, first: Atom, source_format: str
) -> flow.Flow:
    """Build the atoms that make an image of what ``first`` brings.

    :param name: of the flow
    :param source_format: the input that has the format of the bytes
    """
    convert_to, image_file = ctx.plan["convert_to"], "fetched"
    atoms = linear_flow.Flow(name).add(first)
    if "UnpackImage" not in ctx.plan.get("skip_steps", ()):
        known = {"import_from_format": source_format}
        atoms.add(
            unpack.UnpackImage(ctx, digests=digests(convert_to), rebind=known)
        )
        image_file = "unpacked"
    known = {"fetched": image_file, "import_from_format": source_format}
    atoms.add(inspect.InspectImage(ctx, rebind=known))
    if convert_to is not None:
        atoms.add(
            convert.ConvertImage(
                ctx, disk_format=convert_to, rebind={"fetched": image_file}
            )
        )
        image_file = "converted"
    return atoms.add(
        *ctx.checks(image_file),
        store.StoreImage(ctx, rebind={"image_file": image_file}),
        register.RegisterImage(ctx, container_format=_container(ctx)),
    )


def result(results: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was registered, in Glance's words."""
    facts = {
        **results["inspected"],
        **results["stored"],
        **results["registered"],
    }
    return {name: facts[name] for name in _TOLD}


def faults(ctx: PlanContext, source: str) -> Faults:
    """Find what could never work, or is not the client's to say."""
    given = ctx.input.get("image_properties", {})
    convert_to = target(ctx.input, source)
    container = given.get("container_format")
    return [
        *_reserved(given),
        *_impossible_archive(ctx),
        *_unlike_containers(convert_to or source, container),
        *_impossible_conversion(source, convert_to, ctx.skip_steps),
    ]


def _container(ctx: BuildContext) -> str | None:
    """Give the record's container format where it is not the client's.

    Glance's own import takes ``ova`` for what is to be unpacked, too.
    """
    given = ctx.input.get("image_properties", {}).get("container_format")
    return "bare" if given == "ova" else None


def _reserved(given: Mapping[str, Any]) -> Faults:
    return [
        (
            f"/image_properties/{name}",
            "is set by the service alone; leave it out",
        )
        for name in sorted(RESERVED.intersection(given))
    ]


def _impossible_archive(ctx: PlanContext) -> Faults:
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


def _unlike_containers(target: str, container: str | None) -> Faults:
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
    source: str, target: str | None, skip_steps: frozenset[str]
) -> Faults:
    if target is None:
        return []
    if "ConvertImage" in skip_steps:
        why = "this service does not convert images"
    elif not convert.conversion_supported(source, target):
        why = f"{source} cannot be converted to {target}"
    else:
        return []
    return [("/image_properties/disk_format", f"{why}; expected {source!r}")]
