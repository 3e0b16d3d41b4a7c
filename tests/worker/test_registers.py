"""Register allocation: no register is given away while its value is still needed."""

from __future__ import annotations

from hypothesis import given

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.memory import last_uses
from pullback_graph.types import FLOAT64, ArrayType
from pullback_worker.registers import Registers
from tests.worker.random_graphs import graphs


@given(graphs())
def test_every_read_finds_its_value(graph: Graph):
    """Replaying the allocation with value numbers for arrays, each node reads what it should."""
    registers = Registers(graph)
    held = len(graph.inputs) + len(graph.constants)
    slots: list[int | None] = [*range(held), *[None] * (registers.count - held)]
    for first, node, places in zip(graph.first_results, graph.nodes, registers.places, strict=True):
        assert [slots[register] for register in places.operands] == list(node.operands)
        for offset, register in enumerate(places.results):
            assert register >= held, "inputs and constants are not written over"
            slots[register] = first + offset
        for register in places.dead:
            slots[register] = None
    for output in graph.outputs:
        assert slots[registers.of[output.value]] == output.value


@given(graphs())
def test_no_more_registers_than_values_alive(graph: Graph):
    """The count is that of the fullest moment, inputs and constants included."""
    last = last_uses(graph)
    held = len(graph.inputs) + len(graph.constants)
    most = alive = 0
    for position, (first, node) in enumerate(zip(graph.first_results, graph.nodes, strict=True)):
        dying = {i for i in node.operands if i >= held and last[i] == position}
        unread = sum(last[first + k] < 0 for k in range(len(node.types)))
        alive += len(node.types) - len(dying)
        most = max(most, alive)
        alive -= unread
    assert Registers(graph).count == held + most


def test_a_long_chain_needs_one_register():
    """A thousand nodes in a row share one register beside the input's."""
    builder = Builder()
    z = builder.input("x", ArrayType(FLOAT64, (3,)))
    for _ in range(1000):
        z = -z
    assert Registers(builder.build({"z": z})).count == 2


def test_large_values_are_dropped_at_once():
    """What is large does not wait in its register for the next result."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (1 << 12,)))
    y, w = -x, x + x
    registers = Registers(builder.build({"z": y * w, "x": x}))
    assert len(registers.places[-1].dead) == 1
