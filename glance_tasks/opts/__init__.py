# SPDX-License-Identifier: Apache-2.0
"""Every option, in groups; nothing here is read when it is imported."""

import copy
import os
import pathlib

from oslo_config import cfg

from glance_tasks.opts import images
from glance_tasks.opts import service
from glance_tasks.opts import transfer


def default_data_dir() -> str:
    """Give GLANCE_TASKS_DATA_DIR, or the place under the user's home."""
    chosen = os.environ.get("GLANCE_TASKS_DATA_DIR")
    if chosen:
        return str(pathlib.Path(chosen).expanduser().absolute())
    return str(pathlib.Path("~/.local/share/glance-tasks").expanduser())


_STORE_GROUP = "glance_tasks_store_"

GROUPS: dict[str, list[cfg.Opt]] = {
    "glance_tasks": service.ENGINE,
    "glance_tasks_fetch": transfer.FETCH,
    "glance_tasks_send": transfer.SEND,
    "glance_tasks_upload": transfer.UPLOAD,
    "glance_tasks_unpack": images.UNPACK,
    "glance_tasks_convert": images.CONVERT,
    "glance_tasks_secrets": service.SECRETS,
    "glance_tasks_webhook": service.WEBHOOK,
    "glance_tasks_scrub": images.SCRUB,
    "glance_tasks_delete": images.DELETE,
}


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register every option with ``conf``; again is harmless."""
    for group, options in GROUPS.items():
        conf.register_opts(options, group=group)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Give every option by group, for oslo.config's generators."""
    groups = {**GROUPS, f"{_STORE_GROUP}name": service.STORE}
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


def key_file(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Give the file of keys for where none are configured."""
    return data_dir(conf) / "secret-keys"


def work_dir(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Give the directory of running tasks' files."""
    chosen = conf.glance_tasks.work_dir
    return pathlib.Path(chosen) if chosen else data_dir(conf) / "work"


def staging_dir(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Give the directory of bytes that are handed in."""
    chosen = conf.glance_tasks_upload.dir
    return pathlib.Path(chosen) if chosen else data_dir(conf) / "staging"


def cache_dir(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Give the directory of what failed tasks had brought.

    Files are moved there from the work directory: the same file system.
    """
    return work_dir(conf) / "cache"


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
        conf.register_opts(service.STORE, group=group)
        own = conf[group].dir
        return pathlib.Path(own) if own else data_dir(conf) / f"store-{name}"
    chosen = conf.glance_tasks.store_dir
    return pathlib.Path(chosen) if chosen else data_dir(conf) / "store"
