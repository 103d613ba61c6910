# SPDX-License-Identifier: Apache-2.0
"""What inputs and results of several types have in common, as JSON Schema."""

#: What an image can be converted to.
TARGETS = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi")

IMAGE_ID = {"type": "string", "format": "uuid"}

#: Of an image that is made of another one.
NAME = {
    "type": "string",
    "maxLength": 255,
    # PostgreSQL takes no NUL, and half of a surrogate pair is no UTF-8.
    "pattern": "^[^\\u0000\\ud800-\\udfff]*$",
    "description": "Of the new image; left out, that of the image it is made"
    " of.",
}

_SIZE = {"type": "integer", "minimum": 0}

#: What a result tells of an image that was made.
MADE = {
    "image_id": {**IMAGE_ID, "description": "Of the new image."},
    "size": {**_SIZE, "description": "Of the stored file, in bytes."},
    "virtual_size": {**_SIZE, "description": "Of the disk inside, in bytes."},
    "disk_format": {"type": "string"},
    "checksum": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "os_hash_algo": {"type": "string"},
    "os_hash_value": {"type": "string", "pattern": "^[0-9a-f]+$"},
}
