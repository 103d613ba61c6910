# SPDX-License-Identifier: Apache-2.0
"""A flow as nodes and edges: drawn, compared, and checked before it runs."""

from collections.abc import Callable
import dataclasses
import hashlib
import json
from typing import Any

import networkx
from taskflow import flow as taskflow_flow
from taskflow import retry as taskflow_retry
from taskflow.engines.action_engine import compiler
from taskflow.exceptions import TaskFlowException

from glance_tasks import exceptions
from glance_tasks import plugin

# TaskFlow's default, of atoms that do not say.
_FIRST = "1.0"


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One atom of a graph.

    :ivar leaves: whether it leaves something that only its revert removes;
        what is in the work directory goes with it
    """

    name: str
    kind: str
    behaviour: str
    phase: str
    requires: tuple[str, ...]
    provides: tuple[str, ...]
    leaves: bool = False
    version: str = _FIRST


@dataclasses.dataclass(frozen=True, slots=True)
class Graph:
    """The atoms of a flow in an order they can run in, and what precedes what.

    :ivar edges: pairs of names
    :ivar requires: what the flow needs from the task's input and plan
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    requires: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """A digest that changes when the graph does, never otherwise."""
        text = json.dumps(shape(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def shape(graph: Graph) -> dict[str, Any]:
    """Give what of a graph a resumed task depends on, as JSON has it."""
    nodes = [
        [
            *(node.name, node.kind, list(node.requires), list(node.provides)),
            # Left out where it is the first, as it always was.
            *([node.version] if node.version != _FIRST else []),
        ]
        for node in graph.nodes
    ]
    edges = [list(edge) for edge in graph.edges]
    return {"nodes": sorted(nodes), "edges": sorted(edges)}


def of_flow(flow: taskflow_flow.Flow) -> Graph:
    """Compile a flow into its graph.

    :raises BrokenPlugin: when it does not compile, two atoms share a name, or
        an atom is no :class:`glance_tasks.Atom` that declares its behaviour
    """
    try:
        compiled = compiler.PatternCompiler(flow).compile()
    except (TaskFlowException, TypeError, ValueError) as error:
        raise exceptions.BrokenPlugin(
            f"the flow {flow.name!r} cannot be compiled: {error}"
        ) from error
    atoms = _atoms_only(compiled.execution_graph)
    order = list(networkx.lexicographical_topological_sort(atoms, _by_name))
    nodes = tuple(_node(atom) for atom in order)
    names = [node.name for node in nodes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise exceptions.BrokenPlugin(
            f"several atoms are named {', '.join(twice)}; expected one each:"
            " give them names"
        )
    edges = tuple(sorted((a.name, b.name) for a, b in atoms.edges))
    return Graph(flow.name, nodes, edges, tuple(sorted(flow.requires)))


def _by_name(atom: Any) -> str:
    return str(atom.name)


def _atoms_only(execution: Any) -> Any:
    """Give the graph of atoms: what lies around nested flows is bridged."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(execution.nodes(data=True))
    graph.add_edges_from(execution.edges())
    for node, attributes in list(graph.nodes(data=True)):
        if attributes["kind"] not in compiler.ATOMS:
            before, after = list(graph.pred[node]), list(graph.succ[node])
            graph.remove_node(node)
            graph.add_edges_from((b, a) for b in before for a in after)
    return networkx.transitive_reduction(graph)


def _node(atom: Any) -> Node:
    if isinstance(atom, taskflow_retry.Retry):
        behaviour, phase, leaves = "idempotent", "processing", False
    elif isinstance(atom, plugin.Atom):
        behaviour = getattr(atom, "behaviour", "")
        phase = atom.phase.value
        leaves = atom.undoes and not atom.in_work_dir
    else:
        raise exceptions.BrokenPlugin(
            f"{atom.name} is a {type(atom).__name__}; expected an Atom"
        )
    if behaviour not in ("idempotent", "resumable", "compensated"):
        raise exceptions.BrokenPlugin(
            f"{atom.name} does not say how it comes through running again;"
            " expected behaviour = 'idempotent', 'resumable' or 'compensated'"
        )
    for setting in ("time_limit", "stall_after"):
        value = getattr(atom, setting, None)
        if value is not None and not (
            isinstance(value, int | float) and value >= 0
        ):
            raise exceptions.BrokenPlugin(
                f"{atom.name} has {setting} = {value!r}; expected seconds, or"
                " None"
            )
    return Node(
        name=atom.name,
        kind=type(atom).__name__,
        behaviour=behaviour,
        phase=phase,
        requires=tuple(sorted(atom.requires)),
        provides=tuple(sorted(atom.provides)),
        leaves=leaves,
        version=".".join(str(part) for part in atom.version),
    )


def to_text(graph: Graph) -> str:
    """Draw a graph as lines, an atom each, with what it takes and gives."""
    before: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for source, target in graph.edges:
        before[target].append(source)
    lines = [f"{graph.name} needs {', '.join(graph.requires) or 'nothing'}"]
    for number, node in enumerate(graph.nodes, 1):
        after = f" after {', '.join(before[node.name])}"
        lines.append(
            f"{number:3}. {node.name}{after if before[node.name] else ''}"
        )
        lines.append(f"       {node.behaviour}, {node.phase}")
        if node.requires:
            lines.append(f"       takes {', '.join(node.requires)}")
        if node.provides:
            lines.append(f"       gives {', '.join(node.provides)}")
    return "\n".join(lines)


def to_mermaid(graph: Graph) -> str:
    """Draw a graph in Mermaid's language."""
    ids = {node.name: f"n{i}" for i, node in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    lines += [
        f'    {ids[node.name]}["{_quoted(node.name)}<br/>{node.behaviour}"]'
        for node in graph.nodes
    ]
    lines += [f"    {ids[a]} --> {ids[b]}" for a, b in graph.edges]
    return "\n".join(lines)


def _quoted(name: str) -> str:
    return name.replace('"', "#quot;")


def to_dot(graph: Graph) -> str:
    """Draw a graph in Graphviz' language."""
    lines = [f"digraph {json.dumps(graph.name)} {{", "    node [shape=box];"]
    lines += [
        f"    {json.dumps(node.name)}"
        f' [label={json.dumps(f"{node.name}")} tooltip="{node.behaviour}"];'
        for node in graph.nodes
    ]
    lines += [
        f"    {json.dumps(a)} -> {json.dumps(b)};" for a, b in graph.edges
    ]
    return "\n".join([*lines, "}"])


def to_json(graph: Graph) -> str:
    """Give a graph as JSON: name, fingerprint, requires, nodes, edges."""
    return json.dumps(
        {
            "name": graph.name,
            "fingerprint": graph.fingerprint,
            "requires": graph.requires,
            "nodes": [dataclasses.asdict(node) for node in graph.nodes],
            "edges": graph.edges,
        },
        indent=2,
    )


#: The ways a graph is drawn, by name.
FORMATS: dict[str, Callable[[Graph], str]] = {
    "text": to_text,
    "mermaid": to_mermaid,
    "dot": to_dot,
    "json": to_json,
}
