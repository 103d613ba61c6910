# SPDX-License-Identifier: Apache-2.0
"""What becomes of images, and within which limits."""

from oslo_config import cfg
from oslo_config import types

UNPACK: list[cfg.Opt] = [
    cfg.IntOpt(
        "max_bytes",
        default=1 << 40,
        min=1,
        help="Largest file that is unpacked from an archive, in bytes. A raw"
        " disk may not be larger than max_virtual_size of"
        " [glance_tasks_convert] either.",
    ),
    cfg.IntOpt(
        "max_ratio",
        default=2000,
        min=1,
        help="How many bytes may come out of an archive for each byte it has;"
        " the first 64 MiB are always allowed. gzip packs zeros 1029 to 1, so"
        " the default lets every sparse disk in it through; raise it for"
        " nearly empty disks in xz (7000 to 1) or zstd (30000 to 1).",
    ),
    cfg.IntOpt(
        "memory",
        default=128 << 20,
        min=16 << 20,
        max=4 << 30,
        help="Memory a decompressor may use, in bytes: the dictionary of xz"
        " (65 MiB with xz -9) and the window of zstd, a power of two (128 MiB"
        " with zstd --long). An archive that needs more is refused.",
    ),
]

CONVERT: list[cfg.Opt] = [
    cfg.IntOpt(
        "max_virtual_size",
        default=1 << 40,
        min=1,
        help="Largest disk inside an image, in bytes.",
    ),
    cfg.IntOpt(
        "min_rate",
        default=4 << 20,
        min=1,
        help="A conversion may take a minute plus its virtual size divided by"
        " this, in bytes per second, of wall clock and of processor time.",
    ),
    cfg.IntOpt(
        "memory",
        default=4 << 30,
        min=1 << 30,
        help="Address space of a qemu-img or qemu-nbd process, in bytes."
        " qemu-img 7.2 does not start below 2 GiB.",
    ),
]

SCRUB: list[cfg.Opt] = [
    cfg.ListOpt(
        "keep_properties",
        default=["*"],
        help="Patterns, such as os_* or hw_*, of the image properties that may"
        " leave with an image. Names are compared as they are written.",
    ),
    cfg.ListOpt(
        "remove_properties",
        default=[
            *("os_glance_*", "base_image_ref", "image_location"),
            *("image_state", "image_type", "instance_uuid", "user_id"),
            *("owner_id", "owner_project_name", "owner_user_name"),
            *("owner_specified.*", "boot_roles", "block_device_mapping"),
            *("bdm_v2", "root_device_name", "mappings", "cache_in_nova"),
            *("cinder_encryption_key_*", "img_signature*"),
        ],
        help="Patterns of those that may not, though keep_properties has"
        " them. The default has what tells of this cloud, its users and its"
        " other resources, and signatures, which are of the image's bytes as"
        " they were.",
    ),
    cfg.MultiOpt(
        "refuse_properties",
        item_type=types.String(),
        default=[],
        help="Images that do not leave, as NAME=VALUE of one of their"
        " properties, both of them patterns, such as license=proprietary* or"
        " cinder_encryption_key_id=*; may be given several times.",
    ),
    cfg.MultiOpt(
        "command",
        item_type=types.String(),
        default=[],
        help="A program that scrubs images that leave, and its arguments, one"
        " for each time this option is given; no shell reads them. The"
        " arguments {input}, {output} and {format} stand for the file to read,"
        " the empty file to write and the format of both, by Glance's name."
        " Unset: none is run.",
    ),
    cfg.FloatOpt(
        "command_timeout",
        default=7200.0,
        min=1.0,
        max=604800.0,
        help="Seconds of wall clock that it may take.",
    ),
    cfg.FloatOpt(
        "command_processor_time",
        default=3600.0,
        min=1.0,
        max=604800.0,
        help="Seconds of processor time that each process of it may take.",
    ),
    cfg.IntOpt(
        "command_memory",
        default=4 << 30,
        min=16 << 20,
        help="Address space that each process of it may have, in bytes.",
    ),
]

DELETE: list[cfg.Opt] = [
    cfg.FloatOpt(
        "delay",
        default=0.0,
        min=0.0,
        max=3_000_000_000.0,
        help="Seconds for which an image that is deleted can be had back by"
        " 'glance-tasks image undelete'; a task may ask for more. 0 deletes"
        " the data at once, unless the task asks for more.",
    ),
]
