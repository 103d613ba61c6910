# SPDX-License-Identifier: Apache-2.0
"""Tasks that ask for labels, and conductors that have them or not."""

import pytest

import glance_tasks as gt
from glance_tasks import placement
from glance_tasks.cmd import doctor
from tests.support import engines
from tests.support import task_types

PERIPHERY = "zone=periphery"


class PickyTask(task_types.LineTask):
    """A line that asks for a label by itself."""

    requires_labels = ("disk=fast",)


TYPES = {"line": task_types.LineTask, "picky": PickyTask}


@pytest.fixture
def engine(home, request):
    chosen = getattr(request, "param", {})
    with engines.opened(home, types=TYPES, **chosen) as engine:
        yield engine


def conduct(engine):
    gt.Conductor(engine).run(until_idle=True)


def status(engine, found):
    return engine.get(found.id).status


PLACED = {"placement": [f"line:{PERIPHERY}"]}


@pytest.mark.parametrize("engine", [PLACED], indirect=True)
def test_a_conductor_without_the_label_never_claims_it(engine, world):
    placed = engine.submit("line", world.given(), priority=10)

    conduct(engine)
    gt.Conductor(engine).run_one(placed.id)

    assert status(engine, placed) == "pending"


@pytest.mark.parametrize(
    "engine", [{**PLACED, "labels": ["x", PERIPHERY]}], indirect=True
)
def test_a_conductor_with_the_label_runs_it(engine, world):
    placed = engine.submit("line", world.given())

    conduct(engine)

    assert status(engine, placed) == "success"


def test_a_type_may_ask_by_itself(engine, world, tmp_path):
    other = task_types.World(tmp_path / "other")
    picky = engine.submit("picky", world.given())
    line = engine.submit("line", other.given())

    conduct(engine)

    assert (status(engine, picky), status(engine, line)) == (
        "pending",
        "success",
    )


@pytest.mark.parametrize(
    ("engine", "left"),
    [
        ({}, {"picky"}),
        ({"labels": ["disk=fast"]}, set()),
        ({"labels": ["disk=slow"]}, {"picky"}),
        ({"placement": ["picky:a", "picky:b"], "labels": ["a"]}, {"picky"}),
        ({"placement": ["elsewhere:a"]}, {"picky", "elsewhere"}),
    ],
    indirect=["engine"],
)
def test_all_the_labels_are_needed(engine, left):
    found = placement.left_to_others(engine.registry, engine.conf)

    assert found == left


@pytest.mark.parametrize("engine", [{"placement": ["line"]}], indirect=True)
def test_a_malformed_one_is_refused_at_once(engine):
    with pytest.raises(gt.ConfigurationError, match="the form TYPE"):
        gt.Conductor(engine)


def test_the_doctor_says_what_is_left_to_others(home):
    conf = engines.configuration(
        home, placement=[f"export:{PERIPHERY}", "exprot:x"]
    )

    found = [f for f in doctor.examine(conf) if f.check == "placement"]

    assert [(f.state, f.text.split()[0]) for f in found] == [
        ("error", "exprot"),
        ("ok", "conductors"),
    ]
    assert "leave export, exprot to others; its labels: none" in found[1].text
