# SPDX-License-Identifier: Apache-2.0
"""What an upgrade to this release would meet, before services restart."""

import argparse
from collections.abc import Iterator
import functools
import textwrap

from oslo_upgradecheck import upgradecheck

from glance_tasks import engine as task_engine
from glance_tasks import exceptions
from glance_tasks import task
from glance_tasks import upgrades
from glance_tasks.cmd import answers
from glance_tasks.persistence import flows
from glance_tasks.persistence import listing

# How many tasks a detail names.
_NAMED = 20

# Of a line of the table, as oslo.upgradecheck has it.
_WIDTH = 60


class UpgradeCheck(answers.Answer):
    """Look for what this release would strand: exit 1 to look, 2 to stop."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print a result for each check; give the worst one's code."""
        return int(_Checks(self.app).check())


class _Checks(upgradecheck.UpgradeCommands):
    """The checks, in the form that OpenStack's deployment tools run."""

    def __init__(self, app: answers.Application) -> None:
        super().__init__()
        self._app = app
        self._upgrade_checks = (
            ("Database schema", _Checks._schema),
            ("Plugins", _Checks._plugins),
            ("Tasks", _Checks._tasks),
        )

    def _get_details(
        self, upgrade_check_result: upgradecheck.Result
    ) -> str | None:
        """Wrap a detail without breaking the ids in it.

        oslo.upgradecheck breaks at hyphens: of ids as their letters fall.
        """
        details = upgrade_check_result.details
        lines = textwrap.wrap(
            details or "",
            _WIDTH,
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
        return details and "\n".join(lines)

    @functools.cached_property
    def _engine(self) -> task_engine.TaskEngine:
        return self._app.engine()

    def _schema(self) -> upgradecheck.Result:
        try:
            _ = self._engine
        except exceptions.SchemaBehind as error:
            return _result(upgradecheck.Code.WARNING, str(error))
        return _result(upgradecheck.Code.SUCCESS)

    def _plugins(self) -> upgradecheck.Result:
        try:
            broken = self._engine.registry.broken()
        except exceptions.SchemaBehind:
            return _unknown()
        lines = [f"{name}: {reason}" for name, reason in broken.items()]
        if lines:
            return _result(upgradecheck.Code.FAILURE, "; ".join(lines))
        return _result(upgradecheck.Code.SUCCESS)

    def _tasks(self) -> upgradecheck.Result:
        try:
            stranded = list(_stranded(self._engine))
        except exceptions.SchemaBehind:
            return _unknown()
        if not stranded:
            return _result(upgradecheck.Code.SUCCESS)
        named = "; ".join(stranded[:_NAMED])
        return _result(
            upgradecheck.Code.FAILURE,
            f"{len(stranded)} tasks could not go on: {named}",
        )


def _result(
    code: upgradecheck.Code, details: str | None = None
) -> upgradecheck.Result:
    return upgradecheck.Result(code, details)


def _unknown() -> upgradecheck.Result:
    return _result(
        upgradecheck.Code.WARNING, "cannot be looked at before the schema"
    )


def _stranded(engine: task_engine.TaskEngine) -> Iterator[str]:
    """Name the tasks that began and could not go on in this release."""
    for found in _living(engine):
        stored = flows.of_task(engine.database, found.id)
        try:
            built = engine.build(engine.get(found.id))
            if stored is not None:
                upgrades.compared(stored, built, found)
        except (
            exceptions.TaskTypeNotFound,
            exceptions.BrokenPlugin,
            exceptions.GraphChanged,
        ) as error:
            yield f"{found.id}: {error}"


def _living(engine: task_engine.TaskEngine) -> Iterator[task.Task]:
    for status in (task.Status.PENDING, task.Status.PROCESSING):
        marker = None
        while page := engine.find(
            filters={"status": status.value},
            limit=listing.MAX_LIMIT,
            marker=marker,
        ):
            yield from page
            marker = page[-1].id
