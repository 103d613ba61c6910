# SPDX-License-Identifier: Apache-2.0
"""Every option, in groups; nothing here is read when it is imported."""

import copy
import os
import pathlib

from oslo_config import cfg
from oslo_config import types


def default_data_dir() -> str:
    """Give GLANCE_TASKS_DATA_DIR, or the place under the user's home."""
    chosen = os.environ.get("GLANCE_TASKS_DATA_DIR")
    if chosen:
        return str(pathlib.Path(chosen).expanduser().absolute())
    return str(pathlib.Path("~/.local/share/glance-tasks").expanduser())


ENGINE: list[cfg.Opt] = [
    cfg.StrOpt(
        "data_dir",
        sample_default="~/.local/share/glance-tasks",
        help="Directory under which everything lives that has no place of its"
        " own: the SQLite database, the work directory and the directory"
        " store. Unset: the environment variable GLANCE_TASKS_DATA_DIR, or"
        " ~/.local/share/glance-tasks.",
    ),
    cfg.StrOpt(
        "connection",
        secret=True,
        help="SQLAlchemy URL of the database, such as"
        " postgresql+psycopg2://user@host/name or"
        " mysql+pymysql://user@host/name. Unset: SQLite in data_dir, which is"
        " brought up to date by itself; any other database is brought up to"
        " date by 'glance-tasks db sync'.",
    ),
    cfg.StrOpt(
        "work_dir",
        help="Directory in which running tasks keep their files. It needs room"
        " for max_tasks images in both formats. On the file system of the"
        " store, finished images move there without being copied. Unset:"
        " 'work' in data_dir.",
    ),
    cfg.StrOpt(
        "store",
        default="directory",
        help="Name of the image store, an entry point of the group"
        " glance_tasks.stores.",
    ),
    cfg.StrOpt(
        "store_dir",
        help="Directory of the 'directory' store. Unset: 'store' in data_dir.",
    ),
    cfg.ListOpt(
        "stores",
        default=[],
        help="Several image stores, as NAME:STORE, such as fast:directory,"
        " cheap:directory, where STORE is an entry point of the group"
        " glance_tasks.stores and each is set up in a group of its own,"
        " [glance_tasks_store_NAME]. The first is the one that new images go"
        " to, and where those are that were made when there was only one."
        " Unset: one without a name, of 'store'.",
    ),
    cfg.StrOpt(
        "speed_file",
        help="File in which this node remembers how fast the stores are, so"
        " that a restart does not forget it; it may be deleted at any time."
        " Unset: it is remembered in memory only.",
    ),
    cfg.StrOpt(
        "catalogue",
        default="sql",
        help="Name of the image catalogue, an entry point of the group"
        " glance_tasks.catalogues.",
    ),
    cfg.StrOpt(
        "secret_store",
        default="local",
        help="Name of the store of secrets that tasks are given, an entry"
        " point of the group glance_tasks.secret_stores: 'local' encrypts them"
        " into the database, 'castellan' keeps them in Barbican or Vault."
        " Change it when no task that has secrets is left.",
    ),
    cfg.FloatOpt(
        "claim_ttl",
        default=30.0,
        min=1.0,
        max=3600.0,
        help="Seconds after which a conductor that gave no sign of life loses"
        " its tasks to another one. It is renewed every third of that. Raise"
        " it where the database stalls for long.",
    ),
    cfg.FloatOpt(
        "poll_interval",
        default=1.0,
        min=0.05,
        max=300.0,
        help="Seconds an idle conductor waits before it looks for a task"
        " again.",
    ),
    cfg.IntOpt(
        "max_tasks",
        default=2,
        min=1,
        max=256,
        help="How many tasks one conductor runs at a time.",
    ),
    cfg.IntOpt(
        "max_attempts",
        default=5,
        min=1,
        max=1000,
        help="How often in a row a task may lose its conductor to a crash"
        " without having moved at all in between, before it is ended as"
        " 'gave_up'. Crashes between which an atom finished or bytes were"
        " saved do not count.",
    ),
    cfg.FloatOpt(
        "task_time_to_live",
        default=48.0,
        min=0.0,
        max=876000.0,
        help="Hours after its end at which a task may be deleted by the"
        " reaper; 0 lets the next reaping delete it. What the task made, such"
        " as an image, stays. A change affects tasks that end later.",
    ),
    cfg.FloatOpt(
        "failure_time_to_live",
        min=0.0,
        max=876000.0,
        help="The same for tasks that failed, never less than"
        " task_time_to_live. Unset: the same as task_time_to_live.",
    ),
    cfg.MultiOpt(
        "skip_steps",
        item_type=types.String(),
        default=[],
        help="Optional steps to leave out, as TYPE:STEP, such as"
        " import:ConvertImage; may be given several times. 'glance-tasks type"
        " show TYPE' lists them. Tasks already submitted keep their steps.",
    ),
    cfg.MultiOpt(
        "checks",
        item_type=types.String(),
        default=[],
        help="Check steps to add, as TYPE:CHECK, where CHECK is an entry point"
        " of the group glance_tasks.checks; may be given several times. A"
        " check that fails ends the task before the image can be seen.",
    ),
]

#: Of each of several stores, in a group with its name.
STORE: list[cfg.Opt] = [
    cfg.StrOpt(
        "dir",
        help="Directory of a store that is one. Unset: 'store-NAME' in"
        " data_dir.",
    ),
]

FETCH: list[cfg.Opt] = [
    cfg.ListOpt(
        "allowed_schemes",
        default=["http", "https", "file"],
        item_type=types.String(),
        help="Schemes from which images are fetched, each an entry point of"
        " the group glance_tasks.endpoints. 'file' still gives only what lies"
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
        help="Networks, such as 10.1.0.0/16 or fd00::/8, that may be connected"
        " to although they are loopback, link-local, private, multicast or"
        " otherwise not public; those are refused by default.",
    ),
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
        "connect_timeout",
        default=15.0,
        min=0.1,
        max=600.0,
        help="Seconds to wait for a connection.",
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
    cfg.ListOpt(
        "allowed_schemes",
        default=["http", "https", "file"],
        item_type=types.String(),
        help="Schemes to which images are sent, each an entry point of the"
        " group glance_tasks.endpoints. 'file' still takes only what lies"
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
        help="Networks, such as 10.1.0.0/16 or fd00::/8, that may be connected"
        " to although they are not public; those are refused by default.",
    ),
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
        "connect_timeout",
        default=15.0,
        min=0.1,
        max=600.0,
        help="Seconds to wait for a connection.",
    ),
    cfg.FloatOpt(
        "read_timeout",
        default=60.0,
        min=0.1,
        max=3600.0,
        help="Seconds a destination may take nothing, or not answer.",
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

SECRETS: list[cfg.Opt] = [
    cfg.ListOpt(
        "keys",
        default=[],
        secret=True,
        help="Keys of the 'local' secret store, as ID:BASE64 of 32 bytes;"
        " 'glance-tasks secret key' makes one. The first one encrypts, all of"
        " them decrypt; 'glance-tasks secret rotate' has all secrets encrypted"
        " with the first. Every host needs the same. Unset: the file"
        " 'secret-keys' in data_dir, one key a line, which is made when it is"
        " needed and serves one host.",
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

_STORE_GROUP = "glance_tasks_store_"
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

GROUPS: dict[str, list[cfg.Opt]] = {
    "glance_tasks": ENGINE,
    "glance_tasks_fetch": FETCH,
    "glance_tasks_send": SEND,
    "glance_tasks_unpack": UNPACK,
    "glance_tasks_convert": CONVERT,
    "glance_tasks_secrets": SECRETS,
    "glance_tasks_scrub": SCRUB,
    "glance_tasks_delete": DELETE,
}


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register every option with ``conf``; again is harmless."""
    for group, options in GROUPS.items():
        conf.register_opts(options, group=group)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Give every option by group, for oslo.config's generators."""
    groups = {**GROUPS, f"{_STORE_GROUP}name": STORE}
    return [(group, copy.deepcopy(opts)) for group, opts in groups.items()]


def data_dir(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Give the directory under which everything lives."""
    chosen = conf.glance_tasks.data_dir or default_data_dir()
    return pathlib.Path(chosen).expanduser().absolute()


def connection(conf: cfg.ConfigOpts) -> str:
    """Give the database's URL; the embedded SQLite where none is set."""
    return (
        conf.glance_tasks.connection
        or f"sqlite:///{data_dir(conf) / 'glance-tasks.sqlite'}"
    )


def work_dir(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Give the directory of running tasks' files."""
    chosen = conf.glance_tasks.work_dir
    return pathlib.Path(chosen) if chosen else data_dir(conf) / "work"


def speed_file(conf: cfg.ConfigOpts) -> pathlib.Path | None:
    """Give the file of the stores' speeds, if there is one."""
    chosen = conf.glance_tasks.speed_file
    return pathlib.Path(chosen) if chosen else None


def store_dir(conf: cfg.ConfigOpts, name: str = "") -> pathlib.Path:
    """Give the directory of the 'directory' store.

    :param name: which of several; empty where there is one
    """
    if name:
        group = f"{_STORE_GROUP}{name}"
        conf.register_opts(STORE, group=group)
        own = conf[group].dir
        return pathlib.Path(own) if own else data_dir(conf) / f"store-{name}"
    chosen = conf.glance_tasks.store_dir
    return pathlib.Path(chosen) if chosen else data_dir(conf) / "store"
