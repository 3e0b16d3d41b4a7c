"""Mapping a graph over a new leading axis of some inputs: Graph -> Graph, from the rows' `axes`."""

from pullback_graph.vmap.transform import Mapped, replay_mapped, vmap

__all__ = ["Mapped", "replay_mapped", "vmap"]
