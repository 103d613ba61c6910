# SPDX-License-Identifier: Apache-2.0
"""The doctor: what is wrong with this installation, in a line each."""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import pathlib
import shutil
import tempfile
from typing import Any

from oslo_config import cfg

from glance_tasks import choices
from glance_tasks import deprecations
from glance_tasks import engine as task_engine
from glance_tasks import exceptions
from glance_tasks import opts
from glance_tasks import placement
from glance_tasks import plugin
from glance_tasks import redaction
from glance_tasks import registry
from glance_tasks.adapters import local_secrets
from glance_tasks.cmd import answers
from glance_tasks.cmd import bypasses
from glance_tasks.cmd import findings
from glance_tasks.imagefile import starter

_GIB = 1 << 30


class Doctor(answers.ListAnswer):
    """Look for what is wrong here: exit 1 when something is."""

    _ill = False

    def run(self, parsed_args: Any) -> int:
        """Examine; give 1 when there is an error."""
        code = super().run(parsed_args)
        return code or int(self._ill)

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give a row for each check."""
        found = list(examine(self.app.conf))
        self._ill = any(one.state == "error" for one in found)
        return (
            ("check", "state", "text"),
            [dataclasses.astuple(one) for one in found],
        )


def examine(conf: cfg.ConfigOpts) -> Iterator[findings.Finding]:
    """Give the findings; a check that breaks is a finding too."""
    for check in (
        *(_plugins, _deprecated, _labels, _programs, _network),
        *(_directories, _engine),
    ):
        yield from _safely(check, conf)


def _safely(
    check: Callable[[cfg.ConfigOpts], Iterator[findings.Finding]],
    conf: cfg.ConfigOpts,
) -> Iterator[findings.Finding]:
    name = check.__name__.strip("_")
    try:
        yield from check(conf)
    except (exceptions.GlanceTasksError, OSError) as error:
        yield findings.Finding(name, "error", redaction.redact(str(error)))


def _plugins(conf: cfg.ConfigOpts) -> Iterator[findings.Finding]:
    installed = registry.Registry()
    broken = installed.broken()
    for name, reason in broken.items():
        yield findings.Finding("plugins", "error", f"{name}: {reason}")
    if not broken:
        names = ", ".join(installed.names()) or "none"
        yield findings.Finding("plugins", "ok", f"task types: {names}")
    for name, modules in bypasses.found():
        yield findings.Finding(
            "plugins",
            "warning",
            f"{name} imports {modules}: what it reaches by that, no rule of"
            " [glance_tasks_fetch] holds; the fetcher of its context is there"
            " for it",
        )
    for name in installed.names():
        yield from _choices(conf, name, installed.get(name), installed)


def _choices(
    conf: cfg.ConfigOpts,
    name: str,
    task_type: plugin.TaskType,
    installed: registry.Registry,
) -> Iterator[findings.Finding]:
    """Check what skip_steps and checks say of one type."""
    chosen = choices.names
    skipped = chosen(conf.glance_tasks.skip_steps, name)
    for step in sorted(skipped - set(task_type.optional_steps)):
        yield findings.Finding(
            "skip_steps", "error", f"{name}:{step} cannot be left out"
        )
    installed.checks(chosen(conf.glance_tasks.checks, name))


def _deprecated(conf: cfg.ConfigOpts) -> Iterator[findings.Finding]:
    installed = registry.Registry()
    said = [
        line
        for name in installed.names()
        for line in deprecations.of_type(name, installed.get(name))
    ]
    said += deprecations.of_options(conf)
    for line in said:
        yield findings.Finding("deprecated", "warning", line)
    if not said:
        yield findings.Finding("deprecated", "ok", "nothing in use is to go")


def _labels(conf: cfg.ConfigOpts) -> Iterator[findings.Finding]:
    installed = registry.Registry()
    names = {p.partition(":")[0] for p in conf.glance_tasks.placement}
    for name in sorted(names - set(installed.names())):
        yield findings.Finding(
            "placement", "error", f"{name} is no task type that is installed"
        )
    if others := placement.left_to_others(installed, conf):
        labels = ", ".join(conf.glance_tasks.labels) or "none"
        yield findings.Finding(
            "placement",
            "ok",
            f"conductors of this host leave {', '.join(sorted(others))} to"
            f" others; its labels: {labels}",
        )


def _programs(conf: cfg.ConfigOpts) -> Iterator[findings.Finding]:
    for program in ("qemu-img", "qemu-nbd"):
        where = shutil.which(program)
        if where is None:
            yield findings.Finding(
                "programs",
                "error",
                f"{program} is missing: no image can be converted; install"
                " qemu-utils",
            )
        else:
            yield findings.Finding("programs", "ok", f"{program} is {where}")


def _network(conf: cfg.ConfigOpts) -> Iterator[findings.Finding]:
    if starter.confinement():
        yield findings.Finding("network", "ok", "qemu runs without one")
    else:
        yield findings.Finding(
            "network",
            "warning",
            "qemu shares it with us: the kernel gives this user no namespaces",
        )


def _directories(conf: cfg.ConfigOpts) -> Iterator[findings.Finding]:
    for name in (
        *("data_dir", "work_dir", "cache_dir", "staging_dir", "store_dir"),
    ):
        yield _directory(name, getattr(opts, name)(conf))


def _directory(name: str, path: pathlib.Path) -> findings.Finding:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"x")
            probe.flush()
    except OSError as error:
        return findings.Finding(name, "error", f"{path}: {error.strerror}")
    free = shutil.disk_usage(path).free
    state = "warning" if free < _GIB else "ok"
    return findings.Finding(name, state, f"{path}: {free / _GIB:.1f} GiB free")


def _engine(conf: cfg.ConfigOpts) -> Iterator[findings.Finding]:
    engine = task_engine.TaskEngine(conf)
    yield findings.Finding(
        "database",
        "ok",
        f"{engine.database.dialect}: {engine.board.pending()} tasks wait or"
        " run",
    )
    only = {conf.glance_tasks.store: engine.store}
    for name, store in (engine.stores or only).items():
        store.preflight()
        yield findings.Finding("store", "ok", f"{name} can be written")
    yield from findings.of_queue(engine)
    engine.catalogue.find(limit=1)
    yield findings.Finding(
        "catalogue", "ok", f"{conf.glance_tasks.catalogue} answers"
    )
    yield _secrets(conf, engine)


def _secrets(
    conf: cfg.ConfigOpts, engine: task_engine.TaskEngine
) -> findings.Finding:
    store, name = engine.secret_store, conf.glance_tasks.secret_store
    if not isinstance(store, local_secrets.LocalSecrets):
        return findings.Finding("secrets", "ok", f"{name} keeps them")
    keys = store.source.known()
    if not keys:
        text = f"{name}: a key is made with the first secret"
    else:
        text = f"{name}: {keys[0].id} seals them, {len(keys)} in all open them"
    if store.source.configured or engine.database.embedded:
        return findings.Finding("secrets", "ok", text)
    return findings.Finding(
        "secrets",
        "warning",
        f"{text}; other hosts have keys of their own, unless all have the"
        " same in [glance_tasks_secrets]",
    )
