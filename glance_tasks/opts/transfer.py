# SPDX-License-Identifier: Apache-2.0
"""Where bytes may come from and go to."""

from oslo_config import cfg
from oslo_config import types


def _rules(verb: str, gives: str) -> list[cfg.Opt]:
    """Give what both ways have, in the words of one of them."""
    return [
        cfg.ListOpt(
            "allowed_schemes",
            default=["http", "https", "file", "swift", "s3"],
            item_type=types.String(),
            help=f"Schemes {verb}, each an entry point of the group"
            f" glance_tasks.endpoints. 'file' still {gives} only what lies"
            " under file_roots.",
        ),
        cfg.ListOpt(
            "allowed_ports",
            default=[80, 443],
            item_type=types.Port(),
            help="Ports that may be connected to; empty allows all.",
        ),
        cfg.ListOpt(
            "allowed_networks",
            default=[],
            help="Networks, such as 10.1.0.0/16 or fd00::/8, that may be"
            " connected to although they are loopback, link-local, private,"
            " multicast or otherwise not public; those are refused by"
            " default.",
        ),
        cfg.FloatOpt(
            "connect_timeout",
            default=15.0,
            min=0.1,
            max=600.0,
            help="Seconds to wait for a connection.",
        ),
        cfg.IntOpt(
            "max_rate",
            min=64 << 10,
            help="Bytes per second over the network, of all that one process"
            " does by these rules together. Unset: any.",
        ),
    ]


FETCH: list[cfg.Opt] = [
    *_rules("from which images are fetched", "gives"),
    cfg.ListOpt(
        "file_roots",
        default=[],
        help="Directories under which file:// sources may lie, after symbolic"
        " links are followed. Empty: no file:// source is allowed.",
    ),
    cfg.IntOpt(
        "max_bytes",
        default=1 << 40,
        min=1,
        help="Largest file that is fetched, in bytes.",
    ),
    cfg.IntOpt(
        "chunk_size",
        default=64 << 20,
        min=64 << 10,
        max=16 << 30,
        help="At most this many bytes are fetched again after a crash. Every"
        " quarter of it is made durable; values under 16 MiB cost speed.",
    ),
    cfg.FloatOpt(
        "read_timeout",
        default=60.0,
        min=0.1,
        max=3600.0,
        help="Seconds a source may send nothing.",
    ),
    cfg.IntOpt(
        "min_rate",
        default=1024,
        min=0,
        help="Bytes per second, over a minute, below which a source is too"
        " slow; 0 allows any.",
    ),
]

SEND: list[cfg.Opt] = [
    *_rules("to which images are sent", "takes"),
    cfg.ListOpt(
        "file_roots",
        default=[],
        help="Directories under which file:// destinations may lie, after"
        " symbolic links are followed. Empty: no file:// destination is"
        " allowed.",
    ),
    cfg.IntOpt(
        "part_size",
        default=32 << 20,
        min=5 << 20,
        max=5 << 30,
        help="Bytes of one part of an object. At most so many are sent again"
        " after a crash, for each part that is sent at once. Object stores"
        " take none under 5 MiB.",
    ),
    cfg.IntOpt(
        "parts_at_once",
        default=4,
        min=1,
        max=64,
        help="How many parts of one object are sent at a time. Each takes"
        " part_size bytes of memory.",
    ),
    cfg.FloatOpt(
        "read_timeout",
        default=60.0,
        min=0.1,
        max=3600.0,
        help="Seconds a destination may take nothing, or not answer.",
    ),
]

UPLOAD: list[cfg.Opt] = [
    cfg.StrOpt(
        "dir",
        help="Directory in which bytes lie that are handed in, until their"
        " task has taken them. The service that takes them in and the"
        " conductors must see the same one. On the file system of work_dir"
        " they are taken without being copied. Unset: 'staging' in data_dir.",
    ),
    cfg.IntOpt(
        "max_bytes",
        default=1 << 40,
        min=1,
        help="Most that may be handed in for one task, in bytes.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=3600.0,
        min=1.0,
        max=604800.0,
        help="Seconds for which a task waits for more bytes before it ends as"
        " upload_truncated.",
    ),
]
