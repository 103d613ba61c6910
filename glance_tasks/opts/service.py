# SPDX-License-Identifier: Apache-2.0
"""The engine, its conductors, and where they keep things."""

from oslo_config import cfg
from oslo_config import types

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
    cfg.IntOpt(
        "cache_max_bytes",
        default=16 << 30,
        min=0,
        help="Most that is kept on this host, in bytes, of what failed tasks"
        " had fetched, or were handed, so that a retry need not bring it"
        " again; 0 keeps none. It lies in 'cache' in work_dir until the failed"
        " task expires or is retried; the oldest goes first, and never more is"
        " kept than as much again is free.",
    ),
    cfg.StrOpt(
        "public_endpoint",
        help="Address under which owners reach this service, such as"
        " https://images.example. Temporary URLs begin with it; unset, there"
        " are none, and an export needs an address to send to.",
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
    cfg.StrOpt(
        "notifier",
        help="Name of who is told what becomes of tasks, an entry point of"
        " the group glance_tasks.notifiers: 'messaging' sends oslo.messaging"
        " notifications, 'webhook' posts to the address of"
        " [glance_tasks_webhook]. Conductors tell it, each thing at least"
        " once, after it was recorded. Unset: nobody is told.",
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
        "stall_after",
        default=300.0,
        min=0.0,
        max=86400.0,
        help="Seconds without a byte or a step after which a task that is"
        " worked on counts as stalled, unless the step says otherwise; 0 is"
        " never. What happens then is for the task's type to say: most only"
        " show it.",
    ),
    cfg.MultiOpt(
        "time_limit",
        item_type=types.String(),
        default=[],
        help="Seconds that tasks of a type may take from their first run on,"
        " as TYPE:SECONDS, such as import:86400; may be given several times."
        " Pauses do not count. One that takes longer is undone and fails as"
        " 'deadline_passed'; 0 is without end. Tasks already submitted keep"
        " theirs.",
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
        "time_to_live_of",
        item_type=types.String(),
        default=[],
        help="task_time_to_live of one task type, as TYPE:HOURS, such as"
        " delete:720; may be given several times.",
    ),
    cfg.MultiOpt(
        "failure_time_to_live_of",
        item_type=types.String(),
        default=[],
        help="failure_time_to_live of one task type, as TYPE:HOURS; may be"
        " given several times.",
    ),
    cfg.ListOpt(
        "labels",
        default=[],
        help="What tells this host's conductors from others, such as"
        " zone=periphery. Tasks of a type that asks for labels are run by"
        " conductors that have them all.",
    ),
    cfg.MultiOpt(
        "placement",
        item_type=types.String(),
        default=[],
        help="Labels that the tasks of a type ask for, as TYPE:LABEL, such as"
        " export:zone=periphery, beside those that the type itself asks for;"
        " may be given several times. Every conductor needs the same. Tasks"
        " that no conductor has the labels for stay in the queue.",
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

WEBHOOK: list[cfg.Opt] = [
    cfg.StrOpt(
        "url",
        secret=True,
        help="Address that the notifier 'webhook' posts to: http:// or"
        " https://. Redirects are not followed.",
    ),
    cfg.StrOpt(
        "key",
        secret=True,
        help="Key of the HMAC-SHA-256 in the header X-Glance-Tasks-Signature"
        " of each request. Unset: requests are not signed.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=5.0,
        min=0.1,
        max=15.0,
        help="Seconds for which the address may be silent while it is told."
        " What was not answered with 2xx is told again half a minute later.",
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
