# SPDX-License-Identifier: Apache-2.0
"""A cut before and after every write to the database ends in the same state.

Six atoms in a row, six at once, and a part that is tried again; each as it
succeeds and as it fails at each of its atoms. A default run cuts each a few
times, 'pytest -m soak' at every write.
"""

import atexit
import collections
import functools
import json
import pathlib
import shutil
import tempfile

import pytest
import sqlalchemy as sa

from glance_tasks.persistence import models
from glance_tasks.testing import cuts
from tests.support import cutting
from tests.support import engines
from tests.support import task_types

SCENARIOS = {
    "line": ("line", {}),
    "arms": ("arms", {}),
    "tries": ("tries", {}),
    "handed": ("handed", {"unhold": "step-0"}),
    "tries in vain": ("tries", {"fails": 9}),
    "bad undoing": ("line", {"fail_at": "step-3", "fail_undo": "step-1"}),
    **{
        f"{kind} fails at {step}": (kind, {"fail_at": step})
        for kind in ("line", "arms")
        for step in task_types.STEPS
    },
    **{
        f"tries fails at {step}": ("tries", {"fail_at": step})
        for step in ("step-0", "step-1", "step-3")
    },
}


def world_in(home):
    return task_types.World(home / "world")


def end_of(engine, home):
    """Give all that a cut must not change."""
    with engine.database.read() as connection:
        atoms = connection.execute(
            sa.select(models.ATOMS).order_by(models.ATOMS.c.name)
        ).all()
    tasks = [engine.get(stub.id) for stub in engine.find()]
    return {
        "tasks": [
            (
                *(task.status, task.phase, task.result),
                task.failure and task.failure.code,
                task.failure and task.failure.step,
                task.failure and task.failure.left_behind,
            )
            for task in tasks
        ],
        "atoms": [(row.name, row.state, results_of(row)) for row in atoms],
        "effects": world_in(home).left(),
        "directories": list(engine.area.task_ids()),
    }


def results_of(row):
    """Give what an atom gave; of a retry controller's only what it tried."""
    if row.results is None or row.kind == "TASK_DETAIL":
        return row.results
    if row.state == "REVERTED":
        # TaskFlow forgets it then, unless it was cut in between.
        return []
    return [tried for tried, _failures in json.loads(row.results)]


def ran_again(world, uncut):
    """Count what ran more often than in a run without a cut."""
    counts = collections.Counter(
        line
        for line in world.journal()
        if line.startswith(("execute", "revert"))
    )
    return sum((counts - uncut).values())


@functools.cache
def empty_database():
    """Give the path of an SQLite database that is up to date."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cuts-"))
    atexit.register(shutil.rmtree, directory)
    # A write, because closing alone leaves it all in SQLite's log.
    with (
        engines.opened(directory) as engine,
        engine.database.write() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM gt_tasks")
    return directory / "glance-tasks.sqlite"


class Scenario:
    """One kind of task, cut again and again and looked at each time."""

    def __init__(self, name, database_url=None):
        """Run the scenario of that name, on SQLite unless told otherwise."""
        self.kind, self.told = SCENARIOS[name]
        self._database_url = database_url
        self._uncut = None
        self._ran = None

    def make_engine(self, home):
        """Give an engine on a directory."""
        found = home / "glance-tasks.sqlite"
        if self._database_url is None and not found.exists():
            # To sync a new one takes longer than all the rest of a cut.
            shutil.copy(empty_database(), found)
        return engines.make_engine(home, database_url=self._database_url)

    def submit(self, home, engine):
        """Submit the task whose effects go to that directory."""
        return engine.submit(self.kind, world_in(home).given(**self.told))

    def check(self, home, engine):
        """Compare the end with that of the first run, which was not cut."""
        found, world = end_of(engine, home), world_in(home)
        if self._uncut is None:
            self._uncut, self._ran = found, world.counts()
        if not found["tasks"]:
            # The submit itself was cut: there is nothing, then.
            assert found["effects"] == set() and not world.journal()
            return
        if self.kind == "arms" and "fail_at" in self.told:
            # Which of the others began before one failed is chance.
            found["atoms"] = self._uncut["atoms"]
        assert found == self._uncut
        # One atom has its checkpoint cut; at once there are more at work.
        allowed = 8 if self.kind == "arms" else 1
        assert ran_again(world, self._ran) <= allowed, world.journal()


def cut(name, home, choose, **how):
    scenario = Scenario(name, **how)
    return cutting.cut_everywhere(
        home,
        scenario.make_engine,
        scenario.submit,
        scenario.check,
        choose=choose,
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_cut_at_some_writes_changes_nothing(tmp_path, name):
    number = cut(name, tmp_path, cutting.some_cuts)

    assert number == cutting.SAMPLE


@pytest.mark.soak
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_cut_at_every_write_changes_nothing(tmp_path, name):
    number = cut(name, tmp_path, cuts.every_cut)

    print(f"{name}: {number} cuts")
    assert number >= 2 * 7


def test_a_row_is_cut_at_every_write(tmp_path):
    # Submit, claim, rows, seven checkpoints, end; before and after each.
    assert cut("line", tmp_path, cuts.every_cut) == 2 * 11


@pytest.mark.parametrize("name", ["line", "tries in vain"])
def test_a_cut_changes_nothing_on_a_server(tmp_path, clean_database_url, name):
    url = clean_database_url
    scenario = Scenario(name, url)

    def emptied(home):
        if not (home / "world").exists():
            with (
                engines.opened(home, database_url=url) as engine,
                engine.database.write() as connection,
            ):
                for table in engines.TABLES:
                    connection.execute(table.delete())
            world_in(home).given()
        return scenario.make_engine(home)

    number = cutting.cut_everywhere(
        tmp_path,
        emptied,
        scenario.submit,
        scenario.check,
        choose=functools.partial(cutting.some_cuts, number=5),
    )

    assert number == 5


# --- the harness itself ------------------------------------------------------


class Forgetful(task_types.Mark):
    """An atom that counts how often it runs, in what it leaves."""

    def execute(self):
        """Leave one file more each time."""
        super().execute()
        number = len(list(self.world.effects.glob(f"{self.name}*")))
        (self.world.effects / f"{self.name}-{number}").touch()


def test_an_atom_that_is_not_re_entrant_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(task_types, "Mark", Forgetful)

    with pytest.raises(AssertionError) as caught:
        cut("line", tmp_path, cuts.every_cut)

    assert caught.value.__notes__[0].startswith("cut before write")


def test_a_finished_atom_that_runs_again_is_caught(tmp_path, monkeypatch):
    # As if a finished atom were run again by the resumed task.
    monkeypatch.setattr(
        engines.runner.recovery,
        "lost_atoms",
        lambda atoms, storage: ["step-0"],
    )

    with pytest.raises(AssertionError) as caught:
        cut("line", tmp_path, cuts.every_cut)

    assert "of 11" in caught.value.__notes__[0]
