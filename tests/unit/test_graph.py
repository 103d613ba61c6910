# SPDX-License-Identifier: Apache-2.0
"""Graphs are drawn, compared and checked before anything runs."""

import json
import os
import subprocess
import sys

import pytest
from taskflow import retry
from taskflow import task as taskflow_task
from taskflow.patterns import graph_flow
from taskflow.patterns import linear_flow
from taskflow.patterns import unordered_flow

import glance_tasks as gt
from glance_tasks import exceptions
from glance_tasks import graph


class FetchPart(gt.Atom):
    """Fetch."""

    behaviour = "resumable"
    phase = gt.Phase.TRANSFERRING
    default_provides = "part"

    def execute(self, uri):
        """Fetch."""


class WeighPart(gt.Atom):
    """Weigh."""

    behaviour = "idempotent"

    def execute(self, part):
        """Weigh."""


class CarefulFetch(FetchPart):
    """Fetch in another class."""


def flow(*atoms, kind=linear_flow.Flow, **kwargs):
    return kind("weighing", **kwargs).add(
        *(atoms or (FetchPart(), WeighPart()))
    )


def test_a_graph_has_its_atoms_in_order_with_what_they_take_and_give():
    found = graph.of_flow(flow())

    assert found.name == "weighing"
    assert found.requires == ("uri",)
    assert found.edges == (("FetchPart", "WeighPart"),)
    assert found.nodes == (
        graph.Node(
            name="FetchPart",
            kind="FetchPart",
            behaviour="resumable",
            phase="transferring",
            requires=("uri",),
            provides=("part",),
        ),
        graph.Node(
            name="WeighPart",
            kind="WeighPart",
            behaviour="idempotent",
            phase="processing",
            requires=("part",),
            provides=(),
        ),
    )


def test_atoms_around_a_nested_flow_are_joined():
    inner = flow(
        WeighPart(name="left"),
        WeighPart(name="right"),
        kind=unordered_flow.Flow,
    )

    found = graph.of_flow(flow(FetchPart(), inner, WeighPart(name="last")))

    assert found.edges == (
        ("FetchPart", "left"),
        ("FetchPart", "right"),
        ("left", "last"),
        ("right", "last"),
    )


def test_an_order_by_data_alone_is_seen():
    found = graph.of_flow(flow(WeighPart(), FetchPart(), kind=graph_flow.Flow))

    assert [node.name for node in found.nodes] == ["FetchPart", "WeighPart"]


def test_a_retry_controller_stands_before_what_it_tries():
    found = graph.of_flow(flow(retry=retry.Times(3, name="thrice")))

    assert found.nodes[0].name == "thrice"
    assert ("thrice", "FetchPart") in found.edges


@pytest.mark.parametrize(
    "changed",
    [
        flow(FetchPart(name="Fetch"), WeighPart()),
        flow(FetchPart()),
        flow(CarefulFetch(name="FetchPart"), WeighPart()),
        flow(FetchPart(), WeighPart(), WeighPart(name="again")),
        flow(FetchPart(provides=("part", "more")), WeighPart()),
        flow(FetchPart(rebind={"uri": "url"}), WeighPart()),
        flow(retry=retry.Times(3, name="thrice")),
        flow(FetchPart(), WeighPart(rebind=["uri"]), kind=unordered_flow.Flow),
    ],
    ids=[
        *("renamed", "shorter", "kind", "longer", "gives", "takes"),
        *("tried", "order"),
    ],
)
def test_another_graph_has_another_fingerprint(changed):
    assert (
        graph.of_flow(changed).fingerprint != graph.of_flow(flow()).fingerprint
    )


def test_a_fingerprint_is_the_same_in_every_process():
    program = (
        "from tests.unit import test_graph as t;"
        " print(t.graph.of_flow(t.flow()).fingerprint)"
    )

    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert found == {graph.of_flow(flow()).fingerprint}


class Undeclared(gt.Atom):
    """An atom that does not say how it comes through a crash."""

    def execute(self):
        """Do nothing."""


class Misdeclared(Undeclared):
    """An atom that says nonsense."""

    behaviour = "immortal"


class Foreign(taskflow_task.Task):
    """No atom of ours."""

    def execute(self):
        """Do nothing."""


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        ([FetchPart(), FetchPart()], "several atoms are named FetchPart"),
        ([Undeclared()], "Undeclared does not say how"),
        ([Misdeclared()], "Misdeclared does not say how"),
        ([Foreign(name="foreign")], "foreign is a Foreign; expected an Atom"),
    ],
    ids=["twice", "undeclared", "misdeclared", "foreign"],
)
def test_a_graph_that_breaks_the_contract_is_refused(atoms, reason):
    broken = linear_flow.Flow("broken").add(*atoms)

    with pytest.raises(exceptions.BrokenPlugin, match=reason):
        graph.of_flow(broken)


def test_the_text_has_a_paragraph_for_each_atom():
    assert graph.to_text(graph.of_flow(flow())).splitlines() == [
        "weighing needs uri",
        "  1. FetchPart",
        "       resumable, transferring",
        "       takes uri",
        "       gives part",
        "  2. WeighPart after FetchPart",
        "       idempotent, processing",
        "       takes part",
    ]


def test_mermaid_has_a_node_for_each_atom_and_an_arrow_for_each_edge():
    assert graph.to_mermaid(graph.of_flow(flow())).splitlines() == [
        "flowchart TD",
        '    n0["FetchPart<br/>resumable"]',
        '    n1["WeighPart<br/>idempotent"]',
        "    n0 --> n1",
    ]


def test_a_quotation_mark_in_a_name_does_not_end_a_mermaid_label():
    drawn = graph.to_mermaid(graph.of_flow(flow(WeighPart(name='a"b'))))

    assert drawn.splitlines()[1].count('"') == 2


def test_dot_has_a_node_for_each_atom_and_an_arrow_for_each_edge():
    drawn = graph.to_dot(
        graph.of_flow(flow(FetchPart(name='a"b'), WeighPart()))
    )

    assert drawn.splitlines()[0] == 'digraph "weighing" {'
    assert '    "a\\"b" -> "WeighPart";' in drawn.splitlines()
    assert drawn.splitlines()[-1] == "}"


def test_json_holds_the_whole_graph():
    found = graph.of_flow(flow())

    drawn = json.loads(graph.to_json(found))

    assert drawn["fingerprint"] == found.fingerprint
    assert [node["name"] for node in drawn["nodes"]] == [
        "FetchPart",
        "WeighPart",
    ]
    assert drawn["edges"] == [["FetchPart", "WeighPart"]]


@pytest.mark.parametrize("name", graph.FORMATS)
def test_every_way_of_drawing_names_every_atom(name):
    drawn = graph.FORMATS[name](graph.of_flow(flow()))

    assert "FetchPart" in drawn
    assert "WeighPart" in drawn
