# SPDX-License-Identifier: Apache-2.0
"""The machine of states: as declared, and proved by another reckoning."""

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st
import networkx
import pytest

from glance_tasks import reporting
from glance_tasks import task
from tests.support import fuzzing

FIRST, LAST = task.FIRST, task.LAST
phases = st.sampled_from(list(task.Phase))
tables = st.lists(
    st.builds(task.Move, phases, phases, st.just("x")), max_size=3
)


@fuzzing.examples(1000)
@hypothesis.given(tables, st.sets(st.sampled_from(task.MOVES), max_size=6))
def test_a_bad_table_of_moves_is_told_from_a_good_one(added, dropped):
    moves = [*(move for move in task.MOVES if move not in dropped), *added]
    graph = networkx.DiGraph((m.source, m.target) for m in moves)
    graph.add_nodes_from([FIRST, LAST])
    reached = {FIRST, *networkx.descendants(graph, FIRST)}
    ending = {LAST, *networkx.ancestors(graph, LAST)}
    pairs = [(m.source, m.target) for m in moves]
    good = (
        set(graph) == set(task.Phase) == reached == ending
        and len(pairs) == len(set(pairs))
        and not graph.out_degree(LAST)
    )

    faults = task.check_moves(moves)

    assert (faults == []) == good


class MoveMachine(stateful.RuleBasedStateMachine):
    """A run reports phases at random; what is shown moves as declared."""

    def __init__(self):
        super().__init__()
        self.shown = [task.Phase.PROCESSING]
        self.report = reporting.Report(self, HELD)
        self.accepts = True

    # Where the report goes, instead of the repository.
    def note(self, task_id, fence, *, phase, progress, advanced, happened):
        assert (task_id, fence) == (HELD.id, HELD.fence)
        self.shown.append(phase)
        return self.accepts

    @stateful.rule(phase=phases)
    def step(self, phase):
        self.report.step("atom", phase)

    @stateful.rule(done=st.integers(0), total=st.none() | st.integers(0))
    def move_bytes(self, done, total):
        self.report.bytes(done, total)

    @stateful.rule()
    def flush(self):
        assert self.report.flush() is True

    @stateful.invariant()
    def is_declared(self):
        # Several steps may pass between two flushes.
        before, after = self.shown[-2:] if self.shown[1:] else self.shown * 2
        assert after in {before, *networkx.descendants(GRAPH, before)}
        assert after is not task.Phase.QUEUED


GRAPH = networkx.DiGraph((m.source, m.target) for m in task.MOVES)
HELD = task.Task(
    id="1",
    type="line",
    status=task.Status.PROCESSING,
    phase=task.Phase.PROCESSING,
    owner="",
    input={},
    created_at=None,
    updated_at=None,
    fence=7,
)


@pytest.mark.fuzz(weight=0.5)
def test_no_report_reaches_an_undeclared_state(machine):
    machine(MoveMachine, fuzzing.examples(100))
