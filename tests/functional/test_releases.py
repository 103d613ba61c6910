# SPDX-License-Identifier: Apache-2.0
"""What a changed configuration or release does to a task, and what not."""

import pytest
from taskflow.patterns import linear_flow

import glance_tasks as gt
from tests.support import engines
from tests.support import task_types


def reopened(engine, home, **chosen):
    """Give another life of the service, with other plugins or options."""
    return engines.opened(home, **{"max_attempts": 3, **chosen})


# --- what configuration changes, and what it does not ------------------------


def ran(world):
    return {
        line.partition(" ")[2]
        for line in world.journal()
        if line.startswith("execute")
    }


def test_an_optional_step_that_is_left_out_does_not_run(home, world):
    with engines.opened(home, skip_steps=["line:step-2"]) as engine:
        engine.submit("line", world.given())
        engines.run_all(engine)

    assert ran(world) == set(task_types.STEPS) - {"step-2"}


@pytest.mark.parametrize("before", [[], ["line:step-2"]])
def test_a_changed_configuration_does_not_change_a_submitted_task(
    home, world, before
):
    after = ["line:step-4"]
    with engines.opened(home, skip_steps=before) as engine:
        task = engine.submit("line", world.given())
    with engines.opened(
        home, skip_steps=after, checks=["line:refuse"]
    ) as engine:
        engines.run_all(engine)

        assert engine.get(task.id).status == "success"
    skipped = {pair.partition(":")[2] for pair in before}
    assert ran(world) == set(task_types.STEPS) - skipped


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip_steps": ["line:step-9"]}, "skip_steps names step-9"),
        ({"skip_steps": ["arms:step-1"]}, "optional are: none"),
        ({"skip_steps": ["step-1"]}, "not of the form TYPE:NAME"),
        ({"checks": ["line:absent"]}, "absent"),
        ({"checks": ["line:"]}, "not of the form TYPE:NAME"),
    ],
    ids=str,
)
def test_an_option_that_names_what_there_is_not_is_refused(
    home, world, options, words
):
    with engines.opened(home, **options) as engine:
        with pytest.raises(gt.ConfigurationError, match=words):
            for kind in ("line", "arms"):
                engine.submit(kind, world.given())

        assert engine.find(filters={"type": "arms"}) == []


def test_a_third_partys_check_vetoes(home, world):
    with engines.opened(home, checks=["line:refuse"]) as engine:
        task = engine.submit("line", world.given())
        engines.run_all(engine)

        failure = engine.get(task.id).failure
    assert (failure.code, failure.step) == ("check_refused", "Check-refuse")
    assert failure.summary == "step-0 is not liked"
    assert world.left() == set()


def test_two_engines_of_one_process_do_not_share_anything(tmp_path):
    worlds = [task_types.World(tmp_path / f"world-{n}") for n in range(2)]
    with (
        engines.opened(tmp_path / "a", max_attempts=2) as first,
        engines.opened(
            tmp_path / "b",
            types={"other": task_types.LineTask},
            skip_steps=["other:step-0"],
        ) as second,
    ):
        task = first.submit("line", worlds[0].given())
        other = second.submit("other", worlds[1].given())

        with pytest.raises(gt.TaskNotFound):
            second.get(task.id)
        with pytest.raises(gt.TaskTypeNotFound):
            second.submit("line", worlds[1].given())
        engines.run_all(first)
        assert second.get(other.id).status == "pending"
        engines.run_all(second)
        assert second.get(other.id).status == "success"
    assert ran(worlds[0]) == set(task_types.STEPS)
    assert ran(worlds[1]) == set(task_types.STEPS) - {"step-0"}


# --- a release that changes under a task -------------------------------------


class RenamedTask(task_types.LineTask):
    """The same with one atom renamed."""

    def build(self, ctx):
        """Build the row with another name in it."""
        flow = linear_flow.Flow("line")
        for name in (*task_types.STEPS[:3], "renamed", *task_types.STEPS[4:]):
            flow.add(task_types.Mark(ctx, name=name))
        return flow


def row_of(*atoms, **chosen):
    """Give a release of the type that builds these, in a row."""

    class Release(task_types.LineTask):
        """A release of the type."""

        def build(self, ctx):
            """Build the row."""
            flow = linear_flow.Flow("line")
            for atom in atoms:
                kind, name = atom if isinstance(atom, tuple) else (None, atom)
                made = (kind or task_types.Mark)(ctx, name=name)
                flow.add(made)
            return flow

    for name, value in chosen.items():
        setattr(Release, name, value)
    return Release


class Revised(task_types.Mark):
    """The same atom in another version."""

    version = (2, 0)


Revised.__name__ = "Mark"

STEPS = task_types.STEPS
SWAPPED = (*STEPS[:3], STEPS[4], STEPS[3], *STEPS[5:])
CHANGES = {
    "renamed": row_of(*STEPS[:3], "renamed", *STEPS[4:]),
    "split": row_of(*STEPS[:3], "step-3a", "step-3b", *STEPS[4:]),
    "removed": row_of(*STEPS[:3], *STEPS[4:]),
    "added": row_of(*STEPS, "step-6"),
    "reordered": row_of(*SWAPPED),
    "atom's version": row_of(*STEPS[:3], (Revised, "step-3"), *STEPS[4:]),
    "type's version": row_of(*STEPS, version=(2, 0)),
    "declared wrongly": row_of(
        *STEPS[:3], "renamed", *STEPS[4:], renamed_atoms={"step-2": "renamed"}
    ),
}


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("died", ["step-0", "step-3", "step-5"])
def test_a_changed_release_runs_nothing_again_silently(
    home, world, changed, died
):
    with engines.opened(home, types={"line": row_of(*STEPS)}) as engine:
        task = engine.submit("line", world.given(die_at=died))
        engines.die(engine)
        world.open_gate()
        before = world.journal()

        with reopened(engine, home, types={"line": CHANGES[changed]}) as other:
            engines.run_all(other)
            waiting = other.get(task.id)
        assert waiting.queue_reason.startswith("needs_version: ")
        assert world.journal() == before

        engine.board.wake(0)
        engines.run_all(engine)
        assert engine.get(task.id).status == "success"


@pytest.mark.parametrize(
    ("names", "renamed"),
    [
        ((*STEPS[:3], "renamed", *STEPS[4:]), {"step-3": "renamed"}),
        (
            (*STEPS[:1], "first", *STEPS[2:4], "second", *STEPS[5:]),
            {"step-1": "first", "step-4": "second", "gone": "long ago"},
        ),
        (
            (*STEPS[:2], STEPS[3], STEPS[2], *STEPS[4:]),
            {"step-2": "step-3", "step-3": "step-2"},
        ),
    ],
    ids=["one", "two", "exchanged"],
)
def test_a_release_that_says_what_it_renamed_goes_on(
    home, world, names, renamed
):
    with engines.opened(home, types={"line": row_of(*STEPS)}) as engine:
        task = engine.submit("line", world.given(die_at="step-3"))
        engines.die(engine)
        world.open_gate()
        before = len(world.journal())

    release = row_of(*names, renamed_atoms=renamed)
    with engines.opened(home, types={"line": release}) as engine:
        engines.run_all(engine)

        assert engine.get(task.id).status == "success"
        assert "upgraded" in [e.kind for e in engine.events(task.id)]
    ran_after = [
        line.partition(" ")[2]
        for line in world.journal()[before:]
        if line.startswith("execute")
    ]
    assert ran_after == list(names[3:])


class FetchDisk(task_types.Mark):
    """An atom with its class's name."""


class DownloadDisk(task_types.Mark):
    """The same, later."""


def test_an_atom_whose_class_got_another_name_goes_on(home, world):
    def release(kind, **chosen):
        return row_of(STEPS[0], (kind, None), STEPS[2], **chosen)

    old = release(FetchDisk)
    with engines.opened(home, types={"line": old}) as engine:
        task = engine.submit("line", world.given(die_at="step-2"))
        engines.die(engine)
        world.open_gate()

    renamed = {"FetchDisk": "DownloadDisk"}
    new = release(DownloadDisk, renamed_atoms=renamed)
    with engines.opened(home, types={"line": new}) as engine:
        engines.run_all(engine)

        assert engine.get(task.id).status == "success"
    assert world.counts()["execute FetchDisk"] == 1
    assert world.counts()["execute DownloadDisk"] == 0


def test_a_task_that_began_in_an_older_release_goes_on(home, world):
    with engines.opened(home) as engine:
        task = engine.submit("line", world.given(die_at="step-3"))
        engines.die(engine)
        world.open_gate()
        with engine.database.write() as connection:
            connection.exec_driver_sql("UPDATE gt_flows SET graph = NULL")

        engines.run_all(engine)

        assert engine.get(task.id).status == "success"


class BrokenTask(task_types.LineTask):
    """A release that cannot be loaded."""

    api = 99


class UnbuildableTask(task_types.LineTask):
    """A release that builds nothing."""

    def build(self, ctx):
        """Raise."""
        raise RuntimeError("not today")


class LeavingTask(task_types.LineTask):
    """A release that ends the process that builds it."""

    def build(self, ctx):
        """Leave."""
        raise SystemExit(2)


OTHERS = {
    "renamed": {"line": RenamedTask},
    "broken": {"line": BrokenTask},
    "unbuildable": {"line": UnbuildableTask},
    "leaving": {"line": LeavingTask},
    "missing": {"arms": task_types.ArmsTask},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_begun_task_waits_for_the_release_that_knows_its_graph(
    engine, home, world, other
):
    task = engine.submit("line", world.given(die_at="step-2"))
    engines.die(engine)
    world.open_gate()
    before = world.journal()

    with reopened(engine, home, types=OTHERS[other]) as changed:
        engines.run_all(changed)
        waiting = changed.get(task.id)
    assert not waiting.ended
    assert waiting.queue_reason
    assert world.journal() == before

    engine.board.wake(0)
    engines.run_all(engine)
    found = engine.get(task.id)
    assert (found.status, found.queue_reason) == ("success", None)
    assert world.counts()["execute step-0"] == 1


def test_a_task_whose_type_is_not_installed_waits_unbegun(engine, home, world):
    task = engine.submit("line", world.given())

    with reopened(engine, home, types=OTHERS["missing"]) as changed:
        engines.run_all(changed)
        waiting = changed.get(task.id)
    assert not waiting.ended
    assert "there is no task type 'line'" in waiting.queue_reason

    engine.board.wake(0)
    engines.run_all(engine)
    assert engine.get(task.id).status == "success"


@pytest.mark.parametrize("other", ["broken", "unbuildable", "leaving"])
def test_an_unbegun_task_whose_plugin_broke_fails_in_words(
    engine, home, world, other
):
    task = engine.submit("line", world.given())

    with reopened(engine, home, types=OTHERS[other]) as changed:
        engines.run_all(changed)

        assert changed.get(task.id).failure.code == "plugin_failed"


def test_waiting_for_a_release_does_not_fill_the_timeline(engine, home, world):
    task = engine.submit("line", world.given(die_at="step-2"))
    engines.die(engine)

    with reopened(engine, home, types=OTHERS["missing"]) as changed:
        engines.run_all(changed)
        once = len(changed.events(task.id))
        for _ in range(50):
            changed.board.wake(0)
            engines.run_all(changed)

        # A task may wait for weeks, and is looked at every minute.
        assert len(changed.events(task.id)) <= once + 5


def test_a_graph_may_change_for_tasks_that_come_later(engine, home, world):
    engine.submit("line", world.given())
    engines.run_all(engine)

    with reopened(engine, home, types=OTHERS["renamed"]) as changed:
        task = changed.submit("line", world.given())
        engines.run_all(changed)

        assert changed.get(task.id).status == "success"
